"""Answers as HTTP/1.1 writes them."""

from __future__ import annotations

import re

from .messages import Answer
from .stream import Stream

_LONGEST_REASON = 8000  # characters: clients give up on longer status lines than some 16 KiB
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NO_CONTENT, _RESET_CONTENT, _NOT_MODIFIED = 204, 205, 304
_NOT_CACHED = (
    b"pragma: no-cache\r\n"
    b"cache-control: no-cache; no-store, must-revalidate, private\r\n"
    b"expires: Thu, 01 Jan 1970 00:00:00 UTC\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


def encode(answer: Answer, *, keep_alive: bool, head_only: bool) -> list[bytes]:
    """Return an answer's head and body.

    Parameters
    ----------
    answer
        Its header values that are not Latin-1 are sent as UTF-8, and a reason phrase as far as ASCII goes.
    keep_alive
        Whether further requests on the connection are answered.
    head_only
        Whether the request was HEAD: the body is described but not sent.
    """
    if not has_body(answer.status):
        length = b"content-length: 0\r\n" if answer.status == _RESET_CONTENT else b""
        return [_head(answer, length, keep_alive=keep_alive)]
    head = _head(answer, b"content-length: %d\r\n" % len(answer.body), keep_alive=keep_alive)
    return [head] if head_only else [head, answer.body]


def has_body(status: int) -> bool:
    """Return whether an answer of that status has a body."""
    return status not in {_NO_CONTENT, _RESET_CONTENT, _NOT_MODIFIED}


def encode_head(stream: Stream, *, keep_alive: bool, chunked: bool) -> bytes:
    """Return the head of an answer whose body comes in pieces: chunked, or up to the end of the connection."""
    coding = b"transfer-encoding: chunked\r\n" if chunked and has_body(stream.status) else b""
    return _head(stream, coding, keep_alive=keep_alive)


def encode_chunk(piece: bytes) -> list[bytes]:
    """Return one piece of a chunked body; it must not be empty."""
    return [b"%x\r\n" % len(piece), piece, b"\r\n"]


def _head(answer: Answer | Stream, length: bytes, *, keep_alive: bool) -> bytes:
    reason = _UNPRINTABLE.sub(" ", answer.reason[:_LONGEST_REASON]).encode("ascii", "replace")
    lines = [b"HTTP/1.1 %d %s\r\n" % (answer.status, reason)]
    for name, value in answer.headers:
        try:
            encoded = value.encode("latin-1")
        except UnicodeEncodeError:
            encoded = value.encode("utf-8", "surrogateescape")
        lines.append(b"%s: %s\r\n" % (name.encode("ascii"), encoded))
    lines += (_NOT_CACHED, length, b"connection: keep-alive\r\n\r\n" if keep_alive else b"connection: close\r\n\r\n")
    return b"".join(lines)
