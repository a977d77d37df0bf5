"""The model file: what the model is, how it is to be saved, and saving it.

The model in the notebook is only read. It is never moved to another device, put into another mode or copied as a whole.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import torch
from torch import nn

from sm_magics.errors import UnsupportedModelError

from . import weights
from .rebuilding.likeness import plain_attributes, tensors
from .rebuilding.rebuild import unsaved_buffers

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


def save_state(state: Mapping[str, Any], file: IO[bytes], report: Callable[[int, int], None]) -> list[str]:
    """Write a state_dict as ``torch.save`` would; `report` is called with the bytes done and the bytes in all.

    This, like the others that save, returns sentences on what the person should know.
    """
    total = weights.total_bytes(state)
    done = 0

    def add(size: int) -> None:
        nonlocal done
        done += size
        report(done, total)

    weights.save(state, file, add)
    return []


def save_module(model: nn.Module, file: IO[bytes]) -> list[str]:
    """Pickle the whole module, in evaluation mode, its class by reference.

    Raises
    ------
    UnsupportedModelError
        If it cannot be pickled.
    """
    weights.save(_in_eval_mode(model), file)
    return []


def torchscript(model: Any, sample: Any) -> tuple[Any, list[str]]:
    """Return a model as TorchScript, and sentences on what the person should know.

    Parameters
    ----------
    model
        A ``ScriptModule``, which is returned as it is, or an ``nn.Module``, compiled by ``torch.jit.script``.
    sample
        What the module is traced with if it cannot be scripted: its argument, or a tuple of them; None for none.

    Raises
    ------
    UnsupportedModelError
        If it can be neither scripted nor traced.
    """
    if isinstance(model, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        return model, []
    with _deprecated_or_not():
        notes, script = _compiled(_in_eval_mode(model), sample)
    return script, notes


def save_torchscript(script: Any, file: IO[bytes]) -> list[str]:
    """Write TorchScript."""
    with _deprecated_or_not():
        torch.jit.save(script, file)
    return []


@contextmanager
def _deprecated_or_not() -> Iterator[None]:
    with warnings.catch_warnings():
        # Newer versions of torch deprecate TorchScript; the container's default model_fn loads nothing else.
        warnings.filterwarnings("ignore", message="`torch.jit")
        yield


def _compiled(model: nn.Module, sample: Any) -> tuple[list[str], Any]:
    try:
        return [], torch.jit.script(model)
    except Exception as reason:
        if sample is None:
            last = str(reason).strip().splitlines()[0] if str(reason).strip() else type(reason).__name__
            raise UnsupportedModelError(
                f"torch.jit.script does not take this {type(model).__name__}: {last}",
                hint="%sm_package model --save-as torchscript --sample x   # traces it with the sample",
            ) from reason
    try:
        arguments = sample if isinstance(sample, tuple) else (sample,)
        with torch.no_grad():
            script = torch.jit.trace(model, _on_cpu(arguments), check_trace=False)  # type: ignore[no-untyped-call]
    except Exception as reason:
        raise UnsupportedModelError(
            f"This {type(model).__name__} can be neither scripted nor traced: {reason}",
            hint="%sm_package model --save-as state_dict",
        ) from reason
    return ["The model was traced with the sample: branches that the sample did not take are not in it."], script


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if type(value) in {tuple, list}:
        return type(value)(_on_cpu(item) for item in value)
    return value


def _in_eval_mode(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode on the CPU that shares the weights which are there already."""
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
