"""What a saved model file is, told from its bytes without running any of them.

Unpickling runs code, so pickles are only read: ``pickletools`` lists their opcodes, and the names that they import tell
a state_dict (tensors and plain containers) from a pickled module.
"""

from __future__ import annotations

import pickletools
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sm_magics.errors import UnsupportedModelError

_LEGACY_PREAMBLE = 3  # pickles before the object in a file from before torch 1.6: magic number, version, system
END = 1 << 20
"""Bytes at each end of a model file: they hold the list of its records, and the pickle of thousands of tensors."""

_PLAIN = {"collections", "torch", "torch._utils", "torch.storage", "torch.serialization", "torch._tensor", "_codecs"}
_PLAIN_NAMES = {"torch.nn.parameter Parameter", "__builtin__ set", "builtins set"}


@dataclass(frozen=True)
class Saved:
    """What a file holds.

    Attributes
    ----------
    kind
        ``"state_dict"``, ``"torchscript"`` or ``"module"`` (a pickled module).
    imports
        What unpickling it would import beyond torch's tensors, as ``module.name``; empty unless it is a module.
    """

    kind: str
    imports: tuple[str, ...] = ()


def recognise(path: Path) -> Saved:
    """Tell what kind of saved PyTorch model a file is.

    Raises
    ------
    UnsupportedModelError
        If there is no such file, it is cut off, or is none that the container's torch can load.
    """
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                return _recognise_zip(path, file)
            file.seek(0)
            start = file.read(1)
            file.seek(0)
            if start == b"\x80":
                return _from_imports(_imports(file, pickles=_LEGACY_PREAMBLE + 1))
    except FileNotFoundError as error:
        raise UnsupportedModelError(f"There is no file {path}.", hint=f"!ls {path.parent}") from error
    except OSError as error:
        raise UnsupportedModelError(
            f"{path} cannot be read: {error.strerror or error}.", hint=f"!ls -ld {path}"
        ) from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise UnsupportedModelError(f"{path} is cut off or damaged: {error}.", hint=f"!ls -l {path}") from error
    raise UnsupportedModelError(
        f"{path} is no model that torch.save or torch.jit.save wrote.",
        hint='torch.save(model.state_dict(), "model.pth")',
    )


def recognise_stream(file: IO[bytes]) -> Saved | None:
    """Tell what a model file is that can be read only once, such as one inside an archive; None if it cannot be told.

    What tells is at both ends: see `recognise_ends`.
    """
    head, tail = file.read(END), b""
    size = len(head)
    while chunk := file.read(END):
        tail = (tail + chunk)[-END:]
        size += len(chunk)
    return recognise_ends(head, tail, size)


def recognise_ends(head: bytes, tail: bytes, size: int) -> Saved | None:
    """Tell what a model file is of which only the ends are at hand; None if it cannot be told.

    They are put into a file of the same size with a hole between them.

    Parameters
    ----------
    head, tail
        The first and the last `END` bytes, without overlap; less of a smaller file.
    size
        The file's size in bytes.
    """
    try:
        with tempfile.NamedTemporaryFile() as ends:
            ends.write(head)
            ends.seek(size - len(tail))
            ends.write(tail)
            ends.flush()
            return recognise(Path(ends.name))
    except (UnsupportedModelError, OSError):
        return None


def _recognise_zip(path: Path, file: IO[bytes]) -> Saved:
    with zipfile.ZipFile(file) as archive:
        # Records lie in one folder, named after the file that was first written.
        records = {name.partition("/")[2]: name for name in archive.namelist()}
        if "constants.pkl" in records:
            return Saved("torchscript")
        if "data.pkl" in records:
            with archive.open(records["data.pkl"]) as pickled:
                return _from_imports(_imports(pickled, pickles=1))
        if "archive_format" in records or any("exported_program" in name for name in records):
            raise UnsupportedModelError(
                f"{path} is a torch.export archive, which loads only in the torch version that wrote it.",
                hint="%sm_package model",
            )
    raise UnsupportedModelError(
        f"{path} is a zip archive, but not one that torch.save or torch.jit.save wrote.",
        hint='torch.save(model.state_dict(), "model.pth")',
    )


def _from_imports(imports: list[str]) -> Saved:
    foreign = [name for name in imports if name.split(" ")[0] not in _PLAIN and name not in _PLAIN_NAMES]
    if not foreign:
        return Saved("state_dict")
    return Saved("module", tuple(dict.fromkeys(name.replace(" ", ".") for name in foreign)))


def _imports(file: IO[bytes], *, pickles: int) -> list[str]:
    """Return what the last of the pickles would import, as ``"module name"``.

    Raises
    ------
    ValueError
        If the bytes are no pickle.
    """
    found: list[str] = []
    for _ in range(pickles):
        found = []
        strings: list[str] = []  # as they come: STACK_GLOBAL takes the last two
        memo: dict[int, str] = {}
        memoized = 0
        top: str | None = None  # the string that was pushed last, if that was the last thing to be pushed
        for opcode, argument, _position in pickletools.genops(file):
            if opcode.name == "MEMOIZE" or "BINPUT" in opcode.name:
                if top is not None:
                    memo[memoized if argument is None else argument] = top
                memoized += 1
                continue
            top = None
            if opcode.name == "GLOBAL":
                found.append(str(argument))
            elif opcode.name == "STACK_GLOBAL":
                found.append(" ".join(strings[-2:]))
            elif "UNICODE" in opcode.name:
                top = str(argument)
            elif "BINGET" in opcode.name and argument is not None:
                top = memo.get(argument)
            if top is not None:
                strings.append(top)
    return found
