"""Deployments that were begun from this machine: one at a time for a name, and those that never came to their end.

Each endpoint that is deployed to has a file. Its lock belongs to who deploys, and the system takes that away whatever
becomes of the process. What stands in it was written before the first request that makes anything, and is taken out
once nothing is left to do: what still stands there while nobody holds the lock was broken off.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sm_magics.errors import EndpointConflictError
from sm_magics.home import home

BEGUN, FAILED, CLEARING = "begun", "failed", "clearing"

PATIENCE = 60.0
"""Seconds to wait for who only clears away what an endpoint served before."""

_LONGEST = 1 << 16  # bytes of a record

_MOMENT = 1.0
"""Seconds in which the lock becomes free if nobody has it but those who look whether somebody has."""


@dataclass(frozen=True)
class Begun:
    """A deployment under way, or one that was broken off.

    Attributes
    ----------
    where, name
        The place and the endpoint.
    upload
        The S3 URI of the model data.
    profile
        The AWS profile that it was begun with.
    config_name
        The endpoint configuration that SageMaker has been asked for; empty as long as it has not been.
    state
        `BEGUN`, `FAILED`, or `CLEARING`: all that is left to do is to take away what the endpoint served before.
    follower
        The process that will do it once it can, while other cells run; 0 if there is none.
    when
        Seconds since 1970.
    """

    where: str
    name: str
    upload: str = ""
    profile: str = ""
    config_name: str = ""
    state: str = BEGUN
    follower: int = 0
    when: float = field(default_factory=time.time)


class Attempt:
    """The right to deploy to a name, while it is held."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def begin(self, begun: Begun) -> None:
        """Write down what is begun."""
        content = json.dumps(asdict(begun)).encode()
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def go_on(self, state: str, follower: int = 0) -> None:
        """Write down how far it has come, if anything was begun, and which process does the rest; 0: none."""
        record = _read_from(os.pread(self._descriptor, _LONGEST, 0))
        if record is not None:
            self.begin(replace(record, state=state, follower=follower))

    def end(self) -> None:
        """Write down that nothing is left to do."""
        os.ftruncate(self._descriptor, 0)


@contextmanager
def alone(where: str, name: str) -> Iterator[Attempt]:
    """Hold the right to deploy to an endpoint's name on this machine; it ends with the process at the latest.

    Raises
    ------
    EndpointConflictError
        If another kernel, or another cell's thread, is deploying to it.
    """
    descriptor = os.open(_file(where, name), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _has_taken(descriptor, where, name):
            raise EndpointConflictError(
                f"{name} is being deployed by another notebook or cell on this machine just now.",
                hint=f"%sm_status {name} --wait    # then deploy again",
            )
        yield Attempt(descriptor)
    finally:
        os.close(descriptor)


def of(where: str, name: str) -> Begun | None:
    """Return what was begun for an endpoint and has not come to its end, None if nothing was."""
    return _read(_file(where, name))


def broken_off() -> list[Begun]:
    """Return all deployments that nobody is at any more and that did not come to their end, the oldest first."""
    found = []
    for path in _directory().iterdir():
        begun = _read(path)
        if begun is None or _is_alive(begun.follower):
            continue
        with suppress(OSError), path.open() as file:  # in the hands of who holds its lock
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            found.append(begun)
    return sorted(found, key=lambda begun: begun.when)


def leave(where: str, name: str, state: str) -> None:
    """Note that nobody does the rest any more. Whoever is deploying to it just now is not disturbed."""
    if of(where, name) is not None:
        with suppress(EndpointConflictError), alone(where, name) as attempt:
            attempt.go_on(state)


def forget(where: str, name: str) -> None:
    """Note that nothing of an endpoint is left. Whoever is deploying to it just now is not disturbed."""
    if of(where, name) is not None:
        with suppress(EndpointConflictError), alone(where, name) as attempt:
            attempt.end()


def _has_taken(descriptor: int, where: str, name: str) -> bool:
    start = time.monotonic()
    while not _locked(descriptor):
        begun = of(where, name)
        if time.monotonic() - start >= (PATIENCE if begun is not None and begun.state == CLEARING else _MOMENT):
            return False
        time.sleep(0.05)
    return True


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_alive(process: int) -> bool:
    if not process:
        return False
    try:
        os.kill(process, 0)
    except OSError:  # there is none of that number, or it is somebody else's by now
        return False
    return True


def _read(path: Path) -> Begun | None:
    try:
        return _read_from(path.read_bytes())
    except OSError:
        return None


def _read_from(content: bytes) -> Begun | None:
    try:
        return Begun(**json.loads(content))
    except (ValueError, TypeError):  # nothing, or half of something
        return None


def _file(where: str, name: str) -> Path:
    return _directory() / f"{where}.{name}".lower()


def _directory() -> Path:
    path = home() / "deploying"
    path.mkdir(mode=0o700, exist_ok=True)
    return path
