"""The instances of one production variant: started, asked, changed in number, put to sleep and woken.

Each instance is a set of workers on this machine. A fleet that nobody asks for anything for a while stops its workers;
the next request starts them again, and waits for them. A serverless variant does so soon, and turns requests away that
are more than its concurrency.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from sm_magics.local.protocol.errors import throttled
from sm_magics.serving.messages import Answer, Request
from sm_magics.serving.pool import WorkerPool
from sm_magics.serving.stream import Stream

#: Seconds without a healthy worker after which an endpoint is given up. Attempts to replace workers have had time to
#: come 1, 2, 4, 8, 16 and 30 seconds apart.
PATIENCE = 60.0
#: Workers that may die one after the other without having been asked anything. They were replaced 0, 1, 2, 4 and 8
#: seconds later.
MOST_LOSSES = 6
#: Seconds that requests in flight have when their instance is taken away: as many as a streamed answer may take.
DRAIN = 480.0

Reply: TypeAlias = "Answer | Stream"


class VersionFailedError(Exception):
    """What was to serve cannot. The message is the endpoint's ``FailureReason``."""


@dataclass(eq=False)
class _Instance:
    pool: WorkerPool
    outstanding: int = 0


class Fleet:
    """The instances of a variant.

    Parameters
    ----------
    size
        How many instances.
    open_instance
        Starts the workers of the instance of that number, from zero; raises `VersionFailedError`.
    log
        Gets a line about what happens to all of them.
    concurrency
        Requests processed at a time before more are turned away; None for no limit.
    idle_after
        Seconds without a request after which the workers stop.
    spread
        Whether requests go to an instance at random, rather than to the one with the fewest to answer.
    on_failed
        Called with the reason when it cannot serve any more.
    """

    def __init__(
        self,
        size: int,
        open_instance: Callable[[int], Awaitable[WorkerPool]],
        *,
        log: Callable[[str], None],
        concurrency: int | None,
        idle_after: float,
        spread: bool,
        on_failed: Callable[[str], None],
    ) -> None:
        self._size = size
        self._open_instance = open_instance
        self._log = log
        self.concurrency = concurrency
        self.idle_after = idle_after
        self._spread = spread
        self._on_failed = on_failed
        self._instances: list[_Instance] = []
        self._waking: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._outstanding = 0
        self._at_the_door = 0  # of those, requests that wait for the workers to wake
        self._let_in = asyncio.Event()
        self._scaling = False
        self._used = asyncio.get_running_loop().time()
        self._sick_since: float | None = None
        self._closed = False
        #: Seconds that waking took the last time.
        self.set_up = 0.0

    @property
    def asleep(self) -> bool:
        """Whether the workers have to be started for the next request."""
        return not self._instances

    @property
    def at_rest(self) -> bool:
        """Whether no worker runs, or is about to."""
        return not (self._instances or self._waking or self._background)

    async def start(self) -> None:
        """Start all instances.

        Raises
        ------
        VersionFailedError
            If one of them cannot be started.
        """
        self._instances = await self._open(range(self._size))
        self._used = asyncio.get_running_loop().time()

    def ask(self, request: Request, *, stream: bool = False) -> asyncio.Future[Reply]:
        """Return an instance's answer. The request has its place when this returns: `close` waits for it.

        Raises
        ------
        ApiError
            ``ThrottlingException`` if there are too many already.
        VersionFailedError
            From the future, if the workers slept and cannot be started again.
        """
        if self.concurrency is not None and self._outstanding >= self.concurrency:
            self._log(f"A request was turned away: {self._outstanding} are being processed, as MaxConcurrency allows.")
            raise throttled()
        self._outstanding += 1
        self._used = asyncio.get_running_loop().time()
        if self._instances:
            return self._submit(request, stream=stream)
        self._at_the_door += 1
        return asyncio.ensure_future(self._answer_later(self._wake(), request, stream=stream))

    async def scale(self, size: int) -> None:
        """Change the number of instances. Those that go answer what they were asked.

        Raises
        ------
        VersionFailedError
            If a new one cannot be started; then nothing has changed.
        """
        self._scaling = True
        try:
            if self._waking:
                await asyncio.shield(self._waking)
            if self._instances and size > self._size:
                self._instances += await self._open(range(self._size, size))
            gone, self._instances = self._instances[size:], self._instances[:size]
            self._size = size
            for instance in gone:
                self._later(instance.pool.close(drain=DRAIN))
        finally:
            self._scaling = False

    def look(self, now: float) -> None:
        """Stop the workers if nobody has needed them for long, give up if they keep dying. To be called often."""
        if not self._instances or self._scaling or self._closed:
            return
        if any(instance.pool.healthy for instance in self._instances):
            self._sick_since = None
        elif self._sick_since is None:
            self._sick_since = now
        elif now - self._sick_since >= PATIENCE:
            self._give_up(f"The workers kept dying, and none could be started again for {PATIENCE:g} s.")
            return
        if max(instance.pool.idle_losses for instance in self._instances) >= MOST_LOSSES:
            self._give_up(f"The workers kept dying: {MOST_LOSSES} in a row, without having been asked anything.")
            return
        if not self._outstanding and now - self._used >= self.idle_after:
            self._log(
                f"No request came for {self.idle_after:g} s: the workers stop. The next request starts them again."
            )
            for instance in self._instances:
                self._later(instance.pool.close(drain=DRAIN))
            self._instances = []

    async def close(self, *, drain: float) -> None:
        """End the workers, having let them answer what they were asked, for `drain` seconds at most."""
        self._closed = True
        while self._at_the_door:
            self._let_in.clear()
            try:
                await asyncio.wait_for(self._let_in.wait(), drain)
            except (TimeoutError, asyncio.TimeoutError):
                break
        if self._waking:
            self._waking.cancel()
            await asyncio.wait({self._waking})
        instances, self._instances = self._instances, []
        await asyncio.gather(*(instance.pool.close(drain=drain) for instance in instances))
        if self._background:
            await asyncio.wait(self._background, timeout=drain)

    def _give_up(self, why: str) -> None:
        self._log(why)
        self._sick_since = None
        self._on_failed("The workers of the primary container kept dying. See the endpoint's log for the reason.")

    def _submit(self, request: Request, *, stream: bool) -> asyncio.Future[Reply]:
        able = [one for one in self._instances if one.pool.healthy] or self._instances
        instance = random.choice(able) if self._spread else min(able, key=lambda one: one.outstanding)  # noqa: S311
        instance.outstanding += 1
        asked = instance.pool.submit(request, stream=stream)
        if isinstance(asked, Answer):  # it was refused
            refusal, asked = asked, asyncio.get_running_loop().create_future()
            asked.set_result(refusal)
        asked.add_done_callback(partial(self._answered, instance))
        return asked

    def _answered(self, instance: _Instance, _asked: asyncio.Future[Reply]) -> None:
        instance.outstanding -= 1
        self._outstanding -= 1
        self._used = asyncio.get_running_loop().time()

    async def _answer_later(self, waking: asyncio.Task[None], request: Request, *, stream: bool) -> Reply:
        try:
            # One who stops waiting does not stop the start for the others.
            await asyncio.shield(waking)
            asked = self._submit(request, stream=stream)
        except BaseException:
            self._outstanding -= 1
            raise
        finally:
            self._at_the_door -= 1
            if not self._at_the_door:
                self._let_in.set()
        # Whoever stops waiting does not stop the work.
        return await asyncio.shield(asked)

    def _wake(self) -> asyncio.Task[None]:
        if self._waking is None:
            self._waking = asyncio.create_task(self._start_again())
            # Who only wakes does not look at the outcome.
            self._waking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._waking

    async def _start_again(self) -> None:
        began = time.perf_counter()
        try:
            await self.start()
            self.set_up = time.perf_counter() - began
        except VersionFailedError as error:
            self._on_failed(str(error))
            raise
        finally:
            self._waking = None

    async def _open(self, numbers: Iterable[int]) -> list[_Instance]:
        tasks = [asyncio.ensure_future(self._open_instance(number)) for number in numbers]
        try:
            return [_Instance(pool) for pool in await asyncio.gather(*tasks)]
        except BaseException:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(outcome, BaseException):
                    await outcome.close(drain=0)
            raise

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
