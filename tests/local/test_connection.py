"""HTTP as the service reads and writes it: in this process, over real sockets, byte by byte."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm_magics.local.protocol.connection import LONGEST_HEAD, Server
from sm_magics.local.protocol.wire import Request, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
GET = b"GET /a%2Fb//c?x=1&y HTTP/1.1\r\nHost: h\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n"


async def echo(request: Request) -> Response:
    """Answer with what was understood of a request."""
    body = await request.body(1 << 30)
    said = f"{request.method} {request.raw_path} {request.query} {list(request.values('x-twice'))} "
    return Response(200, [("x-echo", "yes")], said.encode() + body)


class Client:
    """A connection to a server, and what came over it."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the headers and the body of the next answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = b""
        if "content-length" in headers and not head_only:
            body = await self.reader.readexactly(int(headers["content-length"]))
        while "transfer-encoding" in headers and not head_only:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            body += (await self.reader.readexactly(size + 2))[:-2]
            if not size:
                break
        return int(status.split()[1]), headers, body

    async def is_closed(self) -> bool:
        return await self.reader.read() == b""


def run(application: Callable[[Request], Awaitable[Response]], scenario: Callable[[Client], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(application)
        await server.listen(listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            return await asyncio.wait_for(scenario(Client(server, reader, writer)), 60)
        finally:
            writer.close()
            await server.close(grace=60)
            assert not server.connections
            assert not server.answering

    return asyncio.run(main())


def test_a_request_is_handed_on_as_it_was_sent():
    async def scenario(client: Client) -> None:
        client.send(GET)
        status, headers, body = await client.answer()
        assert (status, body) == (200, b"GET /a%2Fb//c x=1&y ['1', '2'] ")
        assert headers["x-echo"] == "yes"
        assert set(headers) == {"date", "x-echo", "content-length"}

    run(echo, scenario)


@pytest.mark.parametrize("target", [b"http://h/a?b", b"/a?b"])
def test_a_client_that_takes_it_for_a_proxy_is_understood(target):
    async def scenario(client: Client) -> None:
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[2] == b"GET /a b [] "

    run(echo, scenario)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=5), st.integers(1, 300))
def test_bodies_arrive_whole_however_they_are_cut(pieces, cut):
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nx-trailer: 1\r\n\r\n"
    whole = b"".join(pieces)
    sent = (
        b"PUT /chunks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked
        + b"PUT /length HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(whole) + whole
    )  # fmt: skip

    async def scenario(client: Client) -> None:
        for start in range(0, len(sent), cut):
            client.send(sent[start : start + cut])
            await client.writer.drain()
        assert (await client.answer())[2] == b"PUT /chunks  [] " + whole
        assert (await client.answer())[2] == b"PUT /length  [] " + whole

    run(echo, scenario)


def test_many_requests_at_once_are_answered_in_their_order():
    async def slower_and_slower(request: Request) -> Response:
        await asyncio.sleep(0.001 * (len(request.raw_path) % 3))
        return await echo(request)

    async def scenario(client: Client) -> None:
        paths = [b"/" + b"x" * number for number in range(30)]
        client.send(b"".join(b"POST %s HTTP/1.1\r\nContent-Length: 1\r\n\r\n!" % path for path in paths))
        for path in paths:
            assert (await client.answer())[2] == b"POST " + path + b"  [] !"

    run(slower_and_slower, scenario)


@pytest.mark.parametrize(
    "sent",
    [
        b"no http\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nx: " + b"y" * LONGEST_HEAD * 10,
        b"GET /" + b"y" * LONGEST_HEAD * 10,
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(sent):
    async def scenario(client: Client) -> None:
        client.send(sent)
        assert (await client.answer())[0] == 400
        assert await client.is_closed()

    run(echo, scenario)


def test_a_body_that_is_no_http_leaves_its_request_unanswered():
    async def scenario(client: Client) -> None:
        client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n")
        assert await client.is_closed()

    run(echo, scenario)


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"])
def test_the_last_request_is_answered_and_the_connection_closed(head):
    async def scenario(client: Client) -> None:
        client.send(head + GET)
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body) == (200, "close", b"GET /  [] ")
        assert await client.is_closed()

    run(echo, scenario)


def test_another_protocol_is_not_spoken():
    async def scenario(client: Client) -> None:
        client.send(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert (await client.answer())[0] == 200
        assert await client.is_closed()

    run(echo, scenario)


def test_a_client_that_asks_whether_to_send_its_body_is_told_when_somebody_wants_it():
    async def scenario(client: Client) -> None:
        client.send(b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await client.reader.readexactly(len(CONTINUE)) == CONTINUE
        client.send(b"hi" + GET)
        assert (await client.answer())[2] == b"PUT /a  [] hi"
        assert (await client.answer())[0] == 200

    run(echo, scenario)


async def refuse(_request: Request) -> Response:
    return Response(403, [], b"no")


def test_a_client_that_asks_whether_to_send_an_empty_body_is_told_too():
    async def scenario(client: Client) -> None:
        client.send(b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n")
        assert await client.reader.readexactly(len(CONTINUE)) == CONTINUE
        assert (await client.answer())[2] == b"PUT /a  [] "

    run(echo, scenario)


# botocore 1.37 takes the answer's status for that of the next one if the connection stays, even without a body.
@pytest.mark.parametrize("length", [b"0", b"2"])
def test_a_client_that_is_refused_before_it_sends_its_body_is_not_told_to_send_it(length):
    async def scenario(client: Client) -> None:
        client.send(b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: " + length + b"\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (403, "close")
        assert await client.is_closed()

    run(refuse, scenario)


def test_a_body_that_nobody_reads_is_let_in_and_the_next_request_answered():
    async def scenario(client: Client) -> None:
        client.send(b"PUT /a HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000 + GET)
        for _ in range(2):
            assert (await client.answer())[0] == 403

    run(refuse, scenario)


def test_a_body_is_held_back_until_somebody_takes_it():
    gate = asyncio.Event()
    seen = []

    async def late(request: Request) -> Response:
        await gate.wait()
        seen.append(request.content.size)
        return Response(200, [], str(len(await request.body(1 << 30))).encode())

    async def scenario(client: Client) -> None:
        size = 64 << 20
        client.send(b"PUT /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            client.send(bytes(1 << 20))
        sending = asyncio.create_task(client.writer.drain())
        await asyncio.sleep(0.05)
        assert not sending.done()
        gate.set()
        assert (await client.answer())[2] == str(size).encode()
        assert seen[0] < 1 << 20

    run(late, scenario)


def test_an_answer_in_pieces_is_chunked_unless_its_length_is_known():
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def stream(request: Request) -> Response:
        headers = [("content-length", "6")] if request.raw_path == "/known" else []
        return Response(200, headers, pieces())

    async def scenario(client: Client) -> None:
        client.send(b"GET /known HTTP/1.1\r\n\r\nGET /unknown HTTP/1.1\r\n\r\nHEAD /known HTTP/1.1\r\n\r\n")
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        _, headers, body = await client.answer()
        assert ("transfer-encoding" in headers, body) == (False, b"onetwo")
        _, headers, body = await client.answer()
        assert (headers["transfer-encoding"], body) == ("chunked", b"onetwo")
        _, headers, _ = await client.answer(head_only=True)
        assert headers["content-length"] == "6"
        assert "transfer-encoding" not in (await client.answer())[1]
        assert await client.reader.read() == b"onetwo"

    run(stream, scenario)


@pytest.mark.parametrize("what", ["too little", "an error"])
def test_a_client_sees_that_an_answer_broke_off(what):
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        if what == "an error":
            raise OSError("the disk")

    async def broken(_request: Request) -> Response:
        return Response(200, [("content-length", "6")] if what == "too little" else [], pieces())

    async def scenario(client: Client) -> None:
        client.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.answer()

    run(broken, scenario)


def test_an_answer_waits_for_a_client_that_reads_slowly_and_ends_with_one_that_goes():
    taken = []
    ended = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for number in range(1000):
                taken.append(number)
                yield bytes(1 << 20)
        finally:
            ended.set()

    async def stream(_request: Request) -> Response:
        return Response(200, [], pieces())

    async def scenario(client: Client) -> None:
        client.send(GET)
        await client.reader.readexactly(1 << 20)
        await asyncio.sleep(0.05)
        assert len(taken) < 200
        client.writer.transport.abort()
        await ended.wait()
        assert len(taken) < 1000

    run(stream, scenario)


def test_an_answer_without_a_body_says_so():
    async def empty(request: Request) -> Response:
        return Response(int(request.raw_path[1:]), [], b"")

    async def scenario(client: Client) -> None:
        client.send(b"GET /204 HTTP/1.1\r\n\r\nGET /304 HTTP/1.1\r\n\r\nGET /200 HTTP/1.1\r\n\r\n")
        lengths = [(await client.answer())[1].get("content-length") for _ in range(3)]
        assert lengths == [None, None, "0"]

    run(empty, scenario)


def test_a_header_cannot_begin_another_one():
    async def injected(_request: Request) -> Response:
        return Response(200, [("x-any", "a\r\nx-evil: 1\0\tü")], b"")

    async def scenario(client: Client) -> None:
        client.send(GET)
        _, headers, _ = await client.answer()
        assert "x-evil" not in headers
        assert headers["x-any"] == "a  x-evil: 1 \tü"

    run(injected, scenario)


def test_a_client_that_goes_before_its_request_is_complete_is_forgotten():
    outcome = asyncio.Event()

    async def watched(request: Request) -> Response:
        try:
            return await echo(request)
        finally:
            outcome.set()

    async def scenario(client: Client) -> None:
        client.send(b"PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nx")
        await client.writer.drain()
        while not client.server.answering:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0)
        client.writer.close()
        await outcome.wait()

    run(watched, scenario)


def test_connections_on_which_nothing_happens_are_closed_and_no_others():
    gate = asyncio.Event()

    async def late(_request: Request) -> Response:
        await gate.wait()
        return Response(200, [], b"late")

    async def scenario(client: Client) -> None:
        client.send(GET)
        while not client.server.answering:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0)
        client.server.drop_idle(0)
        gate.set()
        assert (await client.answer())[2] == b"late"
        client.server.drop_idle(3600)
        client.send(GET)
        assert (await client.answer())[2] == b"late"
        client.server.drop_idle(0)
        assert await client.is_closed()

    run(late, scenario)


def test_who_is_being_answered_when_it_ends_gets_the_answer_and_no_further_one():
    gate = asyncio.Event()

    async def late(_request: Request) -> Response:
        await gate.wait()
        return Response(200, [], b"late")

    async def scenario(client: Client) -> None:
        client.send(GET + GET)
        while not client.server.answering:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0)
        closing = asyncio.create_task(client.server.close(grace=60))
        await asyncio.sleep(0)
        gate.set()
        _, headers, body = await client.answer()
        assert (headers["connection"], body) == ("close", b"late")
        assert await client.is_closed()
        await closing

    run(late, scenario)


def test_who_takes_too_long_when_it_ends_is_given_up():
    async def never(_request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario(client: Client) -> None:
        client.send(GET)
        while not client.server.answering:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0)
        await client.server.close(grace=0)
        assert await client.is_closed()

    run(never, scenario)


def test_an_application_that_fails_closes_the_connection_and_says_why(caplog):
    async def fails(_request: Request) -> Response:
        raise ValueError("a bug")

    async def scenario(client: Client) -> None:
        client.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.answer()

    run(fails, scenario)
    assert "a bug" in caplog.text


def test_the_parser_is_the_one_that_was_tried():
    # What is smuggled past a parser that is too kind: two lengths, a length and chunks, white space before a colon.
    for head in (b"Content-Length: 1\r\nContent-Length: 2", b"Content-Length: 1\r\nTransfer-Encoding: chunked"):
        with pytest.raises(httptools.HttpParserError):
            httptools.HttpRequestParser(object()).feed_data(b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n")
