"""A ``model.tar.gz`` from anywhere, unpacked so that it can harm nothing."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

#: SageMaker's own default volume size is 30 GB.
LARGEST = 30 * 10**9
MOST_FILES = 100_000
#: What unpacks to so many times its own size, and to more than so many bytes, is no model but a bomb: gzip manages a
#: thousand times with nothing but zeros.
RATIO = 200
_SMALL = 1 << 30
#: Disk space that is left to everything else, in bytes.
_SPARE = 256 << 20
_PIECE = 1 << 20


class BadArchiveError(Exception):
    """The archive is none, or would write where it must not. The message is a clause that completes a sentence."""


def extract(archive: Path, directory: Path) -> None:
    """Unpack a gzip-compressed tar archive.

    Refused are absolute paths, ``..``, links that lead out of the directory, devices, more than `MOST_FILES` entries
    and more than `LARGEST` bytes or than the disk has to spare, whatever the sizes in the headers say, and what is many
    times smaller than what it unpacks to. Owners, times
    and modes are not taken over, but for whether a file can be executed.

    ``tarfile.data_filter`` is not used: Python has it since 3.10.12 and 3.11.4 only, and needed several mends since.

    Raises
    ------
    BadArchiveError
        In these cases, and if it is damaged. Part of it may have been unpacked.
    OSError
        If the directory cannot be written.
    """
    room = min(LARGEST, shutil.disk_usage(directory).free - _SPARE)
    bomb = max(_SMALL, RATIO * archive.stat().st_size)
    unpacked = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for count, member in enumerate(tar, 1):
                unpacked += member.size
                if count > MOST_FILES:
                    raise BadArchiveError(f"it has more than {MOST_FILES} entries")
                if unpacked > room:
                    raise BadArchiveError(f"it unpacks to more than {room} bytes")
                if unpacked > bomb:
                    raise BadArchiveError(f"it unpacks to more than {RATIO} times its size")
                _check(member)
                _write(tar, member, directory)
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise BadArchiveError(f"{error}".rstrip(".") or "it ends too early") from error
    except OSError as error:
        # gzip's own errors are OSErrors without a number.
        if error.errno is None:
            raise BadArchiveError(f"{error}".rstrip(".")) from error
        raise


def _check(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute():
        raise BadArchiveError(f"{member.name!r} is an absolute path")
    if ".." in path.parts:
        raise BadArchiveError(f"{member.name!r} leads out of the model directory")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise BadArchiveError(f"{member.name!r} is neither a file, a folder nor a link")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    target = directory / member.name
    if target == directory and member.isdir():
        return  # as `tar c .` and SageMaker SDK 2 have it
    # Looked at when it is written: an earlier entry may be a link that this one's path goes through.
    _require_inside(target.parent, directory, member)
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # of two entries of one name, the last counts
        if member.issym():
            _require_inside(target.parent / member.linkname, directory, member)
            target.symlink_to(member.linkname)
        elif member.islnk():
            os.link(_linked_file(member, directory), target)
        else:
            _write_file(tar, member, target)
    except (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise _misfit(member) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadArchiveError(f"{member.name!r} goes through links that lead to themselves") from error
        if error.errno == errno.ENAMETOOLONG:
            raise BadArchiveError(f"{member.name[:100]!r}… is too long a name") from error
        raise


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = tar.extractfile(member)
    if content is not None:
        with content, target.open("xb") as file:
            shutil.copyfileobj(content, file, _PIECE)
    if member.mode & 0o100:
        target.chmod(0o700)


def _linked_file(member: tarfile.TarInfo, directory: Path) -> Path:
    path = Path(os.path.realpath(directory / member.linkname))
    _require_inside(path, directory, member)
    if not path.is_file():
        raise _misfit(member)
    return path


def _misfit(member: tarfile.TarInfo) -> BadArchiveError:
    return BadArchiveError(f"{member.name!r} does not fit the entries before it")


def _require_inside(path: Path, directory: Path, member: tarfile.TarInfo) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory)):
        raise BadArchiveError(f"{member.name!r} leads out of the model directory")
