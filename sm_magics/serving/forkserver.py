"""The warm process: it has imported torch and the toolkit, and forks workers. One per Python interpreter.

Run as ``python -m sm_magics.serving.forkserver SOCKET OWNER``. Whoever connects to the socket asks for workers::

    {"spawn": {…an Assignment…}}    with two file descriptors: the worker's connection and its log
        → {"pid": 4711}             and, when it has ended, {"exited": 4711, "status": -9}
    {"kill": 4711}

A worker belongs to the connection that asked for it and is killed when that ends. Standard input is such a
connection too, the owner's, who hears there that everything is imported, ``{"ready": 4710}``, or ``{"failed":
"Traceback …"}``. The process ends when it does.

OpenMP does not survive a fork once it has run with more than one thread. So this process is started with one
thread each for OpenMP, OpenBLAS and MKL, computes nothing, and has one Python thread.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn, cast

from .deferred import import_decoder
from .lifeline import end_with
from .messages import LENGTHS_SIZE, Assignment, frame, lengths

_SPAWN_DESCRIPTORS = 2
_CONTROL_TIMEOUT = 10.0  # seconds for one message of a few kilobytes, from a process of ours


class ForkServer:
    """Listens on a Unix socket and forks a worker for who asks.

    Parameters
    ----------
    path
        Where to listen; mode 0600.
    """

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        os.chmod(path, 0o600)  # noqa: PTH101
        self._listener.listen()
        self._owner = socket.socket(fileno=os.dup(0))
        self._owner.settimeout(_CONTROL_TIMEOUT)
        self._owners: dict[int, socket.socket] = {}
        self._alive, self._held = os.pipe()
        self._woken, wake = os.pipe()
        for descriptor in (self._woken, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)
        self._selector.register(self._owner, selectors.EVENT_READ, self._hear)

    def tell_owner(self, message: dict[str, Any]) -> None:
        """Say something to who started this process."""
        self._owner.sendall(frame(message))

    def serve(self) -> NoReturn:
        """Fork for who asks, until the owner goes."""
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _accept(self, _: object) -> None:
        connection, _address = self._listener.accept()
        connection.settimeout(_CONTROL_TIMEOUT)
        self._selector.register(connection, selectors.EVENT_READ, self._hear)

    def _hear(self, connection: socket.socket) -> None:
        try:
            message, descriptors = _receive(connection)
        except (OSError, ValueError):
            self._drop(connection)
            return
        if "spawn" in message and len(descriptors) == _SPAWN_DESCRIPTORS:
            self._fork(connection, message["spawn"], *descriptors)
        elif self._owners.get(message.get("kill", 0)) is connection:
            _kill_group(message["kill"])

    def _fork(self, connection: socket.socket, assignment: dict[str, Any], requests: int, log: int) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no more processes, no more memory: the workers that there are go on
            self._tell(connection, {"failed": f"No worker can be forked: {error.strerror or error}."})
            return
        else:
            if pid == 0:
                self._become_worker(parent, assignment, requests, log)
        finally:
            os.close(requests)
            os.close(log)
        self._owners[pid] = connection
        self._tell(connection, {"pid": pid})

    def _become_worker(self, parent: int, assignment: dict[str, Any], requests: int, log: int) -> NoReturn:
        from . import worker

        try:
            end_with(parent, self._alive)
            signal.set_wakeup_fd(-1)
            for key in list(self._selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            for descriptor in (self._held, self._woken, self._wake):
                os.close(descriptor)
            self._selector.close()
            worker.run(Assignment(**assignment), socket.socket(fileno=requests), log)
        except BaseException:  # noqa: BLE001 - never back into the parent's loop
            traceback.print_exc()
        finally:
            os._exit(1)

    def _reap(self, _: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        while self._owners:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            # Processes that the handlers started go with their worker.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            owner = self._owners.pop(pid, None)
            if owner is not None and owner.fileno() >= 0:
                self._tell(owner, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, connection: socket.socket, message: dict[str, Any]) -> None:
        try:
            connection.sendall(frame(message))
        except OSError:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        if connection.fileno() < 0:
            return
        self._selector.unregister(connection)
        for pid, owner in self._owners.items():
            if owner is connection:
                _kill_group(pid)
        connection.close()
        if connection is self._owner:
            for pid in self._owners:
                _kill_group(pid)
            os._exit(0)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    prefix, descriptors, _flags, _address = socket.recv_fds(connection, LENGTHS_SIZE, _SPAWN_DESCRIPTORS)
    if not prefix:
        raise ConnectionResetError
    with connection.makefile("rb", buffering=0) as stream:

        def exactly(data: bytes, count: int) -> bytes:
            while len(data) < count:
                more = cast("bytes", stream.read(count - len(data)))
                if not more:
                    raise ConnectionResetError
                data += more
            return data

        head_length, body_length = lengths(exactly(prefix, LENGTHS_SIZE))
        head = exactly(b"", head_length)
        exactly(b"", body_length)
    from json import loads

    return loads(head), descriptors


def _kill_group(pid: int) -> None:
    # A worker leads its own group, but for the first moments of its life.
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def main(path: str, owner: int) -> None:
    """Import everything, say so, then fork for who asks."""
    gc.disable()  # collecting while torch is imported takes a fifth of the time, and finds next to nothing
    end_with(owner)  # and standard input tells elsewhere than on Linux
    server = ForkServer(path)  # listens at once: who connects early waits in the backlog
    try:
        import_decoder()
        from . import worker
    except BaseException:  # noqa: BLE001 - told to the owner
        server.tell_owner({"failed": traceback.format_exc()})
        os._exit(1)
    del worker
    gc.freeze()
    gc.enable()
    server.tell_owner({"ready": os.getpid()})
    server.serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
