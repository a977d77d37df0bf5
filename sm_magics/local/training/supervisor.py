"""The process between the service and a training script: what it starts ends with it, whichever way.

Run as ``python -m sm_magics.local.training.supervisor``. The first line of its standard input is what to start, as
JSON: ``command``, ``environ``, ``cwd`` and ``whole_group``. A further line ``stop`` sends SIGTERM, to the script alone
or to its whole process group. When the input ends, because the service closed it or died, everything is killed; so it
is when the script ends, like a container with its first process. What the script prints goes to the standard output.
The exit status is the script's; if a signal ended it, the same signal ends this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from sm_magics.serving.lifeline import adopt_orphans, end_with

#: Seconds between two looks whether a process group that was told to stop is gone.
_LOOK = 0.05
#: Seconds for processes that were killed to be gone.
_PATIENCE = 5.0
#: What a shell returns for a command that it cannot start.
_NOT_STARTED = 127


def main() -> int:
    """Run what the first line of the input says; return its exit status, negative for a signal."""
    text = b""
    while not text.endswith(b"\n"):
        if not (piece := os.read(0, 1)):
            return _NOT_STARTED
        text += piece
    order: dict[str, Any] = json.loads(text)
    adopt_orphans()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        process = subprocess.Popen(
            order["command"],
            env=order["environ"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # This process has one thread.
            preexec_fn=partial(end_with, os.getpid()),  # noqa: PLW1509
        )
    except (OSError, ValueError) as error:
        print(f"{order['command'][0]} cannot be started: {getattr(error, 'strerror', None) or error}", flush=True)  # noqa: T201
        return _NOT_STARTED
    status = _watch(process.pid, reading, whole_group=order["whole_group"])
    _kill_all(process.pid)
    process.returncode = status
    return status


def _watch(pid: int, wakeup: int, *, whole_group: bool) -> int:
    """Wait for the script to end, or, once it was told to stop, for all of its process group if that is meant."""
    status: int | None = None
    stopping = False
    while True:
        ready, _, _ = select.select([0, wakeup], [], [], _LOOK if stopping else None)
        if wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wakeup, 4096)
        if 0 in ready:
            if not os.read(0, 4096):
                return status if status is not None else -signal.SIGKILL
            stopping = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM) if whole_group else os.kill(pid, signal.SIGTERM)
        status = _reaped(pid, status)
        if status is not None and not (stopping and whole_group and _is_there(pid)):
            return status


def _reaped(pid: int, status: int | None) -> int | None:
    """Take leave of all children that have ended; return the script's exit status if it is among them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, how = os.waitpid(-1, os.WNOHANG)
            if not ended:
                break
            if ended == pid:
                status = os.waitstatus_to_exitcode(how)
    return status


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return False
    return True


def _kill_all(group: int) -> None:
    """Kill the process group, and on Linux whatever left it: this process has adopted that."""
    deadline = time.monotonic() + _PATIENCE
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    while (children := _children()) and time.monotonic() < deadline:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _reaped(0, None)
        time.sleep(0.01)


def _children() -> list[int]:
    own = str(os.getpid())
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may have anything in it.
            if entry.read_text(errors="replace").rpartition(")")[2].split()[1] == own:
                found.append(int(entry.parent.name))
    return found


def _end_like(status: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)


if __name__ == "__main__":
    code = main()
    if code < 0:
        _end_like(code)
    sys.exit(code if code >= 0 else 128 - code)
