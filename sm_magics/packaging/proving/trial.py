"""A worker for a package: loaded, asked, asked again, and measured. What goes wrong there is the package's doing."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from socket import socket

from sm_magics.serving.client import ParentClient, ask
from sm_magics.serving.messages import Answer, Assignment, ModelLoadFailed, Request
from sm_magics.serving.parent import ParentFailed

ANSWER_SECONDS = 60.0
"""How long SageMaker's real-time endpoints wait for an answer (InvokeEndpoint in the SageMaker API reference)."""

_ENOUGH_CALLS, _ENOUGH_SECONDS = 5, 0.3  # for the middle of several answers


class Broken(Exception):  # noqa: N818 - what happened
    """The package failed.

    Parameters
    ----------
    step
        ``load`` or ``call``.
    text
        A traceback, or a sentence.
    fix
        What to do about it, where no traceback says more.
    """

    def __init__(self, step: str, text: str, *, fix: str = "") -> None:
        super().__init__(text)
        self.step = step
        self.text = text
        self.fix = fix


def load(client: ParentClient, assignment: Assignment, log: Path) -> socket:
    """Return the connection of a worker that has loaded the model.

    Raises
    ------
    Broken
        If it could not.
    ParentFailed
        If the process that forks has ended.
    """
    with log.open("ab") as file:
        try:
            return client.fork(assignment, log=file.fileno())
        except ModelLoadFailed as error:
            raise Broken("load", error.traceback) from error
        except ConnectionError as error:  # before the worker's end was told
            raise ParentFailed(str(error)) from error


def call(client: ParentClient, worker: socket, request: Request) -> Answer:
    """Return a worker's answer.

    Raises
    ------
    Broken
        If it gives none.
    ParentFailed
        If the process that forked it has ended.
    """
    worker.settimeout(ANSWER_SECONDS)
    try:
        return ask(worker, request)
    except TimeoutError as error:
        said = f"No answer within {ANSWER_SECONDS:g} s, which is as long as a real-time endpoint waits."
        raise Broken("call", said, fix="Use asynchronous inference or batch transform, or a faster model.") from error
    except ConnectionError as error:
        try:
            how = client.ended(client.pid)
        except OSError as lost:
            raise ParentFailed(str(lost)) from error
        said = f"The worker died while it answered ({how})."
        raise Broken("call", said, fix="What it printed before is in the report's .log.") from error


def usual_seconds(client: ParentClient, worker: socket, request: Request, first: float) -> float:
    """Return the middle of the times that a few further answers take, or `first` where that one took long."""
    times: list[float] = []
    while len(times) < _ENOUGH_CALLS and first + sum(times) < _ENOUGH_SECONDS:
        started = time.perf_counter()
        call(client, worker, request)
        times.append(time.perf_counter() - started)
    return statistics.median(times or [first])
