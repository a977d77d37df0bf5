"""The warm parent of all workers of one Python interpreter, as those who need workers see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from .messages import Assignment
from .process import Forked, ParentFailed, WarmProcess

__all__ = ["Forked", "ParentFailed", "WarmParent"]


class WarmParent:
    """A process that has imported torch and the toolkit, and forks workers. One per Python interpreter.

    Make one with `start`. The process ends with `close`, and with the process that started it. If it is killed, its
    workers end with it, and the next `fork` starts it again.

    Parameters
    ----------
    python, directory, environ
        See `start`.
    process
        The process.
    """

    def __init__(self, python: str, directory: Path, environ: Mapping[str, str], process: WarmProcess) -> None:
        self._python = python
        self._directory = directory
        self._environ = environ
        self._process = process
        self._closed = False
        self._restarting = asyncio.Lock()

    @classmethod
    async def start(cls, python: str, directory: Path, *, environ: Mapping[str, str] | None = None) -> WarmParent:
        """Start the process and wait until it has imported everything.

        Parameters
        ----------
        python
            The interpreter: one that has torch, the toolkit and this package.
        directory
            Where its socket goes; made with mode 0700. Where the path is too long for a socket, a directory
            under the system's temporary one is used.
        environ
            Added to the process's environment, which is otherwise clean.

        Raises
        ------
        ParentFailed
            If it cannot be started, or cannot import what it needs.
        """
        environ = dict(environ or {})
        return cls(python, directory, environ, await WarmProcess.launch(python, directory, environ))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def address(self) -> Path:
        """The process's socket, for a `ParentClient` in another process. It changes when the process is restarted."""
        return self._process.address

    @property
    def alive(self) -> bool:
        """Whether the process is there. If not, `fork` starts it again, unless it has been closed."""
        return self._process.alive

    async def fork(self, assignment: Assignment) -> Forked:
        """Fork a worker.

        Parameters
        ----------
        assignment
            What it is to serve.

        Returns
        -------
        Forked
            It has not loaded the model yet.

        Raises
        ------
        ParentFailed
            If the process has been closed, or cannot be started again.
        """
        async with self._restarting:
            if not self._process.alive and not self._closed:
                await self._process.close()
                self._process = await WarmProcess.launch(self._python, self._directory, self._environ)
        return await self._process.fork(assignment)

    async def close(self) -> None:
        """End the process, and all workers with it."""
        self._closed = True
        async with self._restarting:
            await self._process.close()
