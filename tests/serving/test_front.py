"""A head that was seen before is not parsed again; what comes of it must be the same."""

from __future__ import annotations

import asyncio

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from sm_magics.serving.front import Front
from sm_magics.serving.messages import Answer

HOST = b"Host: localhost\r\n"
JSON = b"POST /invocations HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
MESSAGES = [
    JSON % 3 + b"[1]",
    JSON % 3 + b"[2]",
    JSON % 7 + b"\r\n\r\n[1]",
    b"\r\n\r\n" + JSON % 3 + b"[3]",
    b"\r\n" + JSON % 3 + b"[4]",
    (JSON % 7 + b"\r\n\r\n[1]").replace(b"\r\n", b"\n", 4),
    b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /ping HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    b"PURGE /invocations HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx",
    b"POST /invocations HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    b"POST /invocations HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"POST /invocations HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    b"POST /invocations HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nx",
    b"POST /invocations HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nConnection: close\r\n\r\nx",
    b"POST /invocations HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx",
    b"POST /invocations HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"POST /invocations HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000,
]


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8080)})
        self.written = b""
        self.closed = False

    def write(self, data) -> None:
        self.written += data

    def writelines(self, pieces) -> None:
        self.written += b"".join(pieces)

    def is_reading(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def converse(pieces, *, knowing: bool):
    """Send the pieces over one connection; return the requests that were understood, and what was sent back."""
    requests = []

    def respond(request):
        requests.append(request)
        return Answer(200, "", (), b"%d" % len(requests))

    front = Front(respond, max_request=500)
    connection, transport = front.connect(), Transport()
    connection.connection_made(transport)
    for piece in pieces:
        if not knowing:
            front.known.clear()
        if not transport.closed:
            connection.data_received(piece)
    return requests, transport.written, transport.closed, front


@given(st.lists(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3).map(b"".join), max_size=6), st.data())
@example([message for message in MESSAGES if b"close" not in message] * 2, None)
def test_known_heads_are_understood_as_they_were_parsed(pieces, data):
    if data is not None:
        cut = [data.draw(st.integers(0, len(piece))) for piece in pieces]
        whole = [data.draw(st.booleans()) for _ in pieces]
        pieces = [
            part
            for piece, at, uncut in zip(pieces, cut, whole, strict=True)
            for part in ([piece] if uncut else [piece[:at], piece[at:]])
            if part
        ]
    assert converse(pieces, knowing=True)[:3] == converse(pieces, knowing=False)[:3]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("follower", [*MESSAGES, b"", b"x", b"[9]", b"\r\n\r\n[9]"])
def test_what_follows_a_head_that_was_seen_is_understood(message, follower):
    head = message[: message.find(b"\r\n\r\n") + 4]
    pieces = [message, message, head + follower, message]
    assert converse(pieces, knowing=True)[:3] == converse(pieces, knowing=False)[:3]


@pytest.mark.parametrize("cut", range(1, 8))
def test_head_that_came_in_pieces_is_not_known(cut):
    message = JSON % 3 + b"[1]"
    pieces = [message[:cut], message[cut:], message[cut:]]
    assert converse(pieces, knowing=True)[:3] == converse(pieces, knowing=False)[:3]


def test_head_is_parsed_once():
    requests, _, _, front = converse([JSON % 3 + b"[1]", JSON % 3 + b"[2]"], knowing=True)
    assert [request.body for request in requests] == [b"[1]", b"[2]"]
    assert requests[0].headers is requests[1].headers
    assert len(front.known) == 1


def test_heads_that_differ_each_time_do_not_pile_up():
    pieces = [
        b"POST / HTTP/1.1\r\n" + HOST + b"X-Id: %d\r\nContent-Length: 1\r\n\r\nx" % number for number in range(500)
    ]
    requests, _, _, front = converse(pieces, knowing=True)
    assert len(requests) == 500
    assert len(front.known) < 100
