"""Letting the disk begin with a file while it is still being written, so that less is left to wait for at the end.

Without this the whole of a file waits in memory until it is synchronised: writing and the disk take turns.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

_STEP = 8 << 20  # bytes; a disk is at its full speed from about 1 MiB on
_WRITE = 2  # SYNC_FILE_RANGE_WRITE, sync_file_range(2): begin, and do not wait
_Begin = Callable[[int, int, int, int], int]


class Ahead:
    """What of a file the disk was given already.

    Parameters
    ----------
    descriptor
        Of a file that is written forwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = 0

    def reached(self, position: int) -> None:
        """Give the disk what was written up to a position; where the system cannot, the end will have to do it all."""
        begin = _begin()
        if begin is not None and position - self._begun >= _STEP:
            begin(self._descriptor, self._begun, position - self._begun, _WRITE)  # fsync is who tells of failures
            self._begun = position


@cache
def _begin() -> _Begin | None:
    """Return Linux's ``sync_file_range``, which the standard library does not have."""
    try:
        found = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError):
        return None
    found.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    found.restype = ctypes.c_int
    return found
