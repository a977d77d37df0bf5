"""The body of a request while it comes in: put together piece by piece, held back when nobody takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Bytes of a refused body that are let in, so that the client gets to read why.
_MOST_DROPPED = 1 << 30
#: Bytes of a body that may wait to be taken before the connection is told to hold the rest.
_MOST_HELD = 1 << 18


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class Body:
    """A request's body on its way in: who reads the connection puts pieces in, who answers takes them out.

    Parameters
    ----------
    hold
        Called with True when enough waits to be taken, and with False once it has been.
    go_on
        Called when the body is wanted of a client that waits for ``100 Continue``; None for one that does not.

    Attributes
    ----------
    is_complete
        Whether all of it has come.
    size
        Bytes that wait to be taken.
    awaits_word
        Whether the client waits for ``100 Continue`` and has not got it.
    """

    def __init__(self, hold: Callable[[bool], None], go_on: Callable[[], None] | None = None) -> None:
        self._hold = hold
        self._go_on = go_on
        self._pieces: list[bytes] = []
        self._is_held = False
        self._is_lost = False
        self._came: asyncio.Future[None] | None = None
        self.size = 0
        self.is_complete = False
        self.awaits_word = go_on is not None

    @classmethod
    def of(cls, content: bytes) -> Body:
        """Return one that is there already."""
        body = cls(lambda _holding: None)
        body.put(content)
        body.end()
        return body

    def put(self, piece: bytes) -> None:
        """Add what came."""
        self.awaits_word = False
        self._pieces.append(piece)
        self.size += len(piece)
        if self.size > _MOST_HELD and not self._is_held:
            self._is_held = True
            self._hold(True)
        self._tell()

    def end(self) -> None:
        """Say that it is complete."""
        self.is_complete = True
        self._tell()

    def lose(self) -> None:
        """Say that nothing more comes, though it is not complete."""
        self._is_lost = True
        self._tell()

    def _tell(self) -> None:
        if self._came is not None and not self._came.done():
            self._came.set_result(None)

    async def take(self) -> bytes:
        """Return what has come, or comes next; nothing at its end.

        Raises
        ------
        ClientGoneError
            If the connection closes before the body is complete.
        """
        if self.awaits_word and self._go_on is not None:
            self.awaits_word = False
            self._go_on()
        while not self._pieces:
            if self.is_complete:
                return b""
            if self._is_lost:
                raise ClientGoneError
            self._came = asyncio.get_running_loop().create_future()
            await self._came
        return self.taken()

    def taken(self) -> bytes:
        """Return what has come."""
        piece = b"".join(self._pieces)  # a single one is not copied
        self._pieces.clear()
        self.size = 0
        if self._is_held:
            self._is_held = False
            self._hold(False)
        return piece

    async def is_over(self) -> bool:
        """Return whether nothing of it is left to come.

        What the client sends already is let in and dropped, up to a bound: it reads no answer before it has sent all.
        """
        dropped = 0
        while not self.is_complete and dropped < _MOST_DROPPED:
            dropped += len(await self.take())
        return self.is_complete
