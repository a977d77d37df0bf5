"""The workers of one model: who gets the next request, and what happens when one of them does not answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .connection import Worker, describe_exit
from .messages import Answer, Assignment, ModelLoadFailed, Request
from .parent import WarmParent
from .settings import Settings, unknown_variables

_KILLED = {-9, 137}  # by the kernel, for want of memory: TorchServe looks for 137
_LONGEST_PAUSE = 30.0  # seconds between attempts to replace a worker
_NOTHING: Mapping[str, str] = MappingProxyType({})


class _Job(NamedTuple):
    request: Request
    answer: asyncio.Future[Answer]
    again: bool = False  # a worker died before it had read it


class WorkerPool:
    """Serves one model directory with a number of workers, as TorchServe does in the container.

    First come, first served; one request at a time per worker. A caller that goes away cancels nothing. A worker
    that dies, or takes too long, is replaced.

    Parameters
    ----------
    model_dir
        The extracted model directory. Not written to.
    parent
        Forks the workers.
    log
        Gets every line that the handlers print, without its line feed.
    workers
        How many.
    environ
        The container's environment: ``SAGEMAKER_PROGRAM`` and the like, and the user's own variables.
    allow_pickle
        Whether the default ``input_fn`` may unpickle objects in ``application/x-npy`` bodies, as the container's
        does.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        parent: WarmParent,
        log: Callable[[str], None],
        workers: int = 1,
        environ: Mapping[str, str] = _NOTHING,
        allow_pickle: bool = False,
    ) -> None:
        self._model_dir = model_dir
        self._parent = parent
        self._log = log
        self._size = workers
        self._environ = dict(environ)
        self._allow_pickle = allow_pickle
        self._settings = Settings(workers)
        self._waiting: deque[_Job] = deque()
        self._idle: deque[Worker] = deque()
        self._busy: dict[Worker, tuple[_Job, asyncio.TimerHandle]] = {}
        self._replacing: set[asyncio.Task[None]] = set()
        self._hopeful = 0  # workers that are being replaced, whose replacement has not failed yet
        self._reason = "The model is not loaded."
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closing = False

    async def start(self) -> None:
        """Load the model in all workers.

        Raises
        ------
        ModelLoadFailed
            If one of them cannot. What it printed, and the traceback, are in the log by then.
        ParentFailed
            If the warm process has ended.
        """
        try:
            self._settings = Settings.from_environ(self._environ)
        except ValueError as error:
            self._log(str(error))
            raise ModelLoadFailed(str(error)) from error
        for name in unknown_variables(self._environ):
            self._log(f"Nothing in the container reads the environment variable {name}: is it misspelt?")
        tasks = [asyncio.ensure_future(self._open()) for _ in range(self._size)]
        try:
            workers = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Worker):
                    await outcome.close()
            raise
        for worker in workers:
            self._enlist(worker)

    @property
    def healthy(self) -> bool:
        """Whether there is a worker, or a first attempt to replace one is under way."""
        return bool(self._idle or self._busy or self._hopeful)

    def invoke(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """Answer a request to ``/invocations``. It is in the queue when this returns; ``await`` waits for the answer.

        Returns
        -------
        Answer
            The container's: what the model does or fails to do never raises here.
        """
        return _outcome(self._submit(request))

    def _submit(self, request: Request) -> Answer | asyncio.Future[Answer]:
        if len(request.body) > self._settings.max_request:
            return Answer.empty(413)
        if self._closing or not self.healthy:
            return self._no_worker()
        job = _Job(request, asyncio.get_running_loop().create_future())
        if self._idle:
            self._assign(self._idle.popleft(), job)
        elif len(self._waiting) < self._settings.waiting_requests:
            self._waiting.append(job)
        else:
            return _unavailable(f"The model has no worker to spare, and {len(self._waiting)} requests wait already.")
        return job.answer

    async def close(self, *, drain: float = 30.0) -> None:
        """End all workers.

        Parameters
        ----------
        drain
            Seconds that requests in flight, those that wait included, have to be answered. New ones are refused.
        """
        self._closing = True
        self._reason = "The server is shutting down."
        if drain > 0 and self.healthy:
            try:
                await asyncio.wait_for(self._quiet.wait(), drain)
            except (TimeoutError, asyncio.TimeoutError):
                self._log(f"Requests were still in flight after {drain:g} s.")
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        self._refuse_waiting()
        busy = {worker: self._busy.pop(worker) for worker in list(self._busy)}
        for worker in (*self._idle, *busy):
            worker.ignore()
        await asyncio.gather(*(worker.close() for worker in (*self._idle, *busy)))
        self._idle.clear()
        for job, timer in busy.values():
            timer.cancel()
            _give(job, _died(500))

    async def _open(self) -> Worker:
        return await Worker.open(
            self._parent,
            Assignment(
                model_dir=str(self._model_dir.absolute()),
                environ=self._environ,
                allow_pickle=self._allow_pickle,
                max_response=self._settings.max_response,
            ),
            self._log,
        )

    def _enlist(self, worker: Worker) -> None:
        worker.on_answer = lambda answer: self._answered(worker, answer)
        worker.on_lost = lambda unread: self._lost(worker, unread=unread)
        self._next(worker)
        if worker.lost:  # before anybody listened
            self._lost(worker, unread=True)

    def _assign(self, worker: Worker, job: _Job) -> None:
        self._quiet.clear()
        seconds = self._settings.response_timeout
        timer = asyncio.get_running_loop().call_later(seconds, self._late, worker)
        self._busy[worker] = (job, timer)
        worker.ask(job.request)

    def _answered(self, worker: Worker, answer: Answer) -> None:
        job, timer = self._busy.pop(worker)
        timer.cancel()
        self._next(worker)
        _give(job, answer)

    def _next(self, worker: Worker) -> None:
        if self._waiting:
            self._assign(worker, self._waiting.popleft())
            return
        self._idle.append(worker)
        if not self._busy and not self._hopeful:
            self._quiet.set()

    def _late(self, worker: Worker) -> None:
        seconds = self._settings.response_timeout
        self._lost(worker, f"Backend worker did not respond in given time ({seconds:g} s).")

    def _lost(self, worker: Worker, why: str = "", *, unread: bool = False) -> None:
        """Replace a worker that has gone, or that has to go because it took too long."""
        worker.ignore()
        job = None
        if worker in self._busy:
            job, timer = self._busy.pop(worker)
            timer.cancel()
            if unread and not job.again:
                self._ask_another(job._replace(again=True))
                job = None
        else:
            self._idle.remove(worker)
        self._hopeful += 1
        self._quiet.clear()
        task = asyncio.ensure_future(self._replace(worker, job, why))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    def _ask_another(self, job: _Job) -> None:
        if self._idle:
            self._assign(self._idle.popleft(), job)
        else:
            self._waiting.appendleft(job)

    async def _replace(self, worker: Worker, job: _Job | None, why: str) -> None:
        hopeful = True
        try:
            status = await worker.close()
            self._log(why or f"Worker died ({describe_exit(status)}).")
            if job is not None:
                _give(job, _died(507 if status in _KILLED and not why else 500))
            pause = 1.0
            while True:
                try:
                    replacement = await self._open()
                except (ModelLoadFailed, OSError) as error:
                    self._reason = f"The worker could not be started again: {error}"
                    self._log(self._reason)
                else:
                    break
                if hopeful:
                    hopeful = False
                    self._hopeful -= 1
                if not self.healthy:
                    self._refuse_waiting()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            if hopeful:
                self._hopeful -= 1
            if job is not None:
                _give(job, _died(500))
        self._enlist(replacement)

    def _refuse_waiting(self) -> None:
        while self._waiting:
            _give(self._waiting.popleft(), self._no_worker())
        self._quiet.set()

    def _no_worker(self) -> Answer:
        return _unavailable(self._reason)


async def _outcome(submitted: Answer | asyncio.Future[Answer]) -> Answer:
    return submitted if isinstance(submitted, Answer) else await asyncio.shield(submitted)


def _give(job: _Job, answer: Answer) -> None:
    if not job.answer.done():
        job.answer.set_result(answer)


def _died(status: int) -> Answer:
    return Answer.error(status, "InternalServerException", "Worker died.")


def _unavailable(reason: str) -> Answer:
    return Answer.error(503, "ServiceUnavailableException", reason)
