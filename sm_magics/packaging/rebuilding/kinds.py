"""What kind of thing a value is: plain data, a library's fitted object, or of the user's own making."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from sm_magics.authoring import own_file


def is_storable(value: Any) -> bool:
    """Return whether a value can be kept in a file that holds no code: tensors, arrays, plain containers."""
    if isinstance(value, torch.Tensor):
        plain = type(value) in {torch.Tensor, nn.Parameter} and value.layout is torch.strided
        return plain and not value.is_meta and not value.is_quantized
    if type(value).__module__ == "numpy" and type(value).__name__ == "ndarray":
        return value.dtype.kind in "biufcUSmM"
    if type(value) in {dict, OrderedDict}:
        return all(is_storable(part) for item in value.items() for part in item)
    if type(value) in {list, tuple, set}:
        return all(map(is_storable, value))
    return value is None or type(value) in {bool, int, float, complex, str, bytes}


def is_estimator(value: Any) -> bool:
    """Return whether a value is a library's that it keeps in files: scikit-learn's kind, Hugging Face's, a table."""
    cls = type(value)
    if isinstance(value, type) or is_own(cls):
        return False
    if cls.__module__.startswith("pandas.") and callable(getattr(cls, "to_pickle", None)):
        return True
    return all(callable(getattr(cls, name, None)) for name in ("get_params", "set_params", "fit")) or all(
        callable(getattr(cls, name, None)) for name in ("save_pretrained", "from_pretrained")
    )


def is_own(cls: type) -> bool:
    """Return whether a class is the user's own: of the notebook, or of a module beside it."""
    return cls.__module__ == "__main__" or own_file(cls.__module__) is not None


def holds_estimators(value: Any) -> bool:
    """Return whether a value is a container with fitted objects of a library in it, such as an encoder per column."""
    if type(value) not in {dict, list, tuple}:
        return False
    parts = value.values() if type(value) is dict else value
    return any(is_estimator(part) or holds_estimators(part) for part in parts)
