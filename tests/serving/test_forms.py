"""What becomes of query strings and bodies."""

from __future__ import annotations

import contextlib
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from sm_magics.serving.forms import Malformed, body_parameters, query_parameters, split_target

texts = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(lambda name: name and name.strip(" ") == name)


def fields(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    return [(p.name, bytes(p.value)) for p in body_parameters((("Content-Type", content_type),), bytearray(body))]


@given(st.lists(st.tuples(names, texts)))
def test_encoded_fields_come_back(pairs):
    encoded = urlencode(pairs)
    expected = [(name, value.encode()) for name, value in pairs]

    assert [(p.name, bytes(p.value)) for p in query_parameters("/x?" + encoded)] == expected
    assert fields("application/x-www-form-urlencoded", encoded.encode()) == expected


@given(st.lists(st.binary().filter(lambda value: b"\r\n--limit" not in b"\r\n" + value)))
def test_parts_come_back_byte_for_byte(values):
    parts = [b'--limit\r\nContent-Disposition: form-data; name="%d"\r\n\r\n%s\r\n' % pair for pair in enumerate(values)]

    received = fields("multipart/form-data; boundary=limit", b"".join(parts) + b"--limit--\r\n")

    assert received == [(str(n), value) for n, value in enumerate(values)]


@given(st.binary(), texts)
def test_no_body_is_too_strange(body, content_type):
    for prefix in ("", "application/x-www-form-urlencoded;", "multipart/form-data; boundary=a;"):
        with contextlib.suppress(Malformed):
            fields(prefix + content_type, body)


@given(st.binary(max_size=80).map(lambda data: data.replace(b"%", b"&")) | st.binary(max_size=80))
def test_no_part_is_too_strange(data):
    body = b'--a\r\nContent-Disposition: form-data; name="body"' + data + b"\r\n\r\nx\r\n--a--\r\n"
    with contextlib.suppress(Malformed):
        fields("multipart/form-data; boundary=a", body)


def test_body_that_is_no_form_is_one_parameter():
    parameter, *others = body_parameters((("content-type", "text/plain; charset=x"),), bytearray(b"abc"))
    assert parameter == ("body", "text/plain", b"abc")
    assert not others


def test_form_without_a_boundary_is_no_form():
    assert fields("multipart/form-data", b"abc") == [("body", b"abc")]


def test_target_is_split_and_its_path_decoded():
    assert split_target("/a%20b?c=%20#d") == ("/a b", "c=%20")
