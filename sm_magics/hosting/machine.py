"""Starts SageMaker on this machine as a process of its own, and finds it again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sm_magics.errors import ServiceUnavailable
from sm_magics.home import ServiceAddress, home

START_SECONDS = 120.0
"""How long the service may take until it listens. It takes half a second, and much longer where many start something at
once; if it ends before, nobody waits for it."""

_LONGEST_LOG = 1 << 20
"""Bytes of the service's log from which it is set aside, in place of the one before, when the service is started."""


@dataclass(frozen=True)
class _Start:
    """A service that was started here and has not answered yet, and where its part of the log begins."""

    process: subprocess.Popen[bytes]
    log_start: int


_started: dict[Path, _Start] = {}  # by state directory
_lock = threading.Lock()


def prepare() -> None:
    """Start the service if nothing answers, and do not wait for it: it loads torch while the model is packaged."""
    with _lock:
        start = _started.get(home())
        if (start is None or start.process.poll() is not None) and running() is None:
            _started[home()] = _spawn()


def ensure_running() -> ServiceAddress:
    """Return the address of the running service, started now if none answers.

    Raises
    ------
    ServiceUnavailable
        If it does not start, with the last lines of its log.
    """
    address = running()
    if address is None:
        prepare()
        address = _await(_started.get(home()))
    # From now on it is found by its address alone: if it dies, another one is started.
    _started.pop(home(), None)
    return address


def running() -> ServiceAddress | None:
    """Return the service's address if something listens there. Starts nothing."""
    address = ServiceAddress.read()
    if address is None:
        return None
    url = urlsplit(address.url)
    try:
        # A process id can outlive its process (as a zombie) or be another's by now: ask the port.
        socket.create_connection((url.hostname, url.port), timeout=5).close()
    except OSError:
        return None
    return address


def _spawn() -> _Start:
    log = _log()
    with suppress(OSError):  # no log yet, or another process has just set it aside
        if log.stat().st_size > _LONGEST_LOG:
            log.replace(log.with_name(f"{log.name}.1"))
    # Others may be starting it too: each adds to what is there.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        log_start = os.fstat(descriptor).st_size
        # --warm: the interpreter whose torch the endpoints will use is loaded while the service itself starts.
        process = subprocess.Popen(
            [sys.executable, "-m", "sm_magics.local", "--warm", sys.executable],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=home(),
            start_new_session=True,  # Ctrl-C in the notebook is not for it, and it outlives the kernel
        )
    finally:
        os.close(descriptor)
    # Reaped when it ends, so that it never stays behind as a zombie of the kernel.
    threading.Thread(target=process.wait, name="sm_magics-reaper", daemon=True).start()
    return _Start(process, log_start)


def _await(start: _Start | None) -> ServiceAddress:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        address = running()
        if address is not None:
            return address
        if start is not None and start.process.poll() not in {None, 0}:  # 0: it found another that is just starting
            break
        time.sleep(0.01)
    said = _log().read_bytes()[start.log_start if start else 0 :].decode(errors="replace")
    tail = "\n".join(said.splitlines()[-12:])
    raise ServiceUnavailable(
        f"SageMaker on this machine did not start.\n{tail}".rstrip(),
        hint="!python -m sm_magics.local    # starts it in the foreground and says why not",
    )


def _log() -> Path:
    return home() / "service.log"
