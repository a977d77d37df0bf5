"""The service's own log: bounded, where the service was started with its output going to a file."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

#: Bytes of the file at which it begins anew. What it had is kept beside it, as ``service.log.1``, until the next time.
LARGEST = 8 << 20


def bound(file: Path, *, descriptor: int = 2, largest: int = LARGEST) -> None:
    """Let a log file begin anew if it has become too large. To be called now and then.

    It is copied and emptied rather than renamed: processes of ours (the workers' parents, moto) write there too. Their
    lines that come just then may be lost.

    Parameters
    ----------
    descriptor
        Where the log is written to. Nothing is done if that is not this file, opened for appending.
    """
    try:
        written, found = os.fstat(descriptor), file.stat()
    except OSError:
        return
    appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    if not os.path.samestat(written, found) or not appends or found.st_size < largest:
        return
    shutil.copyfile(file, file.with_name(f"{file.name}.1"))
    os.truncate(file, 0)
