"""Whether a file may be replaced: only what we wrote, as we wrote it, and for the notebook that wrote it."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from sm_magics.errors import AuthoringError, FileConflictError

from .record import Author, FileRecord

_CHUNK = 1 << 20


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, read in constant memory."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def notebook_name(author: Author, model_dir: Path) -> str:
    """Return the author's notebook as the record has it: relative to the model directory where its place is known."""
    if not Path(author.notebook).is_absolute():
        return author.notebook
    return Path(os.path.relpath(author.notebook, model_dir)).as_posix()


def check_notebook(path: Path, entry: FileRecord, notebook: str) -> None:
    """Refuse a file that another notebook writes.

    Raises
    ------
    FileConflictError
        If both notebooks are known and are not the same.
    """
    if notebook and entry.notebook and notebook != entry.notebook:
        raise FileConflictError(
            f"{path} is written by another notebook, {entry.notebook}.",
            hint="--model-dir DIR keeps the two apart; --force replaces the file and keeps a copy beside it.",
        )


def stranger(path: Path) -> FileConflictError:
    """Return the error for a file that was there before us."""
    return FileConflictError(
        f"{path} is there already, and was not written by sm_magics.",
        hint="--model-dir DIR writes elsewhere; --force replaces it and keeps a copy beside it.",
    )


def edited(what: str, there: str, new: str) -> FileConflictError:
    """Return the error for text that was changed by hand, with what replacing it would do to it."""
    diff = difflib.unified_diff(
        there.splitlines(), new.splitlines(), f"{what} as edited by hand", f"{what} as the cell has it", lineterm=""
    )
    return FileConflictError(
        f"{what} was edited by hand since a cell wrote it:\n" + "\n".join(diff),
        hint="Take the edit into the cell, or replace it with --force, which keeps a copy of the file beside it.",
    )


def read_text(path: Path) -> str | None:
    """Return the text of a file with its line ends as they are, or None if it is not there.

    Raises
    ------
    AuthoringError
        If it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise FileConflictError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}).",
            hint="--model-dir DIR writes elsewhere; --force replaces it and keeps a copy beside it.",
        ) from error
    except OSError as error:
        raise AuthoringError(
            f"{path} cannot be read: {error.strerror or error}.", hint="Use another directory: --model-dir DIR."
        ) from error


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other processes from writing the same directory meanwhile, where the file system can lock."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
