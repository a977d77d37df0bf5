"""HTTP/1.1 as the container's front speaks it, on an asyncio transport.

The parser is httptools (Node's llhttp). ASGI is not used: it lower-cases header names, which the container's
handlers tell apart, and has no place for the reason phrase, which carries an exception's message. llhttp knows a
fixed list of methods, the container takes any: the method is read here, and llhttp gets ``POST`` in its place, which
changes nothing in how a request is parsed.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, cast

import httptools

from .messages import Answer, Request

# Netty's limits, with which TorchServe runs: bytes of the request line and of all headers.
_LONGEST_LINE, _LONGEST_HEAD = 4096, 8192
_LONGEST_REASON = 8000  # characters: clients give up on longer status lines than some 16 KiB
_LONGEST_METHOD = 64
_MOST_WAITING = 8  # pipelined requests of one connection that are read before the first is answered
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NO_CONTENT, _NOT_MODIFIED, _FIRST_ERROR = 204, 304, 400
_NOT_CACHED = (
    b"pragma: no-cache\r\n"
    b"cache-control: no-cache; no-store, must-revalidate, private\r\n"
    b"expires: Thu, 01 Jan 1970 00:00:00 UTC\r\n"
)

Respond = Callable[[Request], Awaitable[Answer]]


class _Received(NamedTuple):
    """A request that is complete, or the answer to one that went wrong."""

    content: Request | Answer
    keep_alive: bool


class Front:
    """All connections of one server.

    Parameters
    ----------
    respond
        Answers a request.
    max_request
        Bytes of a body; 413 for more.
    """

    def __init__(self, respond: Respond, *, max_request: int) -> None:
        self.respond = respond
        self.max_request = max_request
        self.closing = False
        self.connections: set[Connection] = set()
        self._answering: set[asyncio.Task[None]] = set()

    def connect(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self)

    def run(self, answering: Awaitable[None]) -> None:
        """Answer in the background: it goes on if the client goes away."""
        task = asyncio.ensure_future(answering)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def close(self) -> None:
        """Finish the requests that were received, and close all connections."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_if_idle()
        while self._answering:
            await asyncio.gather(*self._answering)
        for connection in list(self.connections):
            connection.close()


class Connection(asyncio.Protocol):
    """One client's connection: requests in, answers out, in order."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._between = True  # no request has begun
        self._start = b""  # of a request whose method is not complete
        self._method: bytes | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._in_head = False
        self._rest_of_upgrade = False  # the parser sees the body of a request whose head it has left
        self._body: list[bytes] = []
        self._body_size = 0
        self._refusal: Answer | None = None
        self._waiting: deque[_Received] = deque()
        self._busy = False
        self._ended = False  # nothing more is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._front.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. What it asked for goes on."""
        del exc
        self._transport = None
        self._front.connections.discard(self)

    def eof_received(self) -> bool:
        """Answer what was received, although nothing more comes."""
        self._ended = True
        return self._busy

    def close_if_idle(self) -> None:
        """Close unless a request is being received or answered."""
        if self._between and not self._start and not self._busy:
            self.close()

    def close(self) -> None:
        """Close once everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._ended:
            return
        if self._between:
            data = self._take_method(data)
        if data:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        was_in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._bad_request()
            return
        if was_in_head and self._in_head:  # a header without an end
            self._head_size += len(data)
            if self._head_size > _LONGEST_LINE + _LONGEST_HEAD:
                self._bad_request()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on with HTTP/1.1. llhttp believes that another protocol begins behind the headers."""
        self._parser = httptools.HttpRequestParser(self)
        if not self._between:
            coding, length = self._header(b"transfer-encoding"), self._header(b"content-length")
            body = b"Transfer-Encoding: " + coding if coding else b"Content-Length: " + length
            self._rest_of_upgrade = True
            rest = b"POST / HTTP/1.1\r\n" + body + b"\r\n\r\n" + rest
            self._feed(rest)
        elif rest:
            self.data_received(rest)

    def _take_method(self, data: bytes) -> bytes:
        """Return the data with ``POST`` for a method, empty if the method is not complete yet."""
        data = (self._start + data).lstrip(b"\r\n")
        method, space, rest = data.partition(b" ")
        if not space and len(data) <= _LONGEST_METHOD:
            self._start = data
            return b""
        self._start = b""
        if not space or not _METHOD.fullmatch(method):
            self._bad_request()
            return b""
        self._method = method
        return b"POST " + rest

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._rest_of_upgrade:
            return
        self._between = False
        self._in_head = True
        self._url = b""
        self._headers = []
        self._head_size = 0
        self._body = []
        self._body_size = 0
        self._refusal = None

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        if self._rest_of_upgrade:
            return
        self._url += url
        self._head_size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._rest_of_upgrade:
            return
        self._headers.append((name, value.strip()))
        self._head_size += len(name) + len(value) + 4

    def on_headers_complete(self) -> None:
        """Decide whether the body is wanted."""
        if self._rest_of_upgrade:
            return
        self._in_head = False
        if self._method is None:  # pipelined behind another request
            self._method = self._parser.get_method()
        if len(self._url) > _LONGEST_LINE or self._head_size - len(self._url) > _LONGEST_HEAD:
            self._refusal = _invalid()
            return
        length = self._header(b"content-length")
        if length and int(length) > self._front.max_request:
            self._refusal = Answer.empty(413)
        expected = self._header(b"expect").lower()
        if expected and not self._busy:
            self._expect(expected)

    def _expect(self, expected: bytes) -> None:
        """Answer a client that waits before it sends the body."""
        if self._refusal is None and expected == b"100-continue":
            if self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._between = True
        self._received(self._refusal or Answer.empty(417), keep_alive=False)

    def _has_body(self) -> bool:
        return self._header(b"content-length") not in {b"", b"0"} or bool(self._header(b"transfer-encoding"))

    def _header(self, wanted: bytes) -> bytes:
        return next((value for name, value in reversed(self._headers) if name.lower() == wanted), b"")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body. What is too much is read, and dropped."""
        self._body_size += len(body)
        if self._body_size > self._front.max_request and self._refusal is None:
            self._refusal = Answer.empty(413)
        if self._refusal is None:
            self._body.append(body)
        else:
            self._body = []

    def on_message_complete(self) -> None:
        """Hand the request on."""
        if self._ended:
            return
        if self._parser.should_upgrade() and self._has_body():
            return  # not complete: the parser has skipped the body
        self._rest_of_upgrade = False
        method = (self._method or b"").decode("ascii")
        self._between, self._method = True, None
        if self._refusal is not None:
            self._received(self._refusal, keep_alive=False)
            return
        request = Request(
            method,
            self._url.decode("latin-1"),
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers),
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
        )
        self._body = []
        self._received(request, keep_alive=self._parser.should_keep_alive())

    def _bad_request(self) -> None:
        self._between = True
        self._received(_invalid(), keep_alive=False)

    def _received(self, content: Request | Answer, *, keep_alive: bool) -> None:
        self._ended = self._ended or not keep_alive
        self._waiting.append(_Received(content, keep_alive))
        if not self._busy:
            self._busy = True
            self._front.run(self._answer())
        elif len(self._waiting) >= _MOST_WAITING and self._transport is not None:
            self._transport.pause_reading()

    async def _answer(self) -> None:
        while self._waiting:
            content, keep_alive = self._waiting.popleft()
            answer = content if isinstance(content, Answer) else await self._front.respond(content)
            keep_alive = keep_alive and answer.status < _FIRST_ERROR and not self._front.closing
            if self._transport is not None:
                head_only = isinstance(content, Request) and content.method == "HEAD"
                self._transport.writelines(_encode(answer, keep_alive=keep_alive, head_only=head_only))
                if not keep_alive:
                    self._ended = True
                    self._waiting.clear()
        self._busy = False
        if self._ended:
            self.close()
        elif self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()


def _encode(answer: Answer, *, keep_alive: bool, head_only: bool) -> list[bytes]:
    reason = _UNPRINTABLE.sub(" ", answer.reason[:_LONGEST_REASON]).encode("ascii", "replace")
    lines = [b"HTTP/1.1 %d %s\r\n" % (answer.status, reason)]
    for name, value in answer.headers:
        try:
            encoded = value.encode("latin-1")
        except UnicodeEncodeError:
            encoded = value.encode("utf-8", "surrogateescape")
        lines.append(b"%s: %s\r\n" % (name.encode("ascii"), encoded))
    lines.append(_NOT_CACHED)
    has_body = answer.status not in {_NO_CONTENT, _NOT_MODIFIED}
    if has_body:
        lines.append(b"content-length: %d\r\n" % len(answer.body))
    lines.append(b"connection: keep-alive\r\n\r\n" if keep_alive else b"connection: close\r\n\r\n")
    head = b"".join(lines)
    return [head, answer.body] if has_body and not head_only else [head]


def _invalid() -> Answer:
    return Answer.error(400, "BadRequestException", "Invalid HTTP message.")
