"""Answers in pieces: an extension that only a streaming invocation gets."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

STREAMING = """
import json, os, time
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept, context):
    order = json.loads(body)
    def pieces():
        if "status" in order: context.set_response_status(order["status"], "so")
        if "raise first" in order: raise ValueError(order["raise first"])
        for number in range(order.get("count", 3)):
            if "until" in order and number == 1:
                while not os.path.exists(order["until"]): time.sleep(0.005)
            yield order.get("piece", f"piece {number};").encode() * order.get("times", 1)
            print("sent", number)
        if "raise" in order: raise ValueError(order["raise"])
        if "exit" in order: os._exit(order["exit"])
        if "hang" in order: time.sleep(1000)
        if "number" in order: yield 5
    if "whole" in order: return order["whole"]
    return (pieces(), "text/event-stream") if "typed" in order else pieces()
"""
STREAM = "/invocations-response-stream"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    code = tmp_path_factory.mktemp("streaming") / "code"
    code.mkdir()
    (code / "inference.py").write_text(STREAMING)
    (code.parent / "model.pth").write_bytes(b"")
    return code.parent


@pytest.fixture(scope="module")
def server(start_server, model):
    return start_server(model, "--workers", "2").wait_until_listening()


@pytest.fixture(scope="module")
def impatient(start_server, model):
    environ = {"SAGEMAKER_TS_RESPONSE_TIMEOUT": "4"}  # a busy machine may take a while for an answer that is meant
    return start_server(model, "--workers", "1", "--drain", "1", environ=environ).wait_until_listening()


def ask(server, path=STREAM, method="POST", **order):
    return server.send(method, path, [("Content-Type", "application/json")], json.dumps(order).encode())


def test_pieces_arrive_as_they_are_made(server, tmp_path):
    gate = tmp_path / "gate"
    connection = server.connect()
    connection.request("POST", STREAM, json.dumps({"until": str(gate)}), {"Content-Type": "application/json"})
    answer = connection.getresponse()

    assert answer.getheader("Transfer-Encoding") == "chunked"
    assert answer.read(8) == b"piece 0;", "although the handler has not gone on"
    gate.touch()
    assert answer.read() == b"piece 1;piece 2;"
    connection.close()


def test_connection_serves_a_stream_and_goes_on(server):
    connection = server.connect()
    for count in (0, 1, 5):
        connection.request("POST", STREAM, json.dumps({"count": count}), {"Content-Type": "application/json"})
        assert connection.getresponse().read().count(b";") == count
    connection.close()


def test_content_type_and_status_are_those_of_the_handler(server):
    reply = ask(server, typed=True, status=201)
    assert (reply.status, reply.reason, reply.content_type) == (201, "so", "text/event-stream")


def test_value_that_is_no_iterator_is_answered_in_one_piece(server):
    reply = ask(server, whole="text")
    assert (reply.status, reply.body, dict(reply.headers)["content-length"]) == (200, b"text", "4")


def test_iterator_on_invocations_is_refused_as_in_the_container(server):
    reply = ask(server, "/invocations")
    assert reply.status == 503
    assert json.loads(reply.body)["message"] == "Unsupported model output data type."


def test_exception_before_the_first_piece_is_answered_like_any_other(server):
    reply = ask(server, **{"raise first": "not today"})
    assert (reply.status, reply.reason, reply.content_type) == (500, "not today", None)
    assert reply.body.startswith(b"not today\nTraceback (most recent call last):\n")


@pytest.mark.parametrize("order", [{"raise": "too bad"}, {"number": 1}, {"exit": 1}])
def test_stream_that_breaks_off_has_no_end(server, order):
    check_broken(server, order)


def test_time_out_holds_for_each_piece(impatient):
    check_broken(impatient, {"hang": True})


def check_broken(server, order):
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server, **order)
    assert caught.value.partial == b"piece 0;piece 1;piece 2;"
    assert ask(server, count=1).body == b"piece 0;"


def test_piece_over_the_limit_breaks_the_stream_off(server):
    assert ask(server, piece="x", times=6_553_501, count=1).status == 500
    assert len(ask(server, piece="x", times=6_553_500, count=2).body) == 2 * 6_553_500


def test_old_client_gets_the_pieces_up_to_the_end_of_the_connection(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client, client.makefile("rb") as stream:
        client.sendall(b"POST %s HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}" % STREAM.encode())
        head, _, body = stream.read().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"piece 0;piece 1;piece 2;"


def test_head_request_gets_no_pieces(server):
    reply = ask(server, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")


LONG = json.dumps({"piece": "x", "times": 1_000_000, "count": 40}).encode()


def ask_slowly(server) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.settimeout(60)
    client.connect(("127.0.0.1", server.port))
    client.sendall(b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (STREAM.encode(), len(LONG), LONG))
    return client


def test_slow_client_makes_the_handler_wait_and_loses_nothing(server):
    with ask_slowly(server) as client:
        assert client.recv(12) == b"HTTP/1.1 200"
        assert ask(server, count=1).body, "the other worker serves meanwhile"
        taken = bytearray()
        while not taken.endswith(b"0\r\n\r\n"):
            taken += client.recv(1 << 20)
        assert taken.partition(b"\r\n\r\n")[2].count(b"x") == 40_000_000


def test_client_that_takes_nothing_is_given_up(impatient):
    with ask_slowly(impatient):
        assert ask(impatient, count=1).body == b"piece 0;"
        impatient.wait_for_line("A client took nothing of its stream for 4 s.")
        assert impatient.stop() == 0, "it does not wait for that client either"


def test_client_that_goes_away_disturbs_nobody(server):
    for _ in range(5):
        with ask_slowly(server) as client:
            client.recv(10)
    assert ask(server, count=1).body == b"piece 0;"


def test_what_a_streaming_handler_prints_is_in_the_log(server):
    ask(server, count=7)
    assert server.wait_for_line("sent 6").endswith("MODEL_LOG - sent 6")
