"""Threads for what blocks: so many at a time, so many more that wait, and the next one is refused at once.

What hangs in one lane holds up nobody in another. The threads end with the process, whatever they wait for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from .problems import Problem, Refused

Result = TypeVar("Result")


class Lane:
    """A few threads at a time.

    Parameters
    ----------
    name
        The threads'.
    width
        How many at a time.
    waiting
        How many more may wait for one of them.
    """

    def __init__(self, name: str, *, width: int, waiting: int) -> None:
        self._name = name
        self._free = asyncio.Semaphore(width)
        self._most = width + waiting
        self._inside = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns on a thread. Whoever stops waiting for it stops nothing.

        Raises
        ------
        Refused
            If too many wait already.
        """
        if self._inside >= self._most:
            raise Refused(
                Problem(503, "Busy", f"{self._inside} requests wait for an answer already; this one was not sent.")
            )
        self._inside += 1
        try:
            await self._free.acquire()
        except BaseException:
            self._inside -= 1
            raise
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Result] = loop.create_future()
        threading.Thread(
            target=self._do, args=(work, outcome, loop), name=f"sm_magics-{self._name}", daemon=True
        ).start()
        return await outcome

    def _do(self, work: Callable[[], Result], outcome: asyncio.Future[Result], loop: asyncio.AbstractEventLoop) -> None:
        tell: Callable[[Any], None]
        result: Any
        try:
            tell, result = outcome.set_result, work()
        except BaseException as error:  # noqa: BLE001 - it is whoever waits that handles it
            tell, result = outcome.set_exception, error
        with suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(self._end, tell, result, outcome)

    def _end(self, tell: Callable[[Any], None], result: Any, outcome: asyncio.Future[Result]) -> None:
        self._inside -= 1
        self._free.release()
        if not outcome.done():  # nobody has stopped waiting
            tell(result)
