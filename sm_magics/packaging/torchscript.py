"""TorchScript: a model compiled or traced, and saved without a second copy of it in memory.

Into anything but a path, ``torch.jit.save`` writes what it has put together in memory first, three times over. Into a
path it writes piece by piece, but where the disk is full it ends the whole process. So the path is that of a pipe, and
a process of its own writes what comes out of it.
"""

from __future__ import annotations

import errno
import os
import subprocess
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

# What arrives after the disk is full is read all the same: a pipe without a reader would end the process as well.
_WRITER = ("sh", "-c", 'cat > "$1" || { cat > /dev/null; exit 1; }', "sh")
_ERRNO = {os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT)}


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
    """Write TorchScript into a file, piece by piece.

    Raises
    ------
    OSError
        If it cannot be written.
    UnsupportedModelError
        If it cannot be saved.
    """
    with (
        _deprecated_or_not(),
        tempfile.TemporaryDirectory(prefix="sm_magics-") as directory,
        subprocess.Popen(
            [*_WRITER, str(path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # an interrupt is not for it
        ) as writer,
    ):
        assert writer.stdin is not None  # noqa: S101 - for mypy
        named = Path(directory, "archive")  # the archive's one directory is called as the file is
        named.symlink_to(f"/dev/fd/{writer.stdin.fileno()}")
        try:
            torch.jit.save(script, str(named))
        except RuntimeError as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UnsupportedModelError(
                f"torch.jit.save does not take this model: {said}", hint="%sm_package model --save-as state_dict"
            ) from error
        said = writer.communicate()[1].strip()
    if writer.returncode:
        reason = next((number for text, number in _ERRNO.items() if text in said), errno.EIO)
        raise OSError(reason, said)


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
