"""A warm process of ``serving``, for a proof: the one that runs on this machine already, else one of our own.

One of our own stays for a while, so that the next proof need not import torch again. It ends with this process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sm_magics.home import home
from sm_magics.serving.client import ParentClient, find_parent
from sm_magics.serving.parent import ParentFailed, WarmParent

KEPT_SECONDS = 300.0
"""How long a process of our own waits for another proof."""

_POLL = 0.01
Result = TypeVar("Result")


@contextmanager
def connected(python: str, *, expected: float = 0.0, own: bool = False) -> Iterator[ParentClient]:
    """Connect to a warm process of an interpreter. What is forked over the connection ends with the block.

    Parameters
    ----------
    python
        The interpreter.
    expected
        Seconds to wait for one that another process is just starting, before one is started here.
    own
        Take no other than one of our own.

    Raises
    ------
    ParentFailed
        If there is none and none can be started.
    """
    client = (None if own else _found(python, expected)) or ParentClient(_own.address(python))
    with client:
        yield client


def _found(python: str, expected: float) -> ParentClient | None:
    deadline = time.monotonic() + expected
    while True:
        address = find_parent(home() / "run", python)  # where SageMaker on this machine keeps its own
        if address is not None:
            with suppress(ParentFailed):  # it has ended since
                return ParentClient(address)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL)


class _Own:
    """The warm processes that this process has started. They live on an event loop in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._parents: dict[str, WarmParent] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def address(self, python: str) -> Path:
        """Return the socket of the process of an interpreter, started if it is not there."""
        return self._run(self._address(python))

    def close(self) -> None:
        """End all of them."""
        if self._loop is not None:
            for python in list(self._parents):
                self._run(self._end(python))

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # The process ends with the thread that started it, so this one stays.
                threading.Thread(target=self._loop.run_forever, name="sm_magics-warm", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C: what is half started is ended
            raise

    async def _address(self, python: str) -> Path:
        loop = asyncio.get_running_loop()
        if python in self._ends:
            self._ends.pop(python).cancel()
        parent = self._parents.get(python)
        if parent is None or not parent.alive:
            await self._end(python)
            parent = self._parents[python] = await WarmParent.start(python, home() / "proof")
        self._ends[python] = loop.call_later(KEPT_SECONDS, lambda: loop.create_task(self._end(python)))
        return parent.address

    async def _end(self, python: str) -> None:
        if python in self._ends:
            self._ends.pop(python).cancel()
        parent = self._parents.pop(python, None)
        if parent is not None:
            await parent.close()


_own = _Own()


def close() -> None:
    """End the warm processes that this process has started."""
    _own.close()
