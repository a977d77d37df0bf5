"""A ``model.tar.gz`` from anywhere, unpacked so that it can harm nothing."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

#: SageMaker's own default volume size is 30 GB.
LARGEST = 30 * 10**9
MOST_FILES = 100_000
#: Disk space that is left to everything else, in bytes.
_SPARE = 256 << 20


class BadArchiveError(Exception):
    """The archive is none, or would write where it must not. The message is a clause that completes a sentence."""


def extract(archive: Path, directory: Path) -> None:
    """Unpack a gzip-compressed tar archive.

    Refused are absolute paths, ``..``, links that lead out of the directory, devices, more than `MOST_FILES` entries
    and more than `LARGEST` bytes or than the disk has to spare, whatever the sizes in the headers say.

    Raises
    ------
    BadArchiveError
        In these cases, and if it is damaged. Part of it may have been unpacked.
    OSError
        If the directory cannot be written.
    """
    room = min(LARGEST, shutil.disk_usage(directory).free - _SPARE)
    unpacked = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for count, member in enumerate(tar, 1):
                unpacked += member.size
                if count > MOST_FILES:
                    raise BadArchiveError(f"it has more than {MOST_FILES} entries")
                if unpacked > room:
                    raise BadArchiveError(f"it unpacks to more than {room} bytes")
                _check(member)
                tar.extract(member, directory, filter="data")
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise BadArchiveError(f"{error}".rstrip(".") or "it ends too early") from error
    except OSError as error:
        # gzip's own errors are OSErrors without a number.
        if error.errno is None:
            raise BadArchiveError(f"{error}".rstrip(".")) from error
        raise


def _check(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    # The filter would strip the slash, and resolve `a/../b`.
    if path.is_absolute():
        raise BadArchiveError(f"{member.name!r} is an absolute path")
    if ".." in path.parts:
        raise BadArchiveError(f"{member.name!r} leads out of the model directory")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise BadArchiveError(f"{member.name!r} is neither a file, a folder nor a link")
