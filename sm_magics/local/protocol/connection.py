"""HTTP/1.1 on an asyncio transport: requests in, answers out, one after the other.

The parser is httptools (Node's llhttp). There is no ASGI between it and the application, for speed: an answer that is
there in one piece is written in one piece, since each write costs a system call and wakes the client, and nothing is
put into dictionaries on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple, TypeAlias, cast

import httptools

from .body import Body, ClientGoneError
from .wire import Request, Response

#: Bytes of a request's line and headers; AWS itself takes less of both.
LONGEST_HEAD = 1 << 16
#: Requests of one connection that are read before the first is answered (nothing that AWS's clients do).
_MOST_WAITING = 8
#: Bytes that are copied rather than written separately.
_SHORT = 1 << 16
#: Answers that have no body, whatever they say about it.
_BODILESS = {204, 304}
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: What a header's value cannot hold; RFC 9110 (5.5) has a space take its place.
_LINE_ENDS = str.maketrans("\r\n\0", "   ")


class _Asked(NamedTuple):
    request: Request
    keep_alive: bool
    is_old: bool  # HTTP/1.0, which knows no chunks


Application: TypeAlias = Callable[[Request], Awaitable[Response]]

_logger = logging.getLogger(__name__)


class Server:
    """All connections to one application.

    Parameters
    ----------
    application
        Answers a request. It does not raise but what `Request` raises for a client that has gone.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.is_closing = False
        self.connections: set[Connection] = set()
        self.answering: set[asyncio.Task[None]] = set()  # for clients that have gone, too
        self.gone = asyncio.Event()  # set whenever there is one less of these
        self._listening: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Take connections from a socket that listens."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: Connection(self), sock=listener, backlog=1024)

    def drop_idle(self, seconds: float) -> None:
        """Close connections on which nothing was asked for that long."""
        for connection in list(self.connections):
            connection.drop_idle(seconds)

    async def close(self, *, grace: float) -> None:
        """Take no more requests; those that are being answered have `grace` seconds."""
        self.is_closing = True
        if self._listening:
            self._listening.close()
        self.drop_idle(0)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while (self.connections or self.answering) and loop.time() < deadline:
            self.gone.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.gone.wait(), deadline - loop.time())
        for task in self.answering:
            task.cancel()
        if self.answering:
            await asyncio.wait(self.answering)
            self.answering.clear()  # one that was never begun is still there
        for connection in list(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = False
        self._head_size = 0
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: Body | None = None  # of the request whose head is complete, and which is not
        self._waiting: deque[_Asked] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._keeps_alive = True  # after the request that came last
        self._is_last = False  # nothing more is read
        self._writable: asyncio.Future[None] | None = None  # while the client takes too little
        self._holding = 0  # reasons not to read
        self._quiet_since = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. What it asked for goes on."""
        del exc
        self._transport = None
        self._is_last = True
        self._waiting.clear()
        if self._body is not None:
            self._body.lose()
        self.resume_writing()
        self._server.connections.discard(self)
        self._server.gone.set()

    def drop_idle(self, seconds: float) -> None:
        """Close if nothing was asked for that long."""
        if self._transport and not self._answering and self._loop.time() - self._quiet_since >= seconds:
            self._transport.close()

    def abort(self) -> None:
        """Close, whatever is still to be sent."""
        if self._transport:
            self._transport.abort()

    # What the transport and httptools call.

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on sending."""
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._is_last and self._body is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse()  # no other protocol is spoken here
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > LONGEST_HEAD:
                self._refuse()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = True
        self._head_size = 0
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._in_head:  # trailers are none
            self._headers.append((_name(name), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Have the request answered; its body may come later."""
        self._in_head = False
        target = self._url
        if not target.startswith(b"/"):  # as clients send it that take this for a proxy
            parts = httptools.parse_url(target)
            target = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
        path, _, query = target.decode("latin-1").partition("?")
        waits = ("expect", "100-continue") in self._headers
        is_old = self._parser.get_http_version() == "1.0"
        self._body = Body(self._hold, self._go_on if waits else None)
        method = self._parser.get_method().decode("ascii")
        request = Request(method, path, query, tuple(self._headers), self._body)
        self._keeps_alive = not is_old and self._parser.should_keep_alive()
        self._waiting.append(_Asked(request, self._keeps_alive, is_old))
        if not self._answering:
            self._answer_next()
        elif len(self._waiting) == _MOST_WAITING:
            self._hold(True)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._body is not None:
            self._body.put(piece)

    def on_message_complete(self) -> None:
        """End the request."""
        if self._body is not None:
            self._body.end()
            self._body = None
        self._is_last = self._is_last or not self._keeps_alive

    def _refuse(self) -> None:
        """Read no more: what came is no HTTP."""
        if self._body is not None:
            self._body.lose()
            self._body = None
        if self._transport and not self._is_last and not self._answering:
            self._transport.write(_BAD_REQUEST)
            self._transport.write_eof()  # closed while more comes, it would not let the client read this
        self._is_last = True

    def _hold(self, holding: bool) -> None:
        self._holding += 1 if holding else -1
        if self._transport and not self._transport.is_closing():
            if self._holding:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _go_on(self) -> None:
        if self._transport:
            self._transport.write(_CONTINUE)

    # Answers.

    def _answer_next(self) -> None:
        if len(self._waiting) == _MOST_WAITING:
            self._hold(False)
        self._answering = self._loop.create_task(self._answer(self._waiting.popleft()))
        self._server.answering.add(self._answering)

    async def _answer(self, asked: _Asked) -> None:
        try:
            response = await self._server.application(asked.request)
            if not asked.keep_alive or self._server.is_closing or not await asked.request.is_over():
                self._is_last = True
                self._waiting.clear()
            await self._send(asked, response)
        except ClientGoneError:
            pass
        except Exception:
            _logger.exception("An answer could not be sent")
            self._is_last = True
            self.abort()
        finally:
            if self._answering:
                self._server.answering.discard(self._answering)
            self._server.gone.set()
            self._answering = None
            self._quiet_since = self._loop.time()
            if self._waiting:
                self._answer_next()
            elif self._is_last and self._transport:
                self._transport.close()

    async def _send(self, asked: _Asked, response: Response) -> None:
        head_only = asked.request.method == "HEAD" or response.status in _BODILESS
        if not isinstance(response.body, bytes):
            await self._stream(response, response.body, in_chunks=not asked.is_old, head_only=head_only)
        elif head_only or len(response.body) > _SHORT:
            self._write(self._head(response, len(response.body)), b"" if head_only else response.body)
        else:
            self._write(self._head(response, len(response.body)) + response.body)

    async def _stream(
        self, response: Response, body: AsyncIterator[bytes], *, in_chunks: bool, head_only: bool
    ) -> None:
        length = next((int(value) for name, value in response.headers if name == "content-length"), None)
        in_chunks = in_chunks and length is None
        self._is_last = self._is_last or not (in_chunks or length is not None)
        self._write(self._head(response, None, in_chunks=in_chunks))
        if head_only:
            return
        sent = 0
        async with contextlib.aclosing(cast("AsyncGenerator[bytes, None]", body)):
            async for piece in body:
                if self._writable is not None:
                    await self._writable
                if self._transport is None:
                    return
                sent += len(piece)
                self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
        if in_chunks:
            self._write(b"0\r\n\r\n")
        elif length not in {None, sent}:
            self.abort()

    def _head(self, response: Response, length: int | None, *, in_chunks: bool = False) -> bytes:
        lines = [_status_line(response.status), f"date: {_date(int(time.time()))}"]
        for name, value in response.headers:
            lines.append(f"{name}: {value if value.isprintable() else value.translate(_LINE_ENDS)}")
        is_told = response.status in _BODILESS or any(name == "content-length" for name, _ in response.headers)
        if length is not None and not is_told:
            lines.append(f"content-length: {length}")
        if in_chunks:
            lines.append("transfer-encoding: chunked")
        if self._is_last:
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def _write(self, *pieces: bytes) -> None:
        # Not `writelines`: asyncio's own of Python 3.12 and 3.13 never says that the client takes too little.
        for piece in pieces:
            if self._transport is not None:
                self._transport.write(piece)


@lru_cache(maxsize=512)
def _name(name: bytes) -> str:
    if not _TOKEN.fullmatch(name):  # older versions of llhttp are more patient
        raise ValueError(name)
    return name.decode("ascii").lower()


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"HTTP/1.1 {status} {known.get(status, '')}"


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
