"""The warm parents of the workers: one per Python interpreter, started when first asked for."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from sm_magics.serving.parent import WarmParent


class Interpreters:
    """Parents by the path of their interpreter.

    Parameters
    ----------
    directory
        Where their sockets go; the path must be short.
    default
        The interpreter for a model whose environment names none.
    """

    def __init__(self, directory: Path, default: str) -> None:
        self._directory = directory
        self.default = default
        self._parents: dict[str, asyncio.Task[WarmParent]] = {}
        self._asked: dict[str, float] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def warm(self, python: str) -> asyncio.Task[WarmParent]:
        """Begin to start an interpreter's parent, if that has not begun, and return the task."""
        task = self._parents.get(python)
        if task is None or _is_lost(task):
            task = asyncio.create_task(WarmParent.start(python, self._directory))
            # Who only warms does not look at the outcome.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._parents[python] = task
        self._asked[python] = asyncio.get_running_loop().time()
        return task

    async def parent(self, python: str) -> WarmParent:
        """Return an interpreter's parent, started if need be.

        Raises
        ------
        Exception
            Whatever kept it from starting. The next call tries again.
        """
        # One who stops waiting does not stop the start for the others.
        return await asyncio.shield(self.warm(python))

    def rest(self, idle_after: float) -> None:
        """End parents that nobody has asked for so many seconds. Only while no worker runs: they would end, too."""
        now = asyncio.get_running_loop().time()
        for python, task in list(self._parents.items()):
            if task.done() and not _is_lost(task) and now - self._asked[python] >= idle_after:
                del self._parents[python]
                ending = asyncio.create_task(task.result().close())
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all parents, and the workers with them."""
        await asyncio.gather(*self._ending, return_exceptions=True)
        for task in self._parents.values():
            task.cancel()
        for task in self._parents.values():
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await (await task).close()
        self._parents.clear()


def _is_lost(task: asyncio.Task[WarmParent]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
