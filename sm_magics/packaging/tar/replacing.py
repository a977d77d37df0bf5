"""Writing a large file beside its place and moving it there when it is complete, or a few bytes of it in their place.

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
from sm_magics.authoring.ownership import alone, state_of
from sm_magics.errors import PackagingError

_PIECE = 16 << 20
_LONG_AGO = 86_400.0  # seconds; no model takes a day to write


@contextmanager
def replacing(target: Path, elsewhere: str = "--model-dir ANOTHER_DIRECTORY") -> Iterator[BinaryIO]:
    """Open a file beside the target, to be moved there when the block ends well and removed when it does not.

    A symbolic link stays one; what it points to is replaced. A block that removes the new file leaves the target as it
    is.

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
    with explained(target, elsewhere, partial, place):
        with _opened(partial, place) as file:
            try:
                yield file
                file.flush()
                if not os.fstat(file.fileno()).st_nlink:
                    return
                os.fsync(file.fileno())
                partial.replace(place)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        sync_directory(place.parent)


@contextmanager
def rewriting(target: Path, elsewhere: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file to change a little of it in its place; yield it with the state that it will have afterwards.

    Parameters
    ----------
    target, elsewhere
        As for `replacing`.

    Raises
    ------
    PackagingError
        If it cannot be written, or another process replaces it.
    """
    place = Path(os.path.realpath(target))
    with explained(target, elsewhere, place), place.open("r+b", buffering=0) as file:
        with alone(place.parent):
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.path.samestat(os.fstat(file.fileno()), place.stat()):
                raise PackagingError(f"{target} is being written by another process.", hint=f"!ls -l {target.parent}")
        modified = _past()
        yield file, state_of(file, modified)
        os.utime(file.fileno(), ns=(modified, modified))
        os.fsync(file.fileno())


def seal(file: BinaryIO) -> str:
    """Give a complete file a time that no later write can give it, and return its state (see `state_of`)."""
    file.flush()
    modified = _past()
    os.utime(file.fileno(), ns=(modified, modified))
    return state_of(file)


def copy_start(source: BinaryIO, target: BinaryIO, size: int) -> None:
    """Copy the first bytes of a file, without moving them where the file system can share them."""
    copy = getattr(os, "copy_file_range", None)
    target.flush()
    while copy is not None and size:
        try:
            done = copy(source.fileno(), target.fileno(), min(size, 1 << 30))
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}:
                raise
            break
        if not done:
            break
        size -= done
    while size:
        data = source.read(min(size, _PIECE))
        if not data:
            raise OSError(errno.EIO, "it became shorter while it was read")
        target.write(data)
        size -= len(data)
    target.flush()


def _past() -> int:
    """Return a time, in nanoseconds, that is older than any write to come, whatever the clock's resolution."""
    return time.time_ns() - 2 * 10**9


@contextmanager
def explained(target: Path, elsewhere: str, *own: Path) -> Iterator[None]:
    """Turn the operating system's errors about our own files into ours.

    Parameters
    ----------
    target, elsewhere
        As for `replacing`.
    own
        The files that are written for it.

    Raises
    ------
    PackagingError
        If the disk is full, or one of them cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise PackagingError(
                f"There is no space left for {target}; what was there before is unchanged.",
                hint=f"!df -h {target.parent}   # then make room, or use another disk: {elsewhere}",
            ) from error
        if error.filename is not None and str(error.filename) not in map(str, own):
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
