"""Heads of requests that were parsed before: a client sends the same one with each of its requests."""

from __future__ import annotations

from typing import NamedTuple

from .messages import Headers, Request

_MOST = 64
_END = b"\r\n\r\n"


class _Head(NamedTuple):
    method: str
    path: str
    headers: Headers
    length: int  # bytes of the body
    chunked: bool


class KnownHeads:
    """What the last few different heads said, byte for byte."""

    def __init__(self) -> None:
        self._heads: dict[bytes, _Head] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, data: bytes) -> tuple[Request, bool] | None:
        """Return the request that `data` is, and whether its client takes chunks; None if its head is not known."""
        end = data.find(_END) + len(_END)
        head = self._heads.get(data[:end])
        if head is None or len(data) - end != head.length:
            return None
        return Request(head.method, head.path, head.headers, data[end:]), head.chunked

    def add(self, data: bytes, request: Request, *, chunked: bool) -> None:
        """Know the head from now on, if `data` is the request and nothing else.

        Parameters
        ----------
        data
            What came when the request began.
        request
            What was parsed: one whose connection stays, and whose Content-Length says how long the body is.
        chunked
            Whether the client takes an answer in chunks.
        """
        end = data.find(_END) + len(_END)
        if end < len(_END) or len(data) - end != len(request.body):
            return
        if len(self._heads) >= _MOST:
            self._heads.clear()
        self._heads[data[:end]] = _Head(request.method, request.path, request.headers, len(request.body), chunked)

    def clear(self) -> None:
        """Know none."""
        self._heads.clear()
