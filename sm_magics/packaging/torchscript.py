"""TorchScript: a model compiled or traced, and saved without further copies of it in memory where there is room.

Into anything but a path, ``torch.jit.save`` writes what it has put together in memory first, three times over. Into a
path it writes piece by piece, but a write that fails ends the whole process (``PyTorchStreamWriter``'s destructor
throws), and the notebook's variables are gone. So a path is what it gets where the disk has more room than the process
has ever had memory. Elsewhere, what is put together in memory is written by us, and a full disk is an error.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sm_magics.errors import UnsupportedModelError

from .artifact import in_eval_mode


def as_torchscript(model: Any, sample: Any) -> tuple[Any, list[str]]:
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
        notes, script = _compiled(in_eval_mode(model), sample)
    return script, notes


def save_torchscript(script: Any, path: Path) -> None:
    """Write TorchScript into a file.

    Raises
    ------
    OSError
        If it cannot be written.
    UnsupportedModelError
        If it cannot be saved.
    """
    with _deprecated_or_not():
        try:
            if has_room(script, path.parent):
                _save_piece_by_piece(script, path)
            else:
                with path.open("wb") as file:
                    torch.jit.save(script, file)
        except RuntimeError as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UnsupportedModelError(
                f"torch.jit.save does not take this model: {said}", hint="%sm_package model --save-as state_dict"
            ) from error


def has_room(script: Any, directory: Path) -> bool:
    """Return whether a disk holds a script for certain: whatever it consists of, it has been in memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        memory += sum(map(torch.cuda.memory_reserved, range(torch.cuda.device_count())))
    if isinstance(script, nn.Module):  # its weights may be those of a file that is mapped into memory
        memory += sum(tensor.nbytes for tensor in script.state_dict().values())
    return shutil.disk_usage(directory).free > memory


def _save_piece_by_piece(script: Any, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sm_magics-") as directory:
        named = Path(directory, "archive")  # the archive's one directory is called as the file is, always the same
        named.symlink_to(path.absolute())
        torch.jit.save(script, str(named))


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
