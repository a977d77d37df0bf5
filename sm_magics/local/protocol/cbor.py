"""Smithy's RPC v2 CBOR over botocore's shapes: what some SDKs speak to CloudWatch.

botocore prefers JSON, the AWS SDK for Go speaks CBOR alone from its CloudWatch module 1.52 on. A request becomes the
document that a client of the JSON protocol would have sent, so that one set of operations answers all
("Smithy RPC v2 CBOR protocol", Smithy 2.0 specification).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import cbor2

from .errors import not_serializable

CONTENT_TYPE = "application/cbor"
#: The header that says which protocol a request or an answer is in.
HEADER = "smithy-protocol"
NAME = "rpc-v2-cbor"
_PATH = re.compile(r"/service/(?P<service>[\w.]+)/operation/(?P<operation>\w+)")
_SECONDS = 1  # the tag of a time, as seconds since the epoch


def target(path: str) -> tuple[str, str]:
    """Return the service and the operation that a path names; empty if it names none."""
    match = _PATH.fullmatch(path)
    return (match["service"], match["operation"]) if match else ("", "")


def loads(body: bytes) -> Any:
    """Return a body as a document of the JSON protocol, an empty one as ``{}``.

    Raises
    ------
    ApiError
        ``SerializationException`` if it is no CBOR.
    """
    try:
        return _document(cbor2.loads(body)) if body else {}
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
        raise not_serializable("The request body is not valid CBOR.") from error


def _document(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _document(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_document(item) for item in value]
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if isinstance(value, (str, int, float, bool)) else None


def dumps(content: Any) -> bytes:
    """Return an answer's content, as `content` returns it, as a body."""
    return cbor2.dumps(content)


def content(shape: Any, value: Any) -> Any:
    """Return an answer's value for `dumps`. None members are left out."""
    kind = shape.type_name
    if kind == "structure":
        known = shape.members
        return {name: content(known[name], item) for name, item in value.items() if item is not None and name in known}
    if kind == "list":
        return [content(shape.member, item) for item in value]
    if kind == "map":
        return {key: content(shape.value, item) for key, item in value.items()}
    return cbor2.CBORTag(_SECONDS, value) if kind == "timestamp" else value
