"""The workers of one model: who gets the next request, and what happens when one of them does not answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .connection import Worker, describe_exit
from .messages import Answer, Assignment, ModelLoadFailed, Request
from .parent import WarmParent
from .settings import Settings, unknown_variables
from .stream import Stream

_KILLED = {-9, 137}  # by the kernel, for want of memory: TorchServe looks for 137
_SHORT = 1 << 16  # bytes of a body that is sent ahead
_LONGEST_PAUSE = 30.0  # seconds between attempts to replace a worker
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(eq=False)
class _Job:
    request: Request
    stream: bool
    answer: asyncio.Future[Answer | Stream]
    again: bool = False  # a worker died before it had read it
    pieces: Stream | None = None

    def give(self, answer: Answer | Stream) -> None:
        """Answer, if anybody still waits and nothing was answered."""
        if not self.answer.done():
            self.answer.set_result(answer)
        elif isinstance(answer, Stream):
            answer.abandon()

    def give_up(self, answer: Answer) -> None:
        """Answer so, unless something was answered, which ends here."""
        if self.pieces is None:
            self.give(answer)
        else:
            self.pieces.end("The worker died.")


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

    Attributes
    ----------
    idle_losses
        Workers that were lost one after the other without having been asked anything. Each is replaced later than the
        one before.
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
        self._ahead: dict[Worker, _Job] = {}  # lie before a worker that has not finished the one before
        self._replacing: set[asyncio.Task[None]] = set()
        self.idle_losses = 0
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
        return _in_one_piece(self.submit(request))

    def stream(self, request: Request) -> Coroutine[Any, Any, Answer | Stream]:
        """Answer a streaming invocation. It is in the queue when this returns.

        Returns
        -------
        Answer | Stream
            A stream if the handlers returned an iterator, else the answer in one piece, as `invoke` returns it.
            The response time-out holds for each piece.
        """
        return _outcome(self.submit(request, stream=True))

    def submit(self, request: Request, *, stream: bool = False) -> Answer | asyncio.Future[Answer | Stream]:
        """Answer a request at once if it is refused, else later. Cancelling the future cancels nothing else."""
        if len(request.body) > self._settings.max_request:
            return Answer.empty(413)
        if self._closing or not self.healthy:
            return self._no_worker()
        job = _Job(request, stream, asyncio.get_running_loop().create_future())
        if self._idle:
            self._assign(self._idle.popleft(), job)
        elif (waiting := len(self._waiting) + len(self._ahead)) < self._settings.waiting_requests:
            self._waiting.append(job)
            self._look_ahead()
        else:
            return _unavailable(f"The model has no worker to spare, and {waiting} requests wait already.")
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
        for worker in list(self._ahead):
            self._take_back(worker)
        self._refuse_waiting()
        busy = {worker: self._busy.pop(worker) for worker in list(self._busy)}
        for worker in (*self._idle, *busy):
            worker.ignore()
        await asyncio.gather(*(worker.close() for worker in (*self._idle, *busy)))
        self._idle.clear()
        for job, timer in busy.values():
            timer.cancel()
            job.give_up(_died(500))

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
        worker.on_piece = lambda head, body: self._received(worker, head, body)
        worker.on_lost = lambda unread: self._lost(worker, unread=unread)
        self._next(worker)
        if worker.lost:  # before anybody listened
            self._lost(worker, unread=True)

    def _assign(self, worker: Worker, job: _Job) -> None:
        self._quiet.clear()
        self._busy[worker] = (job, self._timer(worker))
        worker.ask(job.request, stream=job.stream)

    def _timer(self, worker: Worker) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._settings.response_timeout, self._late, worker)

    def _answered(self, worker: Worker, answer: Answer) -> None:
        self.idle_losses = 0
        job, timer = self._busy.pop(worker)
        timer.cancel()
        ahead = self._ahead.pop(worker, None)
        if ahead is None:
            self._next(worker)
        else:
            self._busy[worker] = (ahead, self._timer(worker))
        self._look_ahead()
        job.give(answer)

    def _look_ahead(self) -> None:
        """Lay the next request before the only worker, so that it need not wait for it after its answer.

        Where there are several, whichever is free first gets it. What the worker is at must have been read: of a
        worker that dies it is known then that it had begun with this one, and not with the next.
        """
        if self._size != 1 or not self._waiting or self._ahead:
            return
        for worker, (current, _timer) in self._busy.items():
            job = self._waiting[0]
            if not current.stream and not job.stream and len(job.request.body) <= _SHORT and worker.has_read():
                self._ahead[worker] = self._waiting.popleft()
                worker.ask(job.request, stream=False)

    def _take_back(self, worker: Worker) -> bool:
        """Let the request that lies before a worker wait again. Return whether there is one."""
        job = self._ahead.pop(worker, None)
        if job is not None:
            self._waiting.appendleft(job)
        return job is not None

    def _received(self, worker: Worker, head: dict[str, Any], piece: bytes) -> None:
        """Pass on a piece of an answer."""
        job, timer = self._busy[worker]
        timer.cancel()
        if job.pieces is None:
            headers = tuple((name, value) for name, value in head["headers"])
            job.pieces = Stream(head["status"], head["reason"], headers, lambda holding: self._hold(worker, holding))
            job.give(job.pieces)
        if head["more"]:
            self._busy[worker] = (job, self._timer(worker))
            job.pieces.put(piece)
        else:
            del self._busy[worker]
            self.idle_losses = 0
            job.pieces.end(head.get("broken"))
            worker.hold(False)
            self._next(worker)

    def _hold(self, worker: Worker, holding: bool) -> None:
        """Have a worker wait for a slow client, or go on. The time-out begins anew: it is now the client's."""
        if worker in self._busy:
            job, timer = self._busy[worker]
            timer.cancel()
            self._busy[worker] = (job, self._timer(worker))
            worker.hold(holding)

    def _next(self, worker: Worker) -> None:
        if self._waiting:
            self._assign(worker, self._waiting.popleft())
            return
        self._idle.append(worker)
        if not self._busy and not self._hopeful:
            self._quiet.set()

    def _late(self, worker: Worker) -> None:
        seconds = self._settings.response_timeout
        pieces = self._busy[worker][0].pieces
        if pieces is not None and pieces.holding:
            self._log(f"A client took nothing of its stream for {seconds:g} s.")
            pieces.abandon()
            pieces.end("The client took too long.")
            return
        self._lost(worker, f"Backend worker did not respond in given time ({seconds:g} s).")

    def _lost(self, worker: Worker, why: str = "", *, unread: bool = False) -> None:
        """Replace a worker that has gone, or that has to go because it took too long."""
        worker.ignore()
        job = None
        had_begun = self._take_back(worker)
        if worker in self._busy:
            job, timer = self._busy.pop(worker)
            timer.cancel()
            if unread and not had_begun and not job.again and job.pieces is None:
                job.again = True
                self._ask_another(job)
                job = None
        else:
            self._idle.remove(worker)
            self.idle_losses += 1
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
                job.give_up(_died(507 if status in _KILLED and not why else 500))
            elif self.idle_losses > 1:
                await asyncio.sleep(min(2.0 ** (self.idle_losses - 2), _LONGEST_PAUSE))
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
                job.give_up(_died(500))
        self._enlist(replacement)

    def _refuse_waiting(self) -> None:
        while self._waiting:
            self._waiting.popleft().give(self._no_worker())
        self._quiet.set()

    def _no_worker(self) -> Answer:
        return _unavailable(self._reason)


async def _outcome(submitted: Answer | asyncio.Future[Answer | Stream]) -> Answer | Stream:
    return submitted if isinstance(submitted, Answer) else await submitted


async def _in_one_piece(submitted: Answer | asyncio.Future[Answer | Stream]) -> Answer:
    answer = await _outcome(submitted)
    assert isinstance(answer, Answer)  # noqa: S101 - workers answer in pieces only if asked to
    return answer


def _died(status: int) -> Answer:
    return Answer.error(status, "InternalServerException", "Worker died.")


def _unavailable(reason: str) -> Answer:
    return Answer.error(503, "ServiceUnavailableException", reason)
