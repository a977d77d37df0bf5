"""The life of an endpoint: Creating, then InService or Failed; Updating, with the old version answering; Deleting."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Kind, already_exists, in_progress, invalid
from .interpreters import Interpreters
from .logs import Logs
from .objects import Objects
from .resources import Resource, Resources
from .versions import Version, VersionFailedError
from .wire import MAY_HOLD

CREATING, UPDATING, DELETING = "Creating", "Updating", "Deleting"
IN_SERVICE, FAILED = "InService", "Failed"
_TRANSITIONS = {CREATING, UPDATING, DELETING}
#: How long and how often DescribeEndpoint waits for a transition to end before it answers, so that a client that polls
#: every half minute sees the end at once. Not more often: progress displays poll too.
_HOLD = 5.0
_HOLDS = 2
#: Seconds that requests in flight have when their version is replaced, or deleted, or the service ends.
_DRAIN = 60.0
_LAST_DRAIN = 5.0
#: Seconds until the end of a transition that could not be recorded is recorded again.
_RETRY = 1.0

_logger = logging.getLogger(__name__)


@dataclass
class _Life:
    """What runs of one endpoint.

    Attributes
    ----------
    version
        What answers, or will once it is up; None for an endpoint that failed.
    starting
        Ends when `version` is up again after the service was started again.
    changed
        Set, and replaced, when a transition ends.
    holds
        How many more times DescribeEndpoint waits for that.
    """

    version: Version | None = None
    starting: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    holds: int = _HOLDS


class Endpoints:
    """All endpoints.

    Parameters
    ----------
    directory
        Where versions keep their files. What no endpoint refers to is removed.
    """

    def __init__(
        self, resources: Resources, objects: Objects, interpreters: Interpreters, logs: Logs, directory: Path
    ) -> None:
        self._resources = resources
        self._objects = objects
        self._interpreters = interpreters
        self._logs = logs
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        self._lives: dict[str, _Life] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Those that come up again after a restart do so a few at a time.
        self._again = asyncio.Semaphore(os.cpu_count() or 1)

    # What clients ask for

    def create(self, name: str, snapshot: Mapping[str, Any], *, tags: Iterable[Mapping[str, str]]) -> str:
        """Begin to create an endpoint; return its ARN.

        Raises
        ------
        ApiError
            If there is one of that name.
        """
        if self._resources.find(Kind.ENDPOINT, name):
            raise already_exists(Kind.ENDPOINT, self._resources.arn(Kind.ENDPOINT, name))
        version_id, version = self._new_version(name, snapshot)
        document = _document(snapshot, version_id)
        arn = self._resources.add(Kind.ENDPOINT, name, document, tags=tags, status=CREATING)
        self._lives[name] = _Life(version)
        self._begin(self._create, name, version)
        return arn

    def update(self, name: str, snapshot: Mapping[str, Any]) -> str:
        """Begin to replace an endpoint's version; return its ARN.

        Raises
        ------
        ApiError
            If there is no such endpoint, or it is not in service.
        """
        row = self._settled(name)
        if row.status != IN_SERVICE:
            # Unconfirmed wording.
            raise invalid(f'Cannot update endpoint "{row.arn}" in status {row.status}.')
        version_id, version = self._new_version(row.name, snapshot)
        pending = {"id": version_id, "config": version.config_name, "since": time.time()}
        self._set(row, UPDATING, {**row.document, "pending": pending})
        self._begin(self._update, row.name, version_id, version)
        return row.arn

    def delete(self, name: str) -> None:
        """Begin to delete an endpoint.

        Raises
        ------
        ApiError
            If there is no such endpoint, or it is in transition.
        """
        row = self._settled(name)
        self._set(row, DELETING, row.document)
        self._begin(self._delete, row.name)

    async def describe(self, name: str) -> dict[str, Any]:
        """Return DescribeEndpoint's answer, waiting a little for a transition to end.

        Raises
        ------
        ApiError
            If there is no such endpoint (any more).
        """
        row = self._resources.get(Kind.ENDPOINT, name)
        life = self._lives.get(row.name)
        if life and row.status in _TRANSITIONS and life.holds > 0 and MAY_HOLD.get():
            life.holds -= 1
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(life.changed.wait(), _HOLD)
            row = self._resources.get(Kind.ENDPOINT, name)
        return _description(row)

    async def serving(self, name: str) -> Version | None:
        """Return the version that answers for an endpoint, or None if there is no such endpoint in service.

        Names are told apart by case here, as AWS does.
        """
        row = self._resources.find(Kind.ENDPOINT, name)
        if row is None or row.name != name or row.status not in {IN_SERVICE, UPDATING}:
            return None
        life = self._lives[name]
        if life.starting:
            await asyncio.wait({life.starting})
        return life.version

    def are_idle(self) -> bool:
        """Return whether there is nothing that runs, or is about to."""
        return not self._tasks and all(row.status == FAILED for row in self._resources.all(Kind.ENDPOINT))

    # When the service starts and ends

    def restore(self) -> None:
        """Take up what an earlier service left, however it ended.

        What was in service comes up again, what was being updated too, in its old version; what was being created
        failed; what was being deleted is gone.
        """
        wanted = set()
        for row in self._resources.all(Kind.ENDPOINT):
            if row.status == DELETING:
                self._resources.remove(Kind.ENDPOINT, row.name)
                continue
            self._lives[row.name] = life = _Life()
            if row.status == CREATING:
                self._set(row, FAILED, {**row.document, "reason": _INTERRUPTED.format("created")})
            elif row.status in {IN_SERVICE, UPDATING}:
                if row.status == UPDATING:
                    reason = _INTERRUPTED.format("updated") + " It is in its former version again."
                    self._set(row, IN_SERVICE, {**row.document, "pending": None, "reason": reason})
                wanted.add(row.document["version"])
                life.version = self._version(row.name, row.document["version"], row.document["snapshot"])
                life.starting = self._begin(self._start_again, row.name, life.version)
        for left in self._directory.iterdir():
            if left.name not in wanted:
                shutil.rmtree(left, ignore_errors=True)

    async def close(self) -> None:
        """End all workers, having let them answer what they were asked."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        versions = [life.version for life in self._lives.values() if life.version]
        await asyncio.gather(*(version.close(drain=_LAST_DRAIN) for version in versions), return_exceptions=True)

    # Transitions

    async def _create(self, name: str, version: Version) -> None:
        try:
            await _bring_up(version)
        except VersionFailedError as error:
            await self._fail(name, version, str(error))
        else:
            await self._settle(name, IN_SERVICE)

    async def _start_again(self, name: str, version: Version) -> None:
        try:
            async with self._again:
                await _bring_up(version, unpacked=True)
        except VersionFailedError as error:
            if self._resources.get(Kind.ENDPOINT, name).status == IN_SERVICE:
                await self._fail(name, version, str(error))
            else:
                # It is being updated: that decides what becomes of the endpoint.
                self._lives[name].version = None
                await _discard(version, drain=0)

    async def _fail(self, name: str, version: Version, reason: str) -> None:
        self._logs.flush()
        self._lives[name].version = None
        await self._settle(name, FAILED, reason=reason)
        await _discard(version, drain=0)

    async def _update(self, name: str, version_id: str, version: Version) -> None:
        life = self._lives[name]
        try:
            await _bring_up(version)
        except VersionFailedError as error:
            self._logs.flush()
            await self._settle(name, IN_SERVICE if life.version else FAILED, reason=str(error))
            await _discard(version, drain=0)
            return
        old, life.version = life.version, version
        starting, life.starting = life.starting, None
        await self._settle(name, IN_SERVICE, **_document(version.snapshot, version_id))
        await _cancelled(starting)
        if old:
            await _discard(old, drain=_DRAIN)

    async def _delete(self, name: str) -> None:
        life = self._lives[name]
        version, life.version = life.version, None
        await _cancelled(life.starting)
        if version:
            await _discard(version, drain=_DRAIN)
        self._resources.remove(Kind.ENDPOINT, name)
        self._lives.pop(name).changed.set()

    # Records

    def _settled(self, name: str) -> Resource:
        row = self._resources.get(Kind.ENDPOINT, name)
        if row.status in _TRANSITIONS:
            raise in_progress(row.arn)
        return row

    def _set(self, row: Resource, status: str, document: Mapping[str, Any]) -> None:
        self._resources.change(Kind.ENDPOINT, row.name, status=status, document=document)
        if life := self._lives.get(row.name):
            life.holds = _HOLDS
            life.changed.set()
            life.changed = asyncio.Event()

    async def _settle(self, name: str, status: str, **changes: Any) -> None:
        """Record the end of a transition, however long the disk is full."""
        while not self._recorded(name, status, changes):  # noqa: ASYNC110 - no event says that the disk has room
            await asyncio.sleep(_RETRY)

    def _recorded(self, name: str, status: str, changes: Mapping[str, Any]) -> bool:
        try:
            row = self._resources.get(Kind.ENDPOINT, name)
            self._set(row, status, {**row.document, "pending": None, "reason": None, **changes})
        except sqlite3.Error:
            _logger.exception("That endpoint %s is %s cannot be recorded yet", name, status)
            return False
        return True

    def _new_version(self, name: str, snapshot: Mapping[str, Any]) -> tuple[str, Version]:
        version_id = secrets.token_hex(8)
        version = self._version(name, version_id, snapshot)
        version.take(self._objects)
        return version_id, version

    def _version(self, name: str, version_id: str, snapshot: Mapping[str, Any]) -> Version:
        return Version(name, self._directory / version_id, snapshot, interpreters=self._interpreters, logs=self._logs)

    def _begin(self, work: Callable[..., Coroutine[Any, Any, None]], name: str, *rest: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(self._to_an_end(work, name, *rest))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _to_an_end(self, work: Callable[..., Coroutine[Any, Any, None]], name: str, *rest: Any) -> None:
        try:
            await work(name, *rest)
        except Exception as error:
            _logger.exception("What became of endpoint %s was not foreseen", name)
            row = self._resources.find(Kind.ENDPOINT, name)
            if row and row.status in _TRANSITIONS:
                life = self._lives[row.name]
                version, life.version = life.version, None
                await self._settle(name, FAILED, reason=f"{row.status} failed: {type(error).__name__}: {error}")
                if version:
                    await _discard(version, drain=0)


#: Why an endpoint failed, or an update was rolled back, when the service ended meanwhile.
_INTERRUPTED = "SageMaker on this machine ended while the endpoint was being {}."


async def _bring_up(version: Version, *, unpacked: bool = False) -> None:
    """Unpack a version's model data, unless that is done, and start it.

    Raises
    ------
    VersionFailedError
        Whatever goes wrong: an endpoint never stays in transition.
    """
    try:
        if not unpacked:
            await version.unpack()
        await version.start()
    except VersionFailedError:
        raise
    except Exception as error:
        _logger.exception("A version of %s could not be brought up", version.config_name)
        raise VersionFailedError(f"The container could not be started: {type(error).__name__}: {error}") from error


async def _discard(version: Version, *, drain: float) -> None:
    await version.close(drain=drain)
    await version.remove()


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task and not task.done():
        task.cancel()
        await asyncio.wait({task})


def _document(snapshot: Mapping[str, Any], version_id: str) -> dict[str, Any]:
    return {"version": version_id, "snapshot": snapshot, "pending": None, "reason": None}


def _description(row: Resource) -> dict[str, Any]:
    document = row.document
    config = document["snapshot"]["config"]
    described: dict[str, Any] = {
        "EndpointName": row.name,
        "EndpointArn": row.arn,
        "EndpointConfigName": config["EndpointConfigName"],
        "EndpointStatus": row.status,
        "CreationTime": row.created,
        "LastModifiedTime": row.modified,
        "FailureReason": document["reason"],
    }
    if row.status in {IN_SERVICE, UPDATING}:
        described["ProductionVariants"] = [
            _variant(document, settings, row) for settings in config["ProductionVariants"]
        ]
    if pending := document["pending"]:
        described["PendingDeploymentSummary"] = {
            "EndpointConfigName": pending["config"],
            "StartTime": pending["since"],
        }
    return described


def _variant(document: Mapping[str, Any], settings: Mapping[str, Any], row: Resource) -> dict[str, Any]:
    model = document["snapshot"]["models"][settings["ModelName"]]
    image = (model.get("PrimaryContainer") or model["Containers"][0])["Image"]
    weight, count = settings["InitialVariantWeight"], settings.get("InitialInstanceCount")
    serverless = settings.get("ServerlessConfig")
    return {
        "VariantName": settings["VariantName"],
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": row.created}],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": count,
        "CurrentServerlessConfig": serverless,
        "DesiredServerlessConfig": serverless,
    }
