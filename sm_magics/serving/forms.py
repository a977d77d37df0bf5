"""Query parameters and form bodies, as TorchServe's HTTP front hands them to Python.

Every query parameter and every form field is a *parameter*, and so is a body that is no form: it is called ``body``.
Handlers get the parameter ``body``. A form without a field of that name gives them None: that is what
``curl -d`` without a Content-Type does. Follows ``InferenceRequestHandler.parseRequest`` of TorchServe 0.12.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from .messages import Headers


class Parameter(NamedTuple):
    """One value that came with the request, under a name."""

    name: str
    content_type: str
    value: bytearray


def split_target(target: str) -> tuple[str, str]:
    """Return a request target's decoded path and its raw query."""
    path, _, query = target.partition("#")[0].partition("?")
    return unquote(path, errors="replace"), query


def query_parameters(query: str) -> Iterator[Parameter]:
    """Yield what is in a query string, in order. Both ``&`` and ``;`` separate."""
    for pair in re.split("[&;]", query):
        name, _, value = pair.partition("=")
        if name or value:
            yield Parameter(_decode(name).decode(errors="replace"), "", bytearray(_decode(value)))


def body_parameters(headers: Headers, body: bytearray) -> Iterator[Parameter]:
    """Yield the body: as one parameter called ``body``, or its fields if it is a form."""
    content_type = next((value for name, value in reversed(headers) if name.lower() == "content-type"), "")
    mime_type = content_type.partition(";")[0]
    boundary = re.search(r';\s*boundary="?([^";]+)', content_type, re.IGNORECASE)
    if mime_type.strip().lower() == "multipart/form-data" and boundary:
        yield from _multipart(boundary[1].strip(), body)
    elif mime_type.lower() == "application/x-www-form-urlencoded":
        for pair in bytes(body).partition(b"\n")[0].rstrip(b"\r").split(b"&"):
            name, _, value = pair.partition(b"=")
            if name or value:
                yield Parameter(_decode(name).decode(errors="replace"), "", bytearray(_decode(value)))
    else:
        yield Parameter("body", mime_type, body)


def _decode(text: str | bytes) -> bytes:
    data = text.encode("latin-1", errors="replace") if isinstance(text, str) else text
    return unquote_to_bytes(data.replace(b"+", b" "))


def _multipart(boundary: str, body: bytearray) -> Iterator[Parameter]:
    delimiter = b"\r\n--" + boundary.encode("latin-1", errors="replace")
    _preamble, *parts = (b"\r\n" + body).split(delimiter)
    for part in parts:
        if part.startswith(b"--"):
            return
        head, separator, value = part.partition(b"\r\n\r\n")
        if not separator:
            continue
        fields = BytesHeaderParser().parsebytes(head.lstrip())
        name = fields.get_param("name", header="content-disposition")
        if isinstance(name, str):
            yield Parameter(name, fields.get("content-type", ""), bytearray(value))
