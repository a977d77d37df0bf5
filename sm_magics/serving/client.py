"""Workers for a process that did not start the warm parent: ask a running one over its socket.

It is the plain, blocking way, for who needs one worker for a while, without a queue or a replacement::

    with ParentClient(parent.address) as client, client.fork(assignment, log=2) as worker:
        answer = ask(worker, request)
"""

from __future__ import annotations

import errno
import socket
from dataclasses import asdict
from json import loads
from pathlib import Path
from types import TracebackType
from typing import Any, final

from .connection import describe_exit
from .messages import LENGTHS_SIZE, Answer, Assignment, ModelLoadFailed, Request, frame, lengths
from .process import ParentFailed


@final
class ParentClient:
    """A connection to a running warm parent. Its workers are killed when it is closed, or its process ends.

    Parameters
    ----------
    address
        The parent's socket: `WarmParent.address`. Only its user can open it.
    timeout
        Seconds that forking and loading may take each. None: any time.

    Raises
    ------
    ParentFailed
        If no parent listens there.

    Attributes
    ----------
    pid
        Process id of the worker that was forked last, 0 before the first.
    """

    def __init__(self, address: Path, *, timeout: float | None = None) -> None:
        self._timeout = timeout
        self.pid = 0
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(timeout)
        try:
            self._control.connect(str(address))
        except OSError as error:
            self._control.close()
            raise ParentFailed(f"No warm process listens at {address}: {error.strerror or error}.") from error

    def __enter__(self) -> ParentClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The workers are killed, and what they started."""
        self._control.close()

    def fork(self, assignment: Assignment, *, log: int) -> socket.socket:
        """Fork a worker and wait until it has loaded the model.

        Parameters
        ----------
        assignment
            What it is to serve.
        log
            File descriptor that gets what the handlers print. It stays the caller's to close.

        Returns
        -------
        socket.socket
            To `ask` the worker. It ends when this is closed.

        Raises
        ------
        ModelLoadFailed
            With the traceback, if it could not load the model.
        ParentFailed
            If the parent has ended.
        TimeoutError
            If it took longer than the client's time-out. The worker has been killed.
        """
        message = frame({"spawn": asdict(assignment)})
        ours, theirs = socket.socketpair()
        ours.settimeout(self._timeout)
        try:
            with theirs:
                sent = socket.send_fds(self._control, [message], [theirs.fileno(), log])
                self._control.sendall(message[sent:])
            pid = self.pid = self._told("pid")["pid"]
        except TimeoutError:
            ours.close()
            raise
        except OSError as error:
            ours.close()
            raise ParentFailed(f"The warm process has ended: {error.strerror or error}.") from error
        try:
            loaded, _ = receive(ours)
        except ConnectionError:
            ours.close()
            raise ModelLoadFailed(f"The worker died while it loaded the model ({self.ended(pid)}).") from None
        except TimeoutError:
            self._control.sendall(frame({"kill": pid}))
            ours.close()
            raise
        if "failed" in loaded:
            ours.close()
            raise ModelLoadFailed(loaded["failed"])
        return ours

    def ended(self, pid: int) -> str:
        """Wait for the end of a worker that was forked here, and return how it ended: ``killed by SIGSEGV``."""
        return describe_exit(self._told("exited", pid)["status"])

    def _told(self, what: str, pid: int | None = None) -> dict[str, Any]:
        """Return the parent's next message of that kind, about that worker. Ends of others are passed over."""
        while True:
            message, _ = receive(self._control)
            if what == "pid" and "failed" in message:
                raise ParentFailed(message["failed"])
            if what in message and pid in {None, message[what]}:
                return message


def find_parent(directory: Path, python: str) -> Path | None:
    """Return the socket of a running parent of this interpreter, None if there is none.

    Parameters
    ----------
    directory
        Where whoever started it keeps its sockets: what `WarmParent.start` was given.
    python
        The interpreter's path, as it was given there.
    """
    for about in sorted(directory.glob("warm-*/python")):
        address = about.with_name("parent")
        try:
            if about.read_text() != python:
                continue
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(address))
        except OSError:  # it has ended, or is just starting
            continue
        return address
    return None


def ask(worker: socket.socket, request: Request) -> Answer:
    """Return the worker's answer to a request.

    Raises
    ------
    ConnectionError
        If it died over it.
    TimeoutError
        If it took longer than the socket's time-out. The worker is of no use any more.
    """
    worker.sendall(b"".join(request.frame()))
    return Answer.from_frame(*receive(worker))


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Return the head and the body of the next frame; ``ConnectionError`` if there is none."""
    head_length, body_length = lengths(_exactly(connection, LENGTHS_SIZE))
    head: dict[str, Any] = loads(_exactly(connection, head_length))
    return head, bytes(_exactly(connection, body_length))


def _exactly(connection: socket.socket, count: int) -> bytearray:
    received = bytearray(count)
    rest = memoryview(received)
    while rest:
        read = connection.recv_into(rest)
        if not read:
            raise ConnectionResetError(errno.ECONNRESET, "it closed the connection")
        rest = rest[read:]
    return received
