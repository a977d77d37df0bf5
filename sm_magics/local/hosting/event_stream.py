"""``application/vnd.amazon.eventstream``: the frames of a streamed answer.

A frame is ``u32 length, u32 length of the headers, u32 CRC of those two, headers, payload, u32 CRC of all before``; a
header is ``u8 length, name, 7 (a string), u16 length, value`` (Amazon event stream encoding, Amazon Transcribe
Developer Guide).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def event(kind: str, payload: bytes) -> bytes:
    """Return an event's frame."""
    return _frame({":message-type": "event", ":event-type": kind, ":content-type": "application/octet-stream"}, payload)


def exception(kind: str, members: Mapping[str, str]) -> bytes:
    """Return the frame of an error that ends the stream."""
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return _frame(headers, json.dumps(members).encode())


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    encoded = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return message + struct.pack("!I", zlib.crc32(message))
