"""The model file: what the model is, how it is to be saved, and saving it.

The model in the notebook is only read. It is never moved to another device, put into another mode or copied as a whole.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sm_magics.errors import UnsupportedModelError

from . import weights
from .rebuilding.likeness import plain_attributes, tensors
from .rebuilding.rebuild import unsaved_buffers
from .records import Records

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(model: Any) -> Any:
    """Return the module inside of what ``torch.compile`` and data parallelism wrap around it."""
    while isinstance(model, _WRAPPERS) or (isinstance(model, nn.Module) and "_orig_mod" in model._modules):  # noqa: SLF001
        model = model.module if isinstance(model, _WRAPPERS) else model._orig_mod  # noqa: SLF001
    return model


def kind_of(model: Any) -> str | None:
    """Return ``"module"``, ``"torchscript"``, ``"state_dict"``, or None for what is no model.

    A state_dict is a mapping that holds tensors, itself or one level down (a checkpoint).
    """
    if isinstance(model, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        return "torchscript"
    if isinstance(model, nn.Module):
        return "module"
    if isinstance(model, Mapping):
        inner = [value for value in model.values() if isinstance(value, Mapping)]
        values = [*model.values(), *(value for mapping in inner for value in mapping.values())]
        return "state_dict" if any(isinstance(value, torch.Tensor) for value in values) else None
    return None


def check(model: Any, variable: str = "model") -> None:
    """Refuse weights that cannot be saved, naming the first; `variable` is what the hint calls the model.

    Raises
    ------
    UnsupportedModelError
        See `weights.check_tensor`.
    """
    for name, tensor in (tensors(model) if isinstance(model, nn.Module) else {}).items():
        weights.check_tensor(tensor, name, variable)


def state_of(model: Any, *, complete: bool) -> Mapping[str, Any]:
    """Return the state_dict of a module, or the mapping itself, in canonical form.

    Parameters
    ----------
    model
        An ``nn.Module``, a ``ScriptModule`` or a mapping.
    complete
        Whether the buffers that state_dict leaves out come with it, as ``build_model()`` expects them.

    Raises
    ------
    UnsupportedModelError
        If something in it cannot be saved, naming it.
    """
    if not isinstance(model, nn.Module):
        return weights.canonical(model)
    state = model.state_dict()
    if complete:
        state.update(unsaved_buffers(model))
    return weights.canonical(state)


def count_tensors(value: Any) -> int:
    """Return how many tensors a state_dict or checkpoint holds."""
    if isinstance(value, Mapping):
        return sum(map(count_tensors, value.values()))
    return int(isinstance(value, torch.Tensor))


def of_state(state: Mapping[str, Any]) -> Records:
    """Return what ``torch.save`` would write of a state_dict in canonical form."""
    return weights.records(state)


def of_module(model: nn.Module) -> Records:
    """Return the whole module pickled, in evaluation mode, its class by reference.

    Raises
    ------
    UnsupportedModelError
        If it cannot be pickled.
    """
    return weights.records(in_eval_mode(model))


def in_eval_mode(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode on the CPU that shares the weights which are there already.

    Raises
    ------
    UnsupportedModelError
        If it cannot be copied.
    """
    shared: dict[int, Any] = {}
    for tensor in tensors(model).values():
        moved = tensor if tensor.device.type == "cpu" else tensor.detach().cpu()
        if moved is not tensor and isinstance(tensor, nn.Parameter):
            moved = nn.Parameter(moved, requires_grad=tensor.requires_grad)
        shared[id(tensor)] = moved
    for value in (value for module in model.modules() for value in plain_attributes(module, computed=True).values()):
        if isinstance(value, torch.Tensor) and not value.is_leaf:
            shared[id(value)] = value.detach()  # what the old weight_norm computed; only leaves can be copied
    try:
        return copy.deepcopy(model, shared).eval()
    except Exception as error:
        raise UnsupportedModelError(
            f"This {type(model).__name__} cannot be copied: {error}", hint="%sm_package model --save-as state_dict"
        ) from error
