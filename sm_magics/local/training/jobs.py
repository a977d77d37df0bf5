"""The life of a training job: InProgress, then Completed, Failed or Stopped, with its stages on the way."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sm_magics.local.account import Account
from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.cloudwatch.metrics import Metric, Metrics
from sm_magics.local.hosting.interpreters import Interpreters
from sm_magics.local.protocol.errors import Kind
from sm_magics.local.protocol.wire import IS_WAITER, MAY_HOLD
from sm_magics.local.resources import Resource, Resources
from sm_magics.local.s3.objects import Objects

from .failure import LONGEST, JobFailed
from .layout import HOST, Layout
from .refusals import name_taken, no_such_job, not_running, still_running
from .run import TrainingRun, longest_run

#: Of the logs; the algorithm's metrics have it as their namespace.
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
#: Seconds between SIGTERM and SIGKILL (StopTrainingJob, AWS API reference); ``SM_MAGICS_STOP_GRACE`` overrides.
STOP_GRACE = 120.0
#: Seconds that DescribeTrainingJob waits for the end of a job when one of botocore's waiters asks, which would look
#: again after two minutes only. Less than clients wait for an answer.
_HOLD = 40.0
#: Seconds until the end of a job that could not be recorded is recorded again.
_RETRY = 1.0
#: What AWS says of each stage (SecondaryStatusTransition, AWS API reference, and what SDK 2 was seen to print).
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
#: Seconds that a job's credentials last beyond its longest run: for what goes before and comes after.
_AFTERWARDS = 3600.0
_INTERRUPTED = "InternalServerError: SageMaker on this machine ended while the training job was running."

_logger = logging.getLogger(__name__)


@dataclass
class _Life:
    """What runs of one job. `ended` is set when it has ended."""

    run: TrainingRun
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class TrainingJobs:
    """All training jobs.

    Parameters
    ----------
    directory
        Where jobs have their folders while they run. What is there from an earlier service is removed.
    metrics
        Gets each metric that a job prints.
    credentials
        Returns the variables with which AWS's clients use this service as a role, for so many seconds.
    grace
        Seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        resources: Resources,
        objects: Objects,
        interpreters: Interpreters,
        logs: Logs,
        directory: Path,
        *,
        account: Account,
        metrics: Metrics,
        credentials: Callable[[str, float], Mapping[str, str]],
        grace: float = STOP_GRACE,
    ) -> None:
        self._resources = resources
        self._objects = objects
        self._interpreters = interpreters
        self._logs = logs
        self._account = account
        self._directory = directory
        self._metrics = metrics
        self._credentials = credentials
        self._grace = grace
        directory.mkdir(mode=0o700, exist_ok=True)
        self._lives: dict[str, _Life] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # What clients ask for

    def create(self, request: Mapping[str, Any], *, tags: Iterable[Mapping[str, str]]) -> str:
        """Begin a job; return its ARN.

        Raises
        ------
        ApiError
            ``ResourceInUse`` if the name is taken.
        """
        name = request["TrainingJobName"]
        arn = self._resources.arn(Kind.TRAINING_JOB, name)
        if self._resources.find(Kind.TRAINING_JOB, name):
            raise name_taken(arn)
        document: dict[str, Any] = {
            "request": request,
            "stages": [],
            "reason": None,
            "metrics": [],
            "started": None,
            "ended": None,
        }
        self._resources.add(Kind.TRAINING_JOB, name, _advanced(document, "Starting"), tags=tags, status=IN_PROGRESS)
        log = self._logs.writer(LOG_GROUP, f"{name}/{HOST}-{int(time.time())}")
        run = TrainingRun(
            request,
            Layout(self._directory / secrets.token_hex(4)),
            self._objects,
            arn=arn,
            region=self._account.region,
            python=self._interpreters.default,
            credentials=self._credentials(request["RoleArn"], longest_run(request) + _AFTERWARDS),
            log=log,
            publish=partial(self._publish, name),
            grace=self._grace,
        )
        life = self._lives[name] = _Life(run)
        task = asyncio.create_task(self._live(name, life))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return arn

    def get(self, name: str) -> Resource:
        """Return a job.

        Raises
        ------
        ApiError
            If there is no such job.
        """
        found = self._resources.find(Kind.TRAINING_JOB, name)
        if found is None:
            raise no_such_job()
        return found

    async def described(self, name: str) -> Resource:
        """Return a job; if one of botocore's waiters asks, wait a little for the job to end."""
        row = self.get(name)
        life = self._lives.get(row.name)
        if life and IS_WAITER.get() and MAY_HOLD.get():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(life.ended.wait(), _HOLD)
            row = self.get(name)
        return row

    def stop(self, name: str) -> None:
        """Begin to stop a job.

        Raises
        ------
        ApiError
            If there is no such job, or it has ended.
        """
        row = self.get(name)
        if row.status == STOPPING:
            return
        if row.status != IN_PROGRESS:
            raise not_running(row.status)
        self._change(row.name, STOPPING, stage="Stopping")
        self._lives[row.name].run.stopping.event.set()

    def delete(self, name: str) -> None:
        """Remove a job that has ended.

        Raises
        ------
        ApiError
            If there is no such job, or it has not.
        """
        row = self.get(name)
        if row.status in {IN_PROGRESS, STOPPING}:
            raise still_running(row.status)
        self._resources.remove(Kind.TRAINING_JOB, row.name)

    def are_idle(self) -> bool:
        """Return whether none runs."""
        return not self._tasks

    # When the service starts and ends

    def restore(self) -> None:
        """Take up what an earlier service left: what was running has failed, its processes have ended with it."""
        for row in self._resources.all(Kind.TRAINING_JOB):
            if row.status in {IN_PROGRESS, STOPPING}:
                self._change(row.name, FAILED, stage="Failed", reason=_INTERRUPTED, ended=time.time())
        for left in self._directory.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    async def close(self) -> None:
        """End all jobs at once: they have failed."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _publish(self, job: str, name: str, value: float, when: float) -> None:
        self._metrics.add(Metric.of(LOG_GROUP, name, {"TrainingJobName": job}), value, at=when)

    # The stages

    async def _live(self, name: str, life: _Life) -> None:
        outcome: dict[str, Any] = {"status": FAILED, "reason": _INTERRUPTED}
        try:
            outcome = await self._through_stages(name, life.run)
        except JobFailed as error:
            outcome["reason"] = str(error)
        except Exception as error:
            _logger.exception("What became of training job %s was not foreseen", name)
            outcome["reason"] = f"InternalServerError: {type(error).__name__}: {error}"
        finally:
            self._logs.flush()
            # Not after its folders are gone: when the service ends, there is no time.
            closing = asyncio.ensure_future(life.run.close())
            await self._finish(name, outcome)
            life.ended.set()
            # From here on another job may have the name.
            del self._lives[name]
            await asyncio.wait({closing})

    async def _through_stages(self, name: str, run: TrainingRun) -> dict[str, Any]:
        self._change(name, None, stage="Downloading", started=time.time())
        await run.download()
        failure: JobFailed | None = None
        if not run.stopping.is_set():
            self._change(name, None, stage="Training")
            try:
                await run.train()
            except JobFailed as error:
                failure = error
            self._change(name, None, metrics=run.final_metrics)
        if run.stopping.overran:
            self._change(name, STOPPING, stage="Stopping")
        self._change(name, None, stage="Uploading")
        # Of a job that failed too: AWS keeps what is in the model's folder.
        try:
            await run.upload()
        except JobFailed as error:
            failure = failure or error
        if failure:
            raise failure
        if run.stopping.is_set():
            return {"status": STOPPED, "stage": "MaxRuntimeExceeded" if run.stopping.overran else "Stopped"}
        return {"status": COMPLETED}

    async def _finish(self, name: str, outcome: Mapping[str, Any]) -> None:
        status, reason = outcome["status"], outcome.get("reason")
        stage = outcome.get("stage", status)
        changes = {"stage": stage, "reason": reason[:LONGEST] if reason else None, "ended": time.time()}
        while not self._recorded(name, status, changes):  # noqa: ASYNC110 - no event says that the disk has room
            await asyncio.sleep(_RETRY)

    def _recorded(self, name: str, status: str, changes: Mapping[str, Any]) -> bool:
        try:
            self._change(name, status, **changes)
        except sqlite3.Error:
            _logger.exception("That training job %s is %s cannot be recorded yet", name, status)
            return False
        return True

    def _change(self, name: str, status: str | None, *, stage: str = "", **changes: Any) -> None:
        row = self._resources.get(Kind.TRAINING_JOB, name)
        document = {**row.document, **changes}
        if stage:
            document = _advanced(document, stage)
        self._resources.change(Kind.TRAINING_JOB, name, status=status or row.status, document=document)


def _advanced(document: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Return a job's document with one more stage."""
    now = time.time()
    stages = [dict(earlier) for earlier in document["stages"]]
    if stages:
        stages[-1].setdefault("EndTime", now)
    stages.append({"Status": stage, "StartTime": now, "StatusMessage": _MESSAGES[stage]})
    if stage in {"Completed", "Failed", "Stopped", "MaxRuntimeExceeded"}:
        stages[-1]["EndTime"] = now
    return {**document, "stages": stages}
