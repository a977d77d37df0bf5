"""Query parameters and form bodies, as TorchServe's HTTP front hands them to Python.

Every query parameter and every form field is a *parameter*, and so is a body that is no form: it is called ``body``.
Handlers get the parameter ``body``. A form without a field of that name gives them None: that is what
``curl -d`` without a Content-Type does. Follows ``InferenceRequestHandler.parseRequest`` of TorchServe 0.12.0, and
the decoders of Netty 4.1.53 that it uses, with their own words for what they cannot decode.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from .messages import Answer, Headers

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SURROUNDING_SPACE = re.compile(r"^[ \t\n\x0b\f\r]+|[ \t\n\x0b\f\r]+$|\n")
_URL_ENCODED = "application/x-www-form-urlencoded"


class Parameter(NamedTuple):
    """One value that came with the request, under a name."""

    name: str
    content_type: str
    value: bytearray


class Malformed(Exception):  # noqa: N818 - what it is
    """What came cannot be decoded. TorchServe answers with the name of Java's exception and its message.

    Parameters
    ----------
    message
        As in Java.
    kind
        The exception's class.
    status
        500, or 403 for what Java calls an illegal argument.
    """

    def __init__(self, message: str, kind: str = "ErrorDataDecoderException", status: int = 500) -> None:
        super().__init__(message)
        self.answer = Answer.error(status, kind, message)


def split_target(target: str) -> tuple[str, str]:
    """Return a request target's decoded path and its raw query. `Malformed` if the path cannot be decoded."""
    path, _, query = target.partition("#")[0].partition("?")
    return _component(path, target, 0, plus=False), query


def query_parameters(target: str) -> list[Parameter]:
    """Return what is in a request target's query string, in order. Both ``&`` and ``;`` separate.

    Raises
    ------
    Malformed
        If a percent sign is not followed by two hexadecimal digits.
    """
    mark = target.find("?")
    if mark < 0:
        return []
    found = []
    for pair in re.finditer("[^&;]+", target.partition("#")[0][mark + 1 :]):
        text = pair[0].lstrip("=")
        if text:
            start = mark + 1 + pair.end() - len(text)
            name, equals, value = text.partition("=")
            decoded = _component(value, target, start + len(name) + len(equals))
            found.append(Parameter(_component(name, target, start), "", bytearray(decoded.encode())))
    return found


def body_parameters(headers: Headers, body: bytearray) -> list[Parameter]:
    """Return the body: as one parameter called ``body``, or its fields if it is a form.

    Raises
    ------
    Malformed
        If it is a form that Netty cannot decode.
    """
    content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    mime_type = content_type.partition(";")[0]
    if mime_type.startswith("multipart/form-data"):
        from .multipart import boundary_of, fields

        boundary = boundary_of(content_type)
        if boundary is not None:
            return list(fields(body, *boundary))
    if mime_type.lower() == _URL_ENCODED:
        return list(_url_encoded(bytes(body)))
    return [Parameter("body", mime_type, body)]


def field_name(name: str) -> str:
    """Return a field's name as Netty keeps it; `Malformed` if nothing is left of it."""
    name = _SURROUNDING_SPACE.sub("", re.sub(r"[\r\t]", " ", name))
    if not name:
        raise Malformed("java.lang.IllegalArgumentException: empty name")
    return name


def _url_encoded(body: bytes) -> Iterator[Parameter]:
    # A line ends the form, but only within a value. A last name without "=" is none.
    rest = body
    while rest:
        name, separator, rest = _before(rb"[=&]", rest)
        if not separator:
            return
        value, end = b"", b"&"
        if separator == b"=":
            value, end, rest = _before(rb"&|\r\n?|\n", rest)
            if end == b"\r" and rest:
                raise Malformed("Bad end of line")
        text = name.decode(errors="replace")
        try:
            key = field_name(_component(text, text, 0))
        except Malformed as error:
            if error.answer.status == 500:  # noqa: PLR2004 - it is the name's, and no escape's
                raise
            raise Malformed(f"Bad string: '{text}'") from error
        yield Parameter(key, "", _decoded(value))
        if end != b"&":
            return


def _before(separator: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    found = re.search(separator, data)
    return (data, b"", b"") if found is None else (data[: found.start()], found[0], data[found.end() :])


def _decoded(value: bytes) -> bytearray:
    bad = _BAD_ESCAPE.search(value)
    if bad is not None:
        text = value.decode(errors="replace")
        raise Malformed(f"Invalid hex byte at index '{bad.start()}' in string: '{text}'")
    return bytearray(unquote_to_bytes(value.replace(b"+", b" ")))


def _component(text: str, whole: str, start: int, *, plus: bool = True) -> str:
    """Decode a part of `whole` that begins at `start`, which error messages name."""
    if plus:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    for escape in re.finditer("%", text):
        at, digits = start + escape.start(), text[escape.end() : escape.end() + 2]
        if len(digits) < 2:  # noqa: PLR2004 - as many as a byte has
            raise Malformed(f"unterminated escape sequence at index {at} of: {whole}", "IllegalArgumentException", 403)
        if not re.fullmatch("[0-9A-Fa-f]{2}", digits):
            message = f"invalid hex byte '{digits}' at index {at + 1} of '{whole}'"
            raise Malformed(message, "IllegalArgumentException", 403)
    return re.sub(
        "(?:%[0-9A-Fa-f]{2})+", lambda run: bytes.fromhex(run[0].replace("%", "")).decode(errors="replace"), text
    )
