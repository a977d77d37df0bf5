"""An answer that comes in pieces: from a handler that returns an iterator, to a streaming invocation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from .messages import Headers

_MOST_HELD = 1 << 20  # bytes read from a worker before the client has taken them


class StreamBroken(Exception):  # noqa: N818 - what happened
    """The answer ends before its end: the handler's iterator raised, or the worker died. The message says which."""


class Stream:
    """The pieces of one answer, to be iterated over once with ``async for``.

    Iteration raises `StreamBroken` where the answer ends before its end. Who does not want the rest calls
    `abandon`; the handler still runs to its end, as it does for any client that goes away.

    Parameters
    ----------
    status, reason, headers
        As in `Answer`. They are complete before the first piece.
    hold
        Called with True when enough pieces wait to be taken, and with False once they have been.

    Attributes
    ----------
    holding
        Whether enough pieces wait to be taken.
    """

    def __init__(self, status: int, reason: str, headers: Headers, hold: Callable[[bool], None]) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self._hold = hold
        self._held = 0
        self.holding = False
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._broken: str | None = None
        self._abandoned = False
        self._came = asyncio.Event()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._broken is not None:
                raise StreamBroken(self._broken)
            if self._ended:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        self._set_holding()
        return piece

    def abandon(self) -> None:
        """Drop what has come and what still comes."""
        self._abandoned = True
        self._pieces.clear()
        self._held = 0
        self._set_holding()

    def put(self, piece: bytes) -> None:
        """Add a piece. An empty one adds nothing."""
        if piece and not self._abandoned:
            self._pieces.append(piece)
            self._held += len(piece)
            self._came.set()
            self._set_holding()

    def end(self, broken: str | None = None) -> None:
        """Say that nothing more comes, and why, if that is not the answer's end. The first to say so is right."""
        if not self._ended:
            self._broken = broken
        self._ended = True
        self._came.set()

    def _set_holding(self) -> None:
        holding = self._held > _MOST_HELD
        if holding != self.holding and not self._ended:
            self.holding = holding
            self._hold(holding)
