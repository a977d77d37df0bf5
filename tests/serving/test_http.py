"""HTTP as the container speaks it: what the recorded cases, sent one at a time by a tidy client, do not show."""

from __future__ import annotations

import errno
import json
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ECHO = """
import json
def model_fn(model_dir, context): return None
def input_fn(body, content_type): return body
def predict_fn(body, model): return body
def output_fn(body, accept, context):
    if body is None: return "None"
    order = json.loads(body) if body[:1] == b"{" else {}
    if "status" in order: context.set_response_status(order["status"], order.get("phrase", ""))
    for name, value in order.get("headers", {}).items(): context.set_response_header(0, name, value)
    if "raise" in order: raise ValueError(order["raise"])
    if "length" in order: return "x" * order["length"]
    if "type" in order: return "body", order["type"]
    if "seen" in order: return json.dumps(context.get_all_request_header(0))
    return bytes(body)
"""
LIMIT = 6_553_500
DIED = {"code": 500, "type": "InternalServerException", "message": "Worker died."}
NPY = [("Content-Type", "application/octet-stream")]


@pytest.fixture(scope="module")
def server(start_server, tmp_path_factory):
    code = tmp_path_factory.mktemp("echo") / "code"
    code.mkdir()
    (code / "inference.py").write_text(ECHO)
    (code.parent / "model.pth").write_bytes(b"")
    return start_server(code.parent, "--workers", "1").wait_until_listening()


def ask(server, **order):
    return server.send(headers=NPY, body=json.dumps(order).encode())


class Raw:
    """A connection on which bytes are sent as they are."""

    def __init__(self, server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def answer(self, head_only=False) -> tuple[str, dict[str, str], bytes]:
        line = self.stream.readline().decode()
        headers = {}
        while (header := self.stream.readline().decode().rstrip("\r\n")) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        body = b"" if head_only else self.stream.read(int(headers.get("content-length", "0")))
        return line.rstrip("\r\n"), headers, body


def request(body: bytes, *headers: str, method: str = "POST", path: str = "/invocations") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def test_connection_serves_one_request_after_another_until_an_error(server):
    with Raw(server) as raw:
        for _ in range(3):
            raw.socket.sendall(request(b"ping"))
            line, headers, body = raw.answer()
            assert (line, headers["connection"], body) == ("HTTP/1.1 200 ", "keep-alive", b"ping")
        raw.socket.sendall(request(b'{"raise": "no"}'))
        line, headers, _ = raw.answer()
        assert (line, headers["connection"]) == ("HTTP/1.1 500 no", "close")
        assert raw.stream.read() == b""


def test_pipelined_requests_are_answered_in_order(server):
    with Raw(server) as raw:
        raw.socket.sendall(b"".join(request(b"%d" % i) for i in range(40)))
        assert [raw.answer()[2] for _ in range(40)] == [b"%d" % i for i in range(40)]


def test_request_that_comes_byte_by_byte_is_answered(server):
    with Raw(server) as raw:
        for byte in request(b"slow", method="FOO-BAR"):
            raw.socket.sendall(bytes([byte]))
        assert raw.answer()[2] == b"slow"


def test_chunked_body_is_put_together(server):
    with Raw(server) as raw:
        raw.socket.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        raw.socket.sendall(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        assert raw.answer()[2] == b"abcde"


def test_client_that_expects_100_continue_is_told_to(server):
    with Raw(server) as raw:
        head, body = request(b"go on", "Expect: 100-continue").split(b"\r\n\r\n")
        raw.socket.sendall(head + b"\r\n\r\n")
        assert raw.answer(head_only=True)[0] == "HTTP/1.1 100 Continue"
        raw.socket.sendall(body)
        assert raw.answer()[2] == b"go on"


def test_client_that_does_not_know_100_continue_is_not_told_to(server):
    with Raw(server) as raw:
        raw.socket.sendall(request(b"go on", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert raw.answer()[0] == "HTTP/1.1 200 "


def test_client_that_expects_100_continue_for_too_much_is_refused_before_it_sends(server):
    with Raw(server) as raw:
        head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        raw.socket.sendall(head % (LIMIT + 1))
        line, headers, body = raw.answer()
        assert (line, body, "content-type" in headers) == ("HTTP/1.1 413 Request Entity Too Large", b"", False)


def test_unknown_expectation_is_refused(server):
    with Raw(server) as raw:
        raw.socket.sendall(request(b"", "Expect: the-unexpected"))
        assert raw.answer()[0] == "HTTP/1.1 417 Expectation Failed"


def test_old_client_that_closes_its_side_is_answered(server):
    with Raw(server) as raw:
        raw.socket.sendall(b"POST /invocations HTTP/1.0\r\nContent-Length: 3\r\n\r\nold")
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.answer()[2] == b"old"
        assert raw.stream.read() == b""


def test_clients_that_go_away_or_send_half_a_request_disturb_nobody(server):
    reset = struct.pack("ii", 1, 0)
    half = request(b"x" * 100)[:-50]
    silent = [Raw(server) for _ in range(20)]
    for raw in silent:
        raw.socket.sendall(half)
    for data in (half, request(b"x"), b"", b"POST"):
        with Raw(server) as raw:
            raw.socket.sendall(data)
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    assert server.send(headers=NPY, body=b"next").body == b"next"
    for raw in silent:
        raw.__exit__()


def test_body_of_the_most_allowed_bytes_goes_in_and_comes_out(server):
    body = bytes(range(256)) * (LIMIT // 256) + b"\0" * (LIMIT % 256)
    assert server.send(headers=NPY, body=body).body == body


@pytest.mark.parametrize("chunked", [False, True])
def test_one_byte_more_is_refused_with_an_empty_413(server, chunked):
    with Raw(server) as raw:
        if chunked:
            raw.socket.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            raw.socket.sendall(b"%x\r\n" % (LIMIT + 1) + bytes(LIMIT + 1) + b"\r\n0\r\n\r\n")
        else:
            raw.socket.sendall(request(bytes(LIMIT + 1)))
        line, headers, body = raw.answer()
    assert (line, headers["content-length"], body) == ("HTTP/1.1 413 Request Entity Too Large", "0", b"")
    assert "content-type" not in headers


def test_answer_over_the_limit_says_so_and_the_worker_lives(server):
    assert len(ask(server, length=LIMIT).body) == LIMIT

    reply = ask(server, length=LIMIT + 1)

    assert reply.status == 500
    assert json.loads(reply.body)["message"].startswith("The response has 6553501 bytes, more than the 6553500 allowed")
    assert server.send(headers=NPY, body=b"next").body == b"next"


def test_limits_can_be_lifted(start_server, server):
    model = Path(server.process.args[3])
    environ = {"TS_MAX_REQUEST_SIZE": "10", "TS_MAX_RESPONSE_SIZE": "5"}
    small = start_server(model, environ=environ).wait_until_listening()

    assert [small.send(headers=NPY, body=bytes(n)).status for n in (5, 6, 10, 11)] == [200, 500, 500, 413]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 405),
        ("//?x=1", 405),
        ("*", 500),
        ("/invocations/more", 404),
        ("//invocations", 404),
        ("/models", 404),
        ("http://localhost/invocations", 404),
        ("/invocations?model_name=other", 404),
        ("/invocations?model_name=model&x", 200),
        ("/invocations/?model_name=", 200),
        ("/invoc%61tions", 200),
        ("/ping/", 200),
        ("/ping?x=1", 200),
    ],
)
def test_only_two_paths_are_served(server, path, status):
    reply = server.send(path=path, headers=NPY, body=b"x")

    assert reply.status == status
    if status != 200:
        assert json.loads(reply.body)["code"] == status


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls",
        b"GET\t/ping HTTP/1.1\r\n\r\n",
        b"A" * 1000,
        b"GET /ping HTTP/3.0\r\n\r\n",
        b"GET /ping\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nX: " + b"x" * 1_000_000,
    ],
)
def test_what_is_no_http_is_refused(server, data):
    with Raw(server) as raw:
        raw.socket.sendall(data)
        line, headers, body = raw.answer()
    assert line == "HTTP/1.1 400 Bad Request"
    assert json.loads(body) == {"code": 400, "type": "BadRequestException", "message": "Invalid HTTP message."}
    assert headers["connection"] == "close"


@pytest.mark.parametrize(("line", "headers", "status"), [(4095, 8191, "200"), (4096, 20, "400"), (20, 8192, "400")])
def test_head_may_be_as_long_as_in_the_container(server, line, headers, status):
    host = b"Host: localhost"
    start = b"GET /ping" + b"?".ljust(line - len(b"GET /ping HTTP/1.1"), b"x") * (line > 20) + b" HTTP/1.1"
    more = b"\r\nX: " + b"y" * (headers - len(host) - 3) if headers > 20 else b""
    with Raw(server) as raw:
        raw.socket.sendall(start + b"\r\n" + host + more + b"\r\n\r\n")
        assert raw.answer()[0].split()[1] == status


def test_status_phrase_and_headers_of_the_handler_are_sent(server):
    order = {"status": 202, "phrase": "in good time", "headers": {"X-Amzn-SageMaker-Custom-Attributes": "a=1"}}
    reply = ask(server, **order)

    assert (reply.status, reply.reason) == (202, "in good time")
    assert dict(reply.headers)["X-Amzn-SageMaker-Custom-Attributes"] == "a=1"


@pytest.mark.parametrize(
    "order",
    [
        {"headers": {"X": "a\r\nSet-Cookie: b"}},
        {"headers": {"X: Y": "a"}},
        {"headers": {"X": 1}},
        {"status": 200, "phrase": "a\r\nX: b"},
        {"status": 42},
        {"status": "200"},
        {"type": "text/plain\r\nX: b"},
        {"type": None},
        {"type": 5},
    ],
)
def test_answer_that_is_no_http_ends_the_worker_as_in_the_container(server, order):
    reply = ask(server, **order)

    assert (reply.status, json.loads(reply.body)) == (500, DIED)
    assert server.send(headers=NPY, body=b"next").body == b"next"


@pytest.mark.parametrize("text", ["caf\u00e9", "\u4f60\u597d", "\x00\x1b[1m", "x" * 100_000])
def test_any_text_of_an_exception_is_answered(server, text):
    reply = ask(server, **{"raise": text})

    assert reply.status == 500
    assert reply.content_type is None
    assert reply.body.startswith(text.encode() + b"\nTraceback (most recent call last):\n")


def test_any_text_of_a_header_is_answered(server):
    reply = server.send(headers=[*NPY, ("Accept", "text/caf\u00e9".encode())], body=b"x")
    assert (reply.status, reply.content_type.encode("latin-1").decode()) == (200, "text/caf\u00e9")
    assert ask(server, type="text/\u4f60").status == 200


def test_headers_are_seen_as_sent(server):
    reply = server.send(headers=[*NPY, ("x-MiXed", " a "), ("X-Twice", "1"), ("X-Twice", "2")], body=b'{"seen": 1}')

    seen = json.loads(reply.body)

    assert (seen["x-MiXed"], seen["X-Twice"]) == ("a", "2")
    assert seen["body"] == {"content-type": "application/octet-stream"}


def test_form_fields_and_query_parameters_are_inputs(server):
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    multipart = b'--b\r\ncontent-disposition: form-data; name="body"\r\n\r\n\r\n--b is text\r\n\0\r\n--b--\r\n'

    assert server.send(headers=form, body=b"a=1&body=x+%C3%A9&c").body == "x \u00e9".encode()
    assert server.send(path="/invocations?body=q", headers=form, body=b"a=1").body == b"q"
    assert server.send(path="/invocations?body=q", headers=NPY, body=b"b").body == b"b"
    reply = server.send(headers=[("Content-Type", 'multipart/form-data; boundary="b"')], body=multipart)
    assert reply.body == b""


def test_upgrade_is_ignored(server):
    with Raw(server) as raw:
        upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")
        for body in (b"", b"x", b"longer"):
            raw.socket.sendall(request(body, *upgrade) + request(b"next"))
            assert raw.answer()[2] == body
            assert raw.answer()[2] == b"next"
        head, body = request(b"two parts", *upgrade).split(b"\r\n\r\n")
        for part in (head, b"\r\n\r\n", body[:3], body[3:]):
            raw.socket.sendall(part)
        assert raw.answer()[2] == body


methods = st.text("ABCabc!#$%&'*+-.^_`|~09", min_size=1, max_size=20)
served = ["/invocations", "/ping", "/invocations-response-stream", "/invocations?body=1"]
paths = st.sampled_from(served) | st.text(st.characters(codec="ascii"), max_size=40).map("/{}".format)
names = (
    st.sampled_from(["Content-Type", "Accept", "content-type", "Expect", "Transfer-Encoding", "Connection", "Upgrade"])
    | methods
)
values = st.sampled_from(
    ["application/json", "text/csv", "*/*", "multipart/form-data; boundary=b", "chunked", "upgrade", "close"]
) | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)
OUT_OF_BOUNDS = ("ArrayIndexOutOfBoundsException", "StringIndexOutOfBoundsException")
TYPES = {
    400: {"BadRequestException"},
    403: {
        "ForbiddenException",
        "IllegalArgumentException",
        "IllegalCharsetNameException",
        "UnsupportedCharsetException",
    },
    404: {"ResourceNotFoundException"},
    405: {"MethodNotAllowedException"},
    500: {"InternalServerException", "ErrorDataDecoderException", *OUT_OF_BOUNDS},
    503: {"InternalServerException"},
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(methods, paths, st.lists(st.tuples(names, values), max_size=5), st.binary(max_size=200))
def test_random_requests_never_stop_the_server(server, method, path, headers, body):
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    data = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body
    check_random(server, data)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.tuples(st.just(b"POST /invocations HTTP/1.1\r\n"), st.binary()).map(b"".join))
def test_random_bytes_never_stop_the_server(server, data):
    check_random(server, data)


def check_random(server, data: bytes) -> None:
    with Raw(server) as raw:
        raw.socket.sendall(data)
        try:
            raw.socket.shutdown(socket.SHUT_WR)
            answer = raw.stream.read()
        except OSError as error:
            if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}:
                raise
            answer = b""  # it was refused before it was read to its end
    while answer:
        answer = check_shape(answer)
    assert server.send("GET", "/ping").status == 200


def check_shape(answers: bytes) -> bytes:
    """Return what comes after the first answer, which must be one that the container could have given."""
    head, separator, rest = answers.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    version, status_text, _reason = line.split(b" ", 2)
    status = int(status_text)
    assert (version, separator) == (b"HTTP/1.1", b"\r\n\r\n")
    if status == 100:
        return rest
    headers = {name.lower(): value for name, _, value in (header.partition(b": ") for header in lines)}
    length = int(headers[b"content-length"])
    assert len(rest) >= length
    body, content_type = rest[:length], headers.get(b"content-type")
    if status in {413, 417}:
        assert (body, content_type) == (b"", None)
    elif content_type is None:  # an exception of a handler, or of the toolkit
        assert status == 500
        assert b"\nTraceback (most recent call last):\n" in body
    elif status != 200:
        error = json.loads(body)
        assert error.pop("message")
        assert error.pop("type") in TYPES[status]
        assert error == {"code": status}
    return rest[length:]


@pytest.mark.parametrize(("host", "status"), [
    ("evil.example", "403"), ("evil.example:80", "403"), ("127.0.0.1.evil.example", "403"),
    ("localhost", "200"), ("LOCALHOST:1", "200"), ("127.0.0.1", "200"), ("[::1]:8080", "200"), ("", "200"),
])  # fmt: skip
def test_a_page_whose_name_leads_here_gets_no_answer(server, host, status):
    with Raw(server) as raw:
        raw.socket.sendall(f"GET /ping HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert raw.answer()[0].split()[1] == status
