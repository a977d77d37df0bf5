"""One run of the warm process, from the side of who started it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .messages import LENGTHS_SIZE, Assignment, frame, lengths
from .settings import inherited

_LONGEST_SOCKET_PATH = 100  # sockaddr_un holds 107 bytes on Linux, 103 on macOS
START_SECONDS = 180.0  # to import torch; seconds on most machines, a minute from a cold network disk
_BUFFER = 1 << 20  # bytes: a long body goes through in few turns

# One thread: OpenMP does not survive the fork otherwise.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class ParentFailed(ChildProcessError):  # noqa: N818 - what happened
    """The warm process did not start, or ended. The message says why."""


@dataclass(frozen=True)
class Forked:
    """A worker that has been forked and is loading.

    Attributes
    ----------
    pid
        Its process id.
    connection
        Our end of the socket that requests go through. Not blocking.
    log
        File descriptor of the pipe that its prints come out of. Not blocking.
    exited
        Its exit status once it has ended: negative for a signal.
    kill
        Kills it, and the processes it started. Does nothing if it has ended.
    """

    pid: int
    connection: socket.socket
    log: int
    exited: asyncio.Future[int]
    kill: Callable[[], None]


class WarmProcess:
    """A running fork server, and the connection on which it is asked for workers. Make one with `launch`."""

    def __init__(
        self, process: asyncio.subprocess.Process, address: Path, control: socket.socket, errors: _LastLines
    ) -> None:
        self._process = process
        self.address = address
        self._control = control
        self._errors = errors
        self._lock = asyncio.Lock()
        self._asked: deque[asyncio.Future[tuple[int, asyncio.Future[int]]]] = deque()
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._alive = True
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def launch(cls, python: str, directory: Path, environ: Mapping[str, str]) -> WarmProcess:
        """Start the process and wait until it has imported everything.

        Raises
        ------
        ParentFailed
            If it cannot be started, or cannot import what it needs.
        """
        path = _socket_path(directory)
        environment = {**inherited(os.environ), **_ONE_THREAD, **environ}
        control, theirs = socket.socketpair()  # its standard input: what start-up files print is no message then
        control.setblocking(False)
        arguments = (python, "-m", "sm_magics.serving.forkserver", str(path), str(os.getpid()))
        try:
            path.with_name("python").write_text(python)  # for `client.find_parent`
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=path.parent,  # -m puts it on sys.path: nothing can be imported from there
                env=environment,
                start_new_session=True,  # a Ctrl-C in a terminal is not for it
            )
        except (OSError, ValueError) as error:  # ValueError: no file can have that name
            control.close()
            shutil.rmtree(path.parent, ignore_errors=True)
            raise ParentFailed(f"{python} cannot be started: {getattr(error, 'strerror', None) or error}.") from error
        finally:
            theirs.close()
        errors = _LastLines(process)
        try:
            await asyncio.wait_for(_until_ready(process, control, errors, python), START_SECONDS)
        except BaseException as error:
            control.close()
            await _end(process, errors, path)
            if isinstance(error, asyncio.TimeoutError):
                late = f"{python} was not ready to fork workers after {START_SECONDS:g} s."
                raise ParentFailed(late + errors.text) from error
            raise
        return cls(process, path, control, errors)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self._alive

    async def fork(self, assignment: Assignment) -> Forked:
        """Fork a worker; see `WarmParent.fork`."""
        message = frame({"spawn": asdict(assignment)})
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        os.set_blocking(reading, False)
        loop = asyncio.get_running_loop()
        forked: asyncio.Future[tuple[int, asyncio.Future[int]]] = loop.create_future()
        try:
            async with self._lock:
                self._check()
                sent = socket.send_fds(self._control, [message], [theirs.fileno(), writing])
                self._asked.append(forked)
                await loop.sock_sendall(self._control, message[sent:])
            pid, exited = await forked
        except BaseException as error:
            ours.close()
            os.close(reading)
            if isinstance(error, OSError) and not isinstance(error, ParentFailed):
                raise ParentFailed(f"The warm process has ended: {error.strerror or error}.") from error
            raise
        finally:
            theirs.close()
            os.close(writing)
        return Forked(pid, ours, reading, exited, partial(self.kill, pid))

    def kill(self, pid: int) -> None:
        """Kill a worker and the processes it started. Does nothing if it has ended."""
        if self._lock.locked():  # a longer message may be under way
            asyncio.get_running_loop().call_later(0.01, self.kill, pid)
            return
        with contextlib.suppress(OSError):
            self._control.send(frame({"kill": pid}))

    async def close(self) -> None:
        """End the process, and all workers with it."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._control.close()
        await _end(self._process, self._errors, self.address)
        self._fail()

    def _check(self) -> None:
        if not self.alive:
            raise ParentFailed("The warm process has ended." + self._errors.text)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        received = bytearray()
        while data := await _receive(loop, self._control):
            received += data
            while len(received) >= LENGTHS_SIZE:
                head_length, body_length = lengths(received[:LENGTHS_SIZE])
                end = LENGTHS_SIZE + head_length + body_length
                if len(received) < end:
                    break
                self._hear(received[LENGTHS_SIZE : LENGTHS_SIZE + head_length])
                del received[:end]
        self._fail()

    def _hear(self, text: bytearray) -> None:
        from json import loads

        message: dict[str, Any] = loads(text)
        if "failed" in message:
            waiting = self._asked.popleft()
            if not waiting.done():
                waiting.set_exception(ParentFailed(message["failed"]))
        elif "pid" in message:
            exited = self._exits[message["pid"]] = asyncio.get_running_loop().create_future()
            waiting = self._asked.popleft()
            if waiting.done():  # who asked has gone
                self.kill(message["pid"])
            else:
                waiting.set_result((message["pid"], exited))
        else:
            self._exits.pop(message["exited"]).set_result(message["status"])

    def _fail(self) -> None:
        """Tell everybody who waits that nothing comes any more: the workers have ended with the process."""
        self._alive = False
        for waiting in self._asked:
            if not waiting.done():
                waiting.set_exception(ParentFailed("The warm process has ended." + self._errors.text))
        self._asked.clear()
        for exited in self._exits.values():
            if not exited.done():
                exited.set_result(-9)
        self._exits.clear()


class _LastLines:
    """Keeps the last lines that the process printed: they say why it ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._lines: deque[str] = deque(maxlen=20)
        self._rest = b""
        self.reading = asyncio.create_task(self._read(process))

    @property
    def text(self) -> str:
        """The lines, after a line feed; empty if there are none."""
        return "".join(f"\n{line}" for line in (*self._lines, self._rest.decode(errors="replace")) if line)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout is not None and (data := await process.stdout.read(1 << 16)):
            lines = (self._rest + data).decode(errors="replace").splitlines(keepends=True)
            self._rest = b"" if lines[-1].endswith("\n") else lines.pop()[-4096:].encode()  # a line may have no end
            self._lines.extend(line.rstrip() for line in lines)


async def _until_ready(
    process: asyncio.subprocess.Process, control: socket.socket, errors: _LastLines, python: str
) -> None:
    from json import loads

    loop = asyncio.get_running_loop()
    received = bytearray()
    while len(received) < LENGTHS_SIZE or len(received) < LENGTHS_SIZE + sum(lengths(received[:LENGTHS_SIZE])):
        data = await _receive(loop, control)
        if not data:
            status = await process.wait()
            await errors.reading
            raise ParentFailed(f"{python} ended with status {status} before it could fork workers.{errors.text}")
        received += data
    message = loads(received[LENGTHS_SIZE:])
    if "failed" in message:
        raise ParentFailed(f"{python} cannot serve models.\n{message['failed'].rstrip()}")


async def _end(process: asyncio.subprocess.Process, errors: _LastLines, address: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    await errors.reading
    shutil.rmtree(address.parent, ignore_errors=True)


async def _receive(loop: asyncio.AbstractEventLoop, control: socket.socket) -> bytes:
    try:
        return await loop.sock_recv(control, 1 << 16)
    except OSError:
        return b""


def _socket_path(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix="warm-", dir=directory))
    path = own / "parent"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    own.rmdir()
    return Path(tempfile.mkdtemp(prefix="sm-magics-")) / "parent"
