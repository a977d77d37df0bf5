"""Replacing a file as a whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from sm_magics.errors import AuthoringError


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that whoever reads it finds the old content or the new, even after a crash.

    The permission bits of a file that is there are kept. A symbolic link stays one; what it points to is replaced.

    Raises
    ------
    AuthoringError
        If it cannot be written: no room, no permission. The old file is as it was, and no partial one is left.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def keep_copy(path: Path) -> Path:
    """Keep the file as ``NAME.bak`` beside itself, or ``NAME.bak.1`` and so on where that is taken, and return where.

    The copy is a second link to the same content where the file system has such: it costs no room, and stays what it
    is because files here are only ever replaced, never written into. A copy that is there already is not made again.
    Of a symbolic link, what it points to is kept: `write_atomically` replaces that, not the link.

    Raises
    ------
    AuthoringError
        If there is no room or no permission.
    """
    number = 0
    content = Path(os.path.realpath(path))
    while True:
        copy = path.with_name(f"{path.name}.bak" + (f".{number}" if number else ""))
        try:
            if os.path.lexists(copy) and os.path.samestat(copy.lstat(), content.stat()):
                return copy
            try:
                os.link(content, copy)
            except FileExistsError:
                number += 1
                continue
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}:
                    raise
                write_atomically(copy, path.read_bytes())
        except OSError as error:
            raise cannot_write(copy, error) from error
        return copy


def make_directory(path: Path) -> None:
    """Make a directory, and those above it, if it is not there.

    Raises
    ------
    AuthoringError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> AuthoringError:
    """Return our error for one of the operating system's, with what to do about it."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            hint = "The disk is full. Make room and run the cell again; what was there before is unchanged."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            hint = "Write to a directory that is yours: --model-dir DIR."
        case errno.ENOTDIR | errno.EISDIR | errno.EEXIST:
            hint = "A file stands where a directory is needed, or the reverse: move it away, or use --model-dir DIR."
        case errno.ENAMETOOLONG:
            hint = "Choose a shorter name."
        case _:
            hint = "What was there before is unchanged."
    return AuthoringError(f"{path} cannot be written: {error.strerror or error}.", hint=hint)


def sync_directory(directory: Path) -> None:
    """Make the new name itself durable; some file systems do not offer that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
