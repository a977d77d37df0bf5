"""One worker as the server sees it: a request out, an answer in, and its log."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import Callable
from fcntl import ioctl
from json import loads
from typing import Any, cast

from .messages import LENGTHS_SIZE, Answer, Assignment, ModelLoadFailed, Request, lengths
from .parent import Forked, WarmParent

_SIOCOUTQ = 0x5411  # bytes that the other side has not read
_GRACE = 1.0  # seconds from a worker's death to the end of its connection; the last of its threads goes a little later
_LONGEST_LINE = 256 * 1024  # bytes: what CloudWatch Logs takes as one event


class Worker(asyncio.Protocol):
    """A worker that has loaded its model. Make one with `open`.

    Attributes
    ----------
    lost
        Whether no answer can come any more.
    on_answer
        Called with the answer to the request that `ask` sent, if it comes in one piece.
    on_piece
        Called with the head and the body of each frame of an answer that comes in pieces.
    on_lost
        Called once when `lost` becomes true: the worker has ended, or is about to. The argument tells that it
        had not read the request to its end, so that another worker may have it.
    """

    def __init__(self, forked: Forked, log: Callable[[str], None]) -> None:
        self.lost = False
        self.ignore()
        self.pid = forked.pid
        self._forked = forked
        self._log = _Log(forked.log, log)
        self._loaded: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._start = b""  # of a frame whose head is not complete
        self._head: dict[str, Any] | None = None
        self._body: list[bytes] = []
        self._missing = 0  # bytes of the body
        self._unread = False
        self._poll = select.poll()  # asked for errors only
        # A process of the handlers' own may keep the connection open after the worker's death.
        forked.exited.add_done_callback(self._abort)

    @classmethod
    async def open(cls, parent: WarmParent, assignment: Assignment, log: Callable[[str], None]) -> Worker:
        """Fork a worker and wait until it has loaded the model.

        Raises
        ------
        ModelLoadFailed
            If it could not. Everything it printed is in the log by then.
        ParentFailed
            If it could not be forked.
        """
        forked = await parent.fork(assignment)
        self = cls(forked, log)
        try:
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: self, sock=forked.connection)
            message = await self._loaded
        except BaseException:
            await self.close()
            raise
        if "ready" in message:
            return self
        status = await self.close()
        raise ModelLoadFailed(
            message.get("failed") or f"The worker died while it loaded the model ({describe_exit(status)})."
        )

    def ask(self, request: Request, *, stream: bool) -> None:
        """Send a request. Its answer must be there before the next one."""
        if self._transport is not None:
            self._unread = self._transport.is_closing()  # it drops what it gets now, and has yet to tell us
            self._transport.writelines(request.frame(stream=stream))

    def has_read(self) -> bool:
        """Tell whether the worker has read all that it was sent, and was alive then. Only Linux knows."""
        if sys.platform != "linux" or self._transport is None or self._transport.get_write_buffer_size():
            return False
        descriptor = self._forked.connection.fileno()
        try:
            if int.from_bytes(ioctl(descriptor, _SIOCOUTQ, bytes(4)), sys.byteorder):
                return False
        except (OSError, ValueError):  # it is closed
            return False
        # What a dead process has not read does not count as unread any more, but the end of its connection shows first.
        self._poll.register(descriptor, 0)
        return not self._poll.poll(0)

    def hold(self, holding: bool) -> None:
        """Read no more of the answer, or go on."""
        if self._transport is not None and not self._transport.is_closing():
            if holding:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def ignore(self) -> None:
        """Call nobody any more."""
        self.on_answer: Callable[[Answer], None] = lambda _answer: None
        self.on_piece: Callable[[dict[str, Any], bytes], None] = lambda _head, _body: None
        self.on_lost: Callable[[bool], None] = lambda _unread: None

    def kill(self) -> None:
        """End the process. `on_lost` follows."""
        self._forked.kill()

    async def close(self) -> int:
        """End the process if it has not ended; return its exit status once it has, and its log is read."""
        self.ignore()
        self.kill()
        try:
            return await asyncio.shield(self._forked.exited)
        finally:
            self._log.close()
            if self._transport is not None:
                self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        if self._forked.exited.done():
            self._abort(None)

    def data_received(self, data: bytes) -> None:
        """Collect frames. A long body is put together once, when all of it is there."""
        while data:
            if self._head is None:
                data = self._take_head(self._start + data)
                if self._head is None:
                    return
            piece = data if len(data) <= self._missing else data[: self._missing]
            data = data[len(piece) :]
            self._body.append(piece)
            self._missing -= len(piece)
            if self._missing:
                return
            head, body = self._head, b"".join(self._body)
            self._head, self._body = None, []
            self._hear(head, body)

    def _take_head(self, data: bytes) -> bytes:
        """Return what comes after the head, if that is complete."""
        if len(data) >= LENGTHS_SIZE:
            head_length, body_length = lengths(data[:LENGTHS_SIZE])
            end = LENGTHS_SIZE + head_length
            if len(data) >= end:
                self._start = b""
                self._head, self._missing = loads(data[LENGTHS_SIZE:end].decode()), body_length
                return data[end:]
        self._start = data
        return b""

    def _hear(self, head: dict[str, Any], body: bytes) -> None:
        self._log.read()  # what was printed on the way to this answer comes before it
        if "ready" in head or "failed" in head:
            if not self._loaded.done():  # else who waited for it has gone
                self._loaded.set_result(head)
        elif "more" in head:
            self.on_piece(head, body)
        else:
            self.on_answer(Answer.from_frame(head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the worker has gone."""
        if not self._loaded.done():
            self._loaded.set_result({})
        self.lost = True
        # The kernel reports an error, not an end, if the other side closed with data unread, or had closed before.
        self.on_lost(self._unread or isinstance(exc, (BrokenPipeError, ConnectionResetError)))

    def _abort(self, _exited: object) -> None:
        """End the connection, a while after the kernel should have done so: only it knows what was read."""
        if self._transport is not None:
            asyncio.get_running_loop().call_later(_GRACE, self._transport.abort)


class _Log:
    """Reads the pipe that a worker prints into, and passes on whole lines."""

    def __init__(self, descriptor: int, write: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._write = write
        self._partial = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self.read)

    def read(self) -> None:
        """Pass on what is there now."""
        while self._descriptor >= 0:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._loop.remove_reader(self._descriptor)
                return
            *lines, self._partial = (self._partial + data).split(b"\n")
            for line in lines:
                self._pass_on(line)
            if len(self._partial) > _LONGEST_LINE:
                self._pass_on(self._partial)
                self._partial = b""

    def close(self) -> None:
        """Pass on all that is left. To be called once the worker has ended: then the pipe holds all it printed."""
        if self._descriptor < 0:
            return
        self.read()
        if self._partial:
            self._pass_on(self._partial)
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def _pass_on(self, line: bytes) -> None:
        self._write(line.decode(errors="replace").removesuffix("\r"))


def describe_exit(status: int) -> str:
    """Return how a process ended, in words."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
