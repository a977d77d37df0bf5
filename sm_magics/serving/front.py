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
from functools import lru_cache
from typing import NamedTuple, cast

import httptools

from .encoding import LAST_CHUNK, encode, encode_chunk, encode_head, has_body
from .messages import Answer, Headers, Request
from .stream import Stream, StreamBroken

# Netty's limits, with which TorchServe runs: bytes of the request line and of all headers.
_LONGEST_LINE, _LONGEST_HEAD = 4096, 8192
_LONGEST_METHOD = 64
_MOST_WAITING = 8  # pipelined requests of one connection that are read before the first is answered
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIRST_ERROR = 400
_NOT_PLAIN = {b"expect", b"transfer-encoding", b"upgrade"}
_MOST_KNOWN = 64  # heads of requests that are remembered

Respond = Callable[[Request], "Answer | asyncio.Future[Answer | Stream]"]


class _Received(NamedTuple):
    """A request that is complete, or the answer to one that went wrong."""

    content: Request | Answer
    keep_alive: bool
    chunked: bool = False  # the client takes an answer in chunks: it speaks HTTP/1.1


class _Known(NamedTuple):
    """What a head said when it was parsed: clients send the same one with every request."""

    method: str
    path: str
    headers: Headers
    length: int  # bytes of the body
    chunked: bool


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
        self.known: dict[bytes, _Known] = {}

    def connect(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self)

    def run(self, sending: Coroutine[None, None, None]) -> None:
        """Send an answer in the background."""
        task = asyncio.ensure_future(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Finish the requests that were received, and close all connections."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_if_idle()
        while self.busy:
            self.finished.clear()
            await self.finished.wait()
        for connection in list(self.connections):
            connection.close()


class Connection(asyncio.Protocol):
    """One client's connection: requests in, answers out, in order."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._on_port = False  # else on a Unix socket, where no web page leads
        self._parser = httptools.HttpRequestParser(self)
        self._between = True  # no request has begun
        self._unknown, self._came = b"", 0  # what may be the head of the next request, and bytes that came with it
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
            self._unknown = b""
            if not self._start and self._recognise(data):
                return
            data = self._take_method(data)
        if data:
            self._feed(data)

    def _recognise(self, data: bytes) -> bool:
        """Take a request that came in one piece behind a head that is known, byte for byte. Return whether it is."""
        end = data.find(b"\r\n\r\n") + 4
        head = data[:end]
        known = self._front.known.get(head)
        if known is None:
            self._unknown, self._came = head, len(data)
            return False
        if len(data) - end != known.length:
            return False
        request = Request(known.method, known.path, known.headers, data[end:])
        self._received(request, keep_alive=True, chunked=known.chunked)
        return True

    def _remember(self, request: Request, *, chunked: bool) -> None:
        """Know the head of this request from now on, if it came with the body and nothing else."""
        if not self._unknown or len(self._unknown) + len(request.body) != self._came:
            return
        if len(self._front.known) >= _MOST_KNOWN:
            self._front.known.clear()
        known = _Known(request.method, request.path, request.headers, len(request.body), chunked)
        self._front.known[self._unknown] = known

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
        if self._on_port and not _is_loopback(self._fields.get(b"host")):
            self._refusal = Answer.error(403, "ForbiddenException", "This server answers to loopback addresses only.")
            return
        length = self._fields.get(b"content-length")
        if length and int(length) > self._front.max_request:
            self._refusal = Answer.empty(413)
        expected = self._fields.get(b"expect")
        if expected and self._answering is None:
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
            self._headers = _aggregated(self._headers, len(body))
        request = Request(
            method,
            self._url.decode("latin-1"),
            tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers]),
            body,
        )
        keep_alive, chunked = self._parser.should_keep_alive(), self._parser.get_http_version() != "1.0"
        if plain and keep_alive:
            self._remember(request, chunked=chunked)
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


def _aggregated(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request whose body has been put together: as Netty's aggregator leaves them."""
    kept, codings, told = [], [], False
    for name, value in headers:
        lower = name.lower()
        if lower == b"transfer-encoding":
            if value.lower() != b"chunked":
                codings.append((lower, value))
        elif lower != b"expect" or value.lower() != b"100-continue":
            kept.append((name, value))
            told = told or lower == b"content-length"
    return [*kept, *codings] if told else [*kept, *codings, (b"content-length", b"%d" % length)]


@lru_cache(maxsize=64)
def _is_loopback(host: bytes | None) -> bool:
    """Return whether a Host is this machine's: a web page whose name leads here (DNS rebinding) names its own."""
    if host is None:
        return True
    name = re.sub(rb":\d*$", b"", host.strip()).strip(b"[]").lower()
    return name in {b"localhost", b"::1"} or re.fullmatch(rb"127(\.\d{1,3}){3}", name) is not None


def _invalid() -> Answer:
    return Answer.error(400, "BadRequestException", "Invalid HTTP message.")
