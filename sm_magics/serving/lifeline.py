"""Processes that end with the one that started them, even if that one is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def end_with(parent: int, pipe: int | None = None) -> None:
    """End this process as soon as its parent has ended.

    On Linux the kernel sees to it. It follows the *thread* that forked, so fork from one that stays. Elsewhere a
    thread waits for the end of a pipe.

    Parameters
    ----------
    parent
        Process id of the parent. If it is not the parent any more, the process ends at once.
    pipe
        File descriptor of a pipe's end to read from, whose other end the parent alone holds. None: only the
        kernel watches.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    elif pipe is not None:
        threading.Thread(target=_end_after, args=(pipe,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, so that they can be found. On Linux only."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_after(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os._exit(1)
