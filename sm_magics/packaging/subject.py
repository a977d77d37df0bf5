"""What is to be packaged: a module, TorchScript, a state_dict, or a saved file; anything else is refused here."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm_magics.authoring.torch_modules import is_module
from sm_magics.errors import UnsupportedModelError

from .saved import recognise


@dataclass(frozen=True)
class Subject:
    """A model, looked at.

    Attributes
    ----------
    kind
        ``"module"``, ``"torchscript"`` or ``"state_dict"``: of the value, or of what the file holds.
    model
        The value, out of what ``torch.compile`` and data parallelism wrap around it; None for a file.
    path
        The saved file; None for a value.
    source
        What the person calls it: the variable if it has one, the class, or the file.
    """

    kind: str
    model: Any
    path: Path | None
    source: str


def identify(model: Any, namespace: Mapping[str, Any]) -> Subject:
    """Find out what a value is. Imports no torch: without it, nothing can be a model.

    Raises
    ------
    UnsupportedModelError
        If it is no model, naming its type and the models that there are.
    """
    if isinstance(model, (str, Path)):
        path = Path(model).expanduser().absolute()
        if isinstance(model, str) and not path.exists() and not path.suffix:
            raise _refusal(model, namespace)
        saved = recognise(path)
        notebook = [name for name in saved.imports if name.startswith("__main__.")]
        if notebook:
            raise UnsupportedModelError(
                f"{path} is a pickled module whose class, {notebook[0]}, exists only in the notebook that made it.",
                hint="%sm_package model   # the variable itself, whose class travels as source",
            )
        return Subject(saved.kind, None, path, str(model))
    kind = None
    if "torch" in sys.modules:
        from .artifact import check, kind_of, unwrapped

        inner = unwrapped(model)
        kind = kind_of(inner)
    if kind is None:
        raise _refusal(model, namespace)
    names = [name for name, value in namespace.items() if value is model and not name.startswith("_")]
    check(inner, names[0] if names else "model")
    return Subject(kind, inner, None, names[0] if names else type(inner).__name__)


def _refusal(value: Any, namespace: Mapping[str, Any]) -> UnsupportedModelError:
    cls = type(value)
    what = f"a {cls.__qualname__}" if cls.__module__ == "builtins" else f"a {cls.__module__}.{cls.__qualname__}"
    if isinstance(value, type):
        what = f"the class {value.__qualname__}, not an instance of it"
    made = [name for name, item in namespace.items() if isinstance(value, type) and type(item) is value]
    if isinstance(value, type) and is_module(value) and not made:
        arguments = "" if _needs_no_arguments(value) else "..."
        return UnsupportedModelError(
            f"This is {what}, and there is none here.",
            hint=f"model = {value.__name__}({arguments})    # then: %sm_package model",
        )
    models = [
        f"{name} ({type(item).__name__})"
        for name, item in namespace.items()
        if not name.startswith("_") and is_module(type(item)) and (not made or name in made)
    ]
    if models:
        return UnsupportedModelError(
            f"This is {what}, which is no PyTorch model. Models here: {', '.join(models)}.",
            hint=f"%sm_package {models[0].partition(' ')[0]}",
        )
    return UnsupportedModelError(
        f"This is {what}, which is no PyTorch model, and there is none here.",
        hint="model = Net()   # a torch.nn.Module, a ScriptModule, a state_dict, or the path of a saved one",
    )


def _needs_no_arguments(cls: type) -> bool:
    try:
        inspect.signature(cls).bind()
    except (TypeError, ValueError):
        return False
    return True
