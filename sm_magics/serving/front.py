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
from collections.abc import Callable, Coroutine
from typing import NamedTuple, cast

import httptools

from .encoding import LAST_CHUNK, encode, encode_chunk, encode_head, has_body
from .headers import aggregated
from .hosts import is_loopback
from .known import KnownHeads
from .messages import Answer, Request
from .stream import Stream, StreamBroken

# Netty's limits, with which TorchServe runs: bytes of the request line and of all headers, with one carriage return.
_LONGEST_LINE, _LONGEST_HEAD = 4096, 8192
_BESIDE_URL = len(b"  HTTP/1.1\r")  # in a request line, and the method
_LONGEST_METHOD = 64
_MOST_WAITING = 8  # pipelined requests of one connection that are read before the first is answered
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIRST_ERROR = 400
_NOT_PLAIN = {b"expect", b"transfer-encoding", b"upgrade"}

Respond = Callable[[Request], "Answer | asyncio.Future[Answer | Stream]"]


class _Received(NamedTuple):
    """A request that is complete, or the answer to one that went wrong."""

    content: Request | Answer
    keep_alive: bool
    chunked: bool = False  # the client takes an answer in chunks: it speaks HTTP/1.1


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
        self.busy: set[Connection] = set()  # those whose client has gone away, too
        self.finished = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self.known = KnownHeads()

    def connect(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self)

    def run(self, sending: Coroutine[None, None, None]) -> None:
        """Send an answer in the background."""
        task = asyncio.ensure_future(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Finish the requests that were received, and close all connections once their clients have the answers."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_if_idle()
        while self.busy:
            self.finished.clear()
            await self.finished.wait()
        for connection in list(self.connections):
            connection.close()
        while self.connections:
            self.finished.clear()
            await self.finished.wait()


class Connection(asyncio.Protocol):
    """One client's connection: requests in, answers out, in order."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._on_port = False  # else on a Unix socket, where no web page leads
        self._parser = httptools.HttpRequestParser(self)
        self._between = True  # no request has begun
        self._began_with = b""  # what came when no request was under way
        self._start = b""  # of a request whose method is not complete
        self._method: bytes | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._fields: dict[bytes, bytes] = {}  # by lower-case name; of a header that is sent twice the last one
        self._head_size = 0
        self._in_head = False
        self._rest_of_upgrade = False  # the parser sees the body of a request whose head it has left
        self._body: list[bytes] = []
        self._body_size = 0
        self._refusal: Answer | None = None
        self._waiting: deque[_Received] = deque()
        self._answering: _Received | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False  # nothing more is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._on_port = isinstance(transport.get_extra_info("sockname"), tuple)
        self._front.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. What it asked for goes on."""
        del exc
        self._transport = None
        self._writable.set()
        self._front.connections.discard(self)
        self._front.finished.set()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on sending."""
        self._writable.set()

    def eof_received(self) -> bool:
        """Answer what was received, although nothing more comes."""
        self._ended = True
        return self._answering is not None

    def close_if_idle(self) -> None:
        """Close unless a request is being received or answered."""
        if self._between and not self._start and self._answering is None:
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
            known = None if self._start else self._front.known.find(data)
            if known is not None:
                self._received(known[0], keep_alive=True, chunked=known[1])
                return
            self._began_with = b"" if self._start else data
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
            coding, length = (self._fields.get(name, b"") for name in (b"transfer-encoding", b"content-length"))
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
        self._fields = {}
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
        if self._rest_of_upgrade or not self._in_head:  # trailers are no headers
            return
        value = value.strip()
        self._headers.append((name, value))
        self._fields[name.lower()] = value
        self._head_size += len(name) + len(": ") + len(value)

    def on_headers_complete(self) -> None:
        """Decide whether the body is wanted."""
        if self._rest_of_upgrade:
            return
        self._in_head = False
        if self._method is None:  # pipelined behind another request
            self._method = self._parser.get_method()
        line = len(self._method) + len(self._url) + _BESIDE_URL
        too_long = line > _LONGEST_LINE or self._head_size - len(self._url) + 1 > _LONGEST_HEAD
        version = self._parser.get_http_version()
        if too_long or version == "0.9":
            self._refusal = _invalid()
            return
        if self._on_port and not is_loopback(self._fields.get(b"host")):
            self._refusal = Answer.error(403, "ForbiddenException", "This server answers to loopback addresses only.")
            return
        length = self._fields.get(b"content-length")
        if length and int(length) > self._front.max_request:
            self._refusal = Answer.empty(413)
        expected = self._fields.get(b"expect")
        if expected and self._answering is None and version != "1.0":
            self._expect(expected.lower())

    def _expect(self, expected: bytes) -> None:
        """Answer a client that waits before it sends the body."""
        if self._refusal is None and expected == b"100-continue":
            if self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._between = True
        self._received(self._refusal or Answer.empty(417), keep_alive=False)

    def _has_body(self) -> bool:
        return self._fields.get(b"content-length", b"0") != b"0" or bool(self._fields.get(b"transfer-encoding"))

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
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        plain = b"content-length" in self._fields and not self._fields.keys() & _NOT_PLAIN
        if not plain:
            self._headers = aggregated(self._headers, len(body))
        request = Request(
            method,
            self._url.decode("latin-1"),
            tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers]),
            body,
        )
        keep_alive, chunked = self._parser.should_keep_alive(), self._parser.get_http_version() != "1.0"
        if plain and keep_alive:
            self._front.known.add(self._began_with, request, chunked=chunked)
        self._began_with = b""
        self._received(request, keep_alive=keep_alive, chunked=chunked)

    def _bad_request(self) -> None:
        self._between = True
        self._received(_invalid(), keep_alive=False)

    def _received(self, content: Request | Answer, *, keep_alive: bool, chunked: bool = False) -> None:
        self._ended = self._ended or not keep_alive
        self._waiting.append(_Received(content, keep_alive, chunked))
        if self._answering is None:
            self._answer()
        elif len(self._waiting) >= _MOST_WAITING and self._transport is not None:
            self._transport.pause_reading()

    def _answer(self) -> None:
        """Answer what was received, up to the first request whose answer takes time."""
        while self._waiting:
            received = self._answering = self._waiting.popleft()
            content = received.content
            outcome = content if isinstance(content, Answer) else self._front.respond(content)
            if not isinstance(outcome, Answer):
                self._front.busy.add(self)
                outcome.add_done_callback(self._answered)
                return
            self._send(received, outcome)
        self._answering = None
        if self._ended:
            self.close()
        elif self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()

    def _answered(self, outcome: asyncio.Future[Answer | Stream]) -> None:
        answer, received = outcome.result(), cast("_Received", self._answering)
        if isinstance(answer, Stream):
            self._front.run(self._send_stream(received, answer))
            return
        self._send(received, answer)
        self._go_on()

    def _go_on(self) -> None:
        self._front.busy.discard(self)
        self._front.finished.set()
        self._answer()

    def _keeps_alive(self, received: _Received, status: int) -> bool:
        """Tell whether the connection stays after this answer. If not, nothing more is answered."""
        if received.keep_alive and status < _FIRST_ERROR and not self._front.closing:
            return True
        self._ended = True
        self._waiting.clear()
        return False

    def _send(self, received: _Received, answer: Answer) -> None:
        if self._transport is not None:
            keep_alive = self._keeps_alive(received, answer.status)
            head_only = isinstance(received.content, Request) and received.content.method == "HEAD"
            self._transport.writelines(encode(answer, keep_alive=keep_alive, head_only=head_only))

    async def _send_stream(self, received: _Received, stream: Stream) -> None:
        keep_alive = self._keeps_alive(received, stream.status) and received.chunked
        self._ended = self._ended or not keep_alive
        wanted = has_body(stream.status) and cast("Request", received.content).method != "HEAD"
        if self._transport is not None:
            self._transport.write(encode_head(stream, keep_alive=keep_alive, chunked=received.chunked))
        try:
            async for piece in stream:
                await self._writable.wait()
                if self._transport is None or not wanted:
                    stream.abandon()
                    break
                self._transport.writelines(encode_chunk(piece) if received.chunked else [piece])
            if self._transport is not None and wanted and received.chunked:
                self._transport.write(LAST_CHUNK)
        except StreamBroken:  # the client sees that the end is missing
            self._ended = True
            self._waiting.clear()
            if self._transport is not None and not received.chunked:
                self._transport.abort()
        self._go_on()


def _invalid() -> Answer:
    return Answer.error(400, "BadRequestException", "Invalid HTTP message.")
