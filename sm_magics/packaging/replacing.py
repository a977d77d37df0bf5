"""Writing a large file beside its place, and moving it there when it is complete.

What a process that was killed has left half written is gigabytes that nobody misses. Each such file is locked for as
long as its process lives, and the next to write the same file removes those that no longer are.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sm_magics.authoring.atomic import sync_directory
from sm_magics.authoring.ownership import alone
from sm_magics.errors import PackagingError

_LONG_AGO = 86_400.0  # seconds; no model takes a day to write


@contextmanager
def replacing(target: Path, elsewhere: str = "--model-dir ANOTHER_DIRECTORY") -> Iterator[BinaryIO]:
    """Open a file beside the target, to be moved there when the block ends well and removed when it does not.

    A symbolic link stays one; what it points to is replaced.

    Parameters
    ----------
    target
        The file.
    elsewhere
        The option that puts it in another place, for the hint.

    Raises
    ------
    PackagingError
        If the directory cannot be written, or the disk is full. The target is then as it was.
    """
    place = Path(os.path.realpath(target))
    partial = place.with_name(f".{place.name}.{secrets.token_hex(8)}.partial")
    try:
        with _opened(partial, place) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                partial.replace(place)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        sync_directory(place.parent)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise PackagingError(
                f"There is no space left for {target}; what was there before is unchanged.",
                hint=f"!df -h {target.parent}   # then make room, or use another disk: {elsewhere}",
            ) from error
        if error.filename is not None and str(error.filename) not in {str(partial), str(place)}:
            raise
        raise PackagingError(f"{target} cannot be written: {error.strerror or error}.", hint=elsewhere) from error


def _opened(partial: Path, place: Path) -> BinaryIO:
    """Open a new file and lock it, while nobody else looks for abandoned ones."""
    with alone(place.parent):
        _remove_abandoned(place)
        file = partial.open("xb")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file


def _remove_abandoned(place: Path) -> None:
    name = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]+\.partial")
    with suppress(OSError):
        for path in place.parent.iterdir():
            if name.fullmatch(path.name) and _is_abandoned(path):
                path.unlink()


def _is_abandoned(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:  # a file system without locks
                return time.time() - os.fstat(file.fileno()).st_mtime > _LONG_AGO
    except OSError:
        return False
    return True
