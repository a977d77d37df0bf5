"""The life of an endpoint: Creating, then InService or Failed; Updating, with the old version answering; Deleting."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.resources import Resources
from sm_magics.local.s3.objects import Objects

from .dependencies import Dependencies
from .descriptions import CREATING, DELETING, FAILED, IN_SERVICE, UPDATING, document
from .endpoint_records import TRANSITIONS, EndpointRecords
from .fleet import DRAIN, VersionFailedError
from .interpreters import Interpreters
from .quotas import require_room
from .variants import Snapshot, changed, retained
from .versions import Version

#: Seconds without a request after which an endpoint's workers stop until the next one.
IDLE_AFTER = 7200.0
#: Seconds that requests in flight have when their endpoint is deleted, or the service ends.
_DRAIN = 60.0
_LAST_DRAIN = 5.0
#: Seconds between looks at what runs.
_LOOK = 1.0
#: Why an endpoint failed, or an update was rolled back, when the service ended meanwhile.
_INTERRUPTED = "SageMaker on this machine ended while the endpoint was being {}."

_logger = logging.getLogger(__name__)


@dataclass
class _Life:
    """What there is of one endpoint: `version` answers, or will once it is up; None for an endpoint that failed."""

    version: Version | None = None


class Endpoints:
    """All endpoints.

    Parameters
    ----------
    directory
        Where versions keep their files. What no endpoint refers to is removed.
    idle_after
        Seconds without a request after which an endpoint's workers stop until the next one.
    """

    def __init__(
        self,
        resources: Resources,
        objects: Objects,
        interpreters: Interpreters,
        logs: Logs,
        directory: Path,
        *,
        idle_after: float = IDLE_AFTER,
    ) -> None:
        self._records = EndpointRecords(resources)
        self._objects = objects
        self._interpreters = interpreters
        self._dependencies = Dependencies()
        self._logs = logs
        self._directory = directory
        self._idle_after = idle_after
        directory.mkdir(mode=0o700, exist_ok=True)
        self._lives: dict[str, _Life] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = asyncio.create_task(self._look())

    # What clients ask for

    def create(
        self,
        name: str,
        snapshot: Snapshot,
        *,
        tags: Iterable[Mapping[str, str]],
        deployment: Mapping[str, Any] | None = None,
    ) -> str:
        """Begin to create an endpoint; return its ARN.

        Raises
        ------
        ApiError
            If there is one of that name, or it would have too many instances.
        """
        self._records.require_none(name)
        require_room(snapshot, self._snapshots(besides=name))
        version_id, version = self._new_version(name, snapshot)
        kept = document(snapshot, version_id, created=time.time(), deployment=deployment)
        arn = self._records.add(name, kept, tags=tags)
        self._lives[name] = _Life(version)
        self._begin(self._create, name, version)
        return arn

    def update(
        self,
        name: str,
        snapshot: Snapshot,
        *,
        retain: bool = False,
        excluded: Collection[str] = (),
        deployment: Mapping[str, Any] | None = None,
        retain_deployment: bool = False,
    ) -> str:
        """Begin to replace an endpoint's version; return its ARN.

        Parameters
        ----------
        retain, excluded
            Whether variants keep the properties that they have now, and which they do not keep.
        deployment, retain_deployment
            The ``DeploymentConfig``, and whether the last one stays. It is kept and described; traffic shifts all
            at once here.

        Raises
        ------
        ApiError
            If there is no such endpoint, it is not in service, or it would have too many instances.
        """
        row = self._records.in_service(name)
        if retain:
            snapshot = retained(snapshot, row.document["snapshot"], excluded=excluded)
        require_room(snapshot, self._snapshots(besides=row.name))
        version_id, version = self._new_version(row.name, snapshot)
        if retain_deployment:
            deployment = row.document.get("deployment")
        pending = {"config": version.config_name, "snapshot": snapshot, "since": time.time()}
        self._records.set(row, UPDATING, {**row.document, "pending": pending})
        self._begin(self._update, row.name, version_id, version, deployment)
        return row.arn

    def change(self, name: str, settings: Mapping[str, Mapping[str, Any]]) -> str:
        """Begin to change weights and capacities of an endpoint's variants; return its ARN.

        Parameters
        ----------
        settings
            By variant, what an endpoint configuration would say.

        Raises
        ------
        ApiError
            If there is no such endpoint, it is not in service, or it would have too many instances.
        """
        row = self._records.in_service(name)
        snapshot = changed(row.document["snapshot"], settings)
        require_room(snapshot, self._snapshots(besides=row.name))
        self._records.set(row, UPDATING, {**row.document, "pending": {"snapshot": snapshot, "since": time.time()}})
        self._begin(self._change, row.name, snapshot)
        return row.arn

    def snapshot(self, name: str) -> Snapshot:
        """Return what an endpoint that is in service consists of.

        Raises
        ------
        ApiError
            If there is no such endpoint, or it is not in service.
        """
        snapshot: Snapshot = self._records.in_service(name).document["snapshot"]
        return snapshot

    def delete(self, name: str) -> None:
        """Begin to delete an endpoint.

        Raises
        ------
        ApiError
            If there is no such endpoint, or it is in transition.
        """
        row = self._records.settled(name)
        self._records.set(row, DELETING, row.document)
        self._begin(self._delete, row.name)

    async def describe(self, name: str) -> dict[str, Any]:
        """Return DescribeEndpoint's answer, waiting a little for a transition to end.

        Raises
        ------
        ApiError
            If there is no such endpoint (any more).
        """
        return await self._records.describe(name)

    def serving(self, name: str) -> Version | None:
        """Return the version that answers for an endpoint, or None if there is no such endpoint in service.

        Names are told apart by case here, as AWS does.
        """
        return self._lives[name].version if self._records.status(name) in {IN_SERVICE, UPDATING} else None

    def are_gone(self) -> bool:
        """Return whether there is nothing that runs, or is about to, or that a request would start."""
        return not self._tasks and all(row.status == FAILED for row in self._records.all())

    def are_asleep(self) -> bool:
        """Return whether nothing runs, or is about to, until a request starts it."""
        return not self._tasks and all(life.version.at_rest for life in self._lives.values() if life.version)

    # When the service starts and ends

    def restore(self) -> None:
        """Take up what an earlier service left, however it ended.

        What was in service is so again, what was being updated too, in its old version: asleep, the next request starts
        its workers. (To start all of them at once would wake what nobody has asked for since long ago.) What was being
        created failed; what was being deleted is gone.
        """
        wanted = set()
        for row in self._records.all():
            if row.status == DELETING:
                self._records.remove(row.name)
                continue
            self._lives[row.name] = life = _Life()
            if row.status == CREATING:
                self._records.set(row, FAILED, {**row.document, "reason": _INTERRUPTED.format("created")})
            elif row.status in {IN_SERVICE, UPDATING}:
                if row.status == UPDATING:
                    reason = _INTERRUPTED.format("updated") + " It is in its former version again."
                    self._records.set(row, IN_SERVICE, {**row.document, "pending": None, "reason": reason})
                wanted.add(row.document["version"])
                life.version = self._version(row.name, row.document["version"], row.document["snapshot"])
        for left in self._directory.iterdir():
            if left.name not in wanted:
                shutil.rmtree(left, ignore_errors=True)

    async def close(self) -> None:
        """End all workers, having let them answer what they were asked."""
        tasks = [self._looking, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        versions = [life.version for life in self._lives.values() if life.version]
        await asyncio.gather(*(version.close(drain=_LAST_DRAIN) for version in versions), return_exceptions=True)

    # Transitions

    async def _create(self, name: str, version: Version) -> None:
        try:
            await version.bring_up()
        except VersionFailedError as error:
            await self._fail(name, version, str(error))
        else:
            await self._records.settle(name, IN_SERVICE)

    async def _give_up(self, name: str, version: Version, reason: str) -> None:
        """End a version that cannot serve any more."""
        if self._records.get(name).status == IN_SERVICE:
            await self._fail(name, version, reason)
        else:
            # It is being updated: that decides what becomes of the endpoint.
            self._lives[name].version = None
            await version.discard(drain=0)

    async def _fail(self, name: str, version: Version, reason: str) -> None:
        self._logs.flush()
        self._lives[name].version = None
        await self._records.settle(name, FAILED, reason=reason)
        await version.discard(drain=0)

    async def _update(self, name: str, version_id: str, version: Version, deployment: Mapping[str, Any] | None) -> None:
        life = self._lives[name]
        try:
            await version.bring_up()
        except VersionFailedError as error:
            self._logs.flush()
            await self._records.settle(name, IN_SERVICE if life.version else FAILED, reason=str(error))
            await version.discard(drain=0)
            return
        old, life.version = life.version, version
        kept = document(version.snapshot, version_id, created=time.time(), deployment=deployment)
        await self._records.settle(name, IN_SERVICE, **kept)
        if old:
            await old.discard(drain=DRAIN)

    async def _change(self, name: str, snapshot: Snapshot) -> None:
        life = self._lives[name]
        if life.version is None:
            await self._records.settle(name, FAILED, reason="The endpoint could not be started again.")
            return
        try:
            await life.version.change(snapshot)
        except VersionFailedError as error:
            self._logs.flush()
            await self._records.settle(name, IN_SERVICE if life.version else FAILED, reason=str(error))
        else:
            await self._records.settle(name, IN_SERVICE if life.version else FAILED, snapshot=snapshot)

    async def _delete(self, name: str) -> None:
        life = self._lives[name]
        version, life.version = life.version, None
        if version:
            await version.discard(drain=_DRAIN)
        self._records.remove(name)
        del self._lives[name]

    async def _look(self) -> None:
        """Look at what runs, for ever."""
        while True:
            await asyncio.sleep(_LOOK)
            now = asyncio.get_running_loop().time()
            versions = [life.version for life in self._lives.values() if life.version]
            for version in versions:
                version.look(now)
            if versions and not self._tasks and all(version.at_rest for version in versions):
                self._interpreters.rest(self._idle_after)

    def _failed(self, name: str, version: Version, reason: str) -> None:
        """Hear from a version that it cannot serve any more."""
        life = self._lives.get(name)
        if life and life.version is version:
            self._begin(self._give_up, name, version, reason)

    def _snapshots(self, *, besides: str) -> list[Snapshot]:
        return [life.version.snapshot for name, life in self._lives.items() if life.version and name != besides]

    def _new_version(self, name: str, snapshot: Snapshot) -> tuple[str, Version]:
        version_id = secrets.token_hex(8)
        version = self._version(name, version_id, snapshot)
        version.take(self._objects)
        return version_id, version

    def _version(self, name: str, version_id: str, snapshot: Snapshot) -> Version:
        version = Version(
            name,
            self._directory / version_id,
            snapshot,
            interpreters=self._interpreters,
            dependencies=self._dependencies,
            logs=self._logs,
            idle_after=self._idle_after,
        )
        version.on_failed = lambda reason: self._failed(name, version, reason)
        return version

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
            row = self._records.find(name)
            if row and row.status in TRANSITIONS:
                life = self._lives[row.name]
                version, life.version = life.version, None
                reason = f"{row.status} failed: {type(error).__name__}: {error}"
                await self._records.settle(name, FAILED, reason=reason)
                if version:
                    await version.discard(drain=0)
