"""Endpoints as they are: one by its name, or all; followed until their state settles."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sm_magics import sdk
from sm_magics.errors import (
    BackendError,
    DeploymentInterrupted,
    EndpointFailed,
    EndpointNotFound,
    EndpointTimeout,
)
from sm_magics.progress import Listener, StatusChanged, ignore
from sm_magics.settings import LOCAL, Settings

from . import consistency, diagnosis, invoking, logs, names, references, watching
from .connection import Connection, connect, found

IN_SERVICE = "InService"
FAILED = "Failed"
_FAILED = {FAILED, "UpdateRollbackFailed"}
MOVING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
"""The statuses of an endpoint that will have another one soon (EndpointStatus in the SageMaker API reference)."""

WAIT_SECONDS = {True: 900.0, False: 3600.0}
"""How long to wait for an endpoint on this machine, and in AWS, unless told otherwise."""

POLL_SECONDS = {True: 0.05, False: 5.0}
"""How long to wait between two looks at an endpoint on its way, on this machine, and in AWS."""


@dataclass
class Endpoint:
    """A SageMaker endpoint, identified by where it is and its name.

    Attributes
    ----------
    name
        The endpoint's name.
    where
        ``local`` or the AWS region's name.
    status
        SageMaker's own word, as of the last `fetch`.
    reason
        ``FailureReason``, empty unless it failed.
    created, modified
        When; aware datetimes.
    config_name
        Its endpoint configuration.
    variants
        Production variants as DescribeEndpoint has them: name, current and desired instance count, weight.
    wanted
        The endpoint configuration that the last deployment from here asked for, empty if there was none.
    outcome
        What the deployment that returned this did: ``created``, ``updated``, ``unchanged``; else empty.
    notes
        What else there is to say about that deployment, such as a version gap.
    """

    name: str
    where: str = LOCAL
    status: str = ""
    reason: str = ""
    created: datetime | None = None
    modified: datetime | None = None
    arn: str = ""
    config_name: str = ""
    variants: tuple[dict[str, Any], ...] = ()
    wanted: str = field(default="", repr=False)
    outcome: str = ""
    notes: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings, repr=False)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, {self.place}, {self.status or 'not fetched'})"

    @property
    def place(self) -> str:
        """The place as it is shown to people."""
        return "this machine" if self.where == LOCAL else self.where

    @property
    def connection(self) -> Connection:
        """The connection that reaches it; on this machine the service is started if it is not running."""
        return connect(self.settings.override(region=self.where))

    @property
    def detail(self) -> str:
        """What SageMaker says beyond the status: nothing, of an endpoint."""
        return ""

    @property
    def is_moving(self) -> bool:
        """Whether it was on its way to another status when last fetched."""
        return self.status in MOVING

    @property
    def is_in_service(self) -> bool:
        """Whether it was in service when last fetched."""
        return self.status == IN_SERVICE

    @property
    def is_rolled_back(self) -> bool:
        """Whether it is in service with what it served before the deployment that was asked for."""
        return self.status == IN_SERVICE and self.wanted not in {"", self.config_name}

    def fetch(self) -> Endpoint:
        """Ask SageMaker how it is; return itself.

        Raises
        ------
        EndpointNotFound
            If it does not exist any more.
        """
        connection = self.connection
        with found(self.name, connection):
            raw = connection.client("sagemaker").describe_endpoint(EndpointName=self.name)
        self.name = raw["EndpointName"]  # asked for in another case, SageMaker finds it too
        self.status = raw["EndpointStatus"]
        self.reason = raw.get("FailureReason", "")
        self.created, self.modified = raw["CreationTime"], raw["LastModifiedTime"]
        self.arn = raw["EndpointArn"]
        self.config_name = raw.get("EndpointConfigName", "")
        self.variants = tuple(raw.get("ProductionVariants", ()))
        return self

    def wait(self, timeout: float | None = None, listener: Listener = ignore) -> Endpoint:
        """Wait until its state settles; return itself, in service.

        Parameters
        ----------
        timeout
            Seconds; by default 15 minutes on this machine, an hour in AWS.

        Raises
        ------
        EndpointFailed
            With the traceback out of its log where there is one; also when an update was rolled back.
        EndpointTimeout
            If it is still on its way. It goes on.
        DeploymentInterrupted
            On Ctrl-C. It goes on.
        """
        is_local = self.where == LOCAL
        deadline = time.monotonic() + (WAIT_SECONDS[is_local] if timeout is None else timeout)
        pause, last = threading.Event(), ""
        try:
            while True:
                if self.wanted and not last:  # it was only just created, perhaps
                    consistency.until_known(self.fetch, self.connection)
                else:
                    self.fetch()
                if self.status != last:
                    last = self.status
                    listener(StatusChanged(self.name, last))
                if self.status not in MOVING:
                    break
                if time.monotonic() >= deadline:
                    raise EndpointTimeout(
                        f"{self.name} on {self.place} is still {self.status}. It goes on without this cell.",
                        hint=f"%sm_status {self.name}    # or %sm_delete {self.name}",
                    )
                pause.wait(POLL_SECONDS[is_local])
        except KeyboardInterrupt as error:
            raise DeploymentInterrupted(
                f"Interrupted: {self.name} on {self.place} was {last or 'being asked'} and goes on without this cell.",
                hint=f"%sm_status {self.name}    # follows it; %sm_delete {self.name} ends it",
            ) from error
        if self.status != IN_SERVICE or self.is_rolled_back:
            raise self.failure()
        return self

    def watch(self, listener: Listener) -> watching.Watch:
        """Have a listener told of each status from now on, on a thread of its own. See `watching.watch`."""
        return watching.watch(self, listener)

    def failure(self) -> EndpointFailed:
        """Return the error that says why it failed, out of SageMaker's reason and its log."""
        log = self._known_log()
        found = diagnosis.explain(self.reason, log)
        detail = found.text if found else f"it is {self.status}"
        if self.is_rolled_back:
            what = f"The update of {self.name} failed on {self.place}, and it serves what it served before"
            hint = f"%sm_logs {self.name}    # all it printed"
        else:
            what = f"{self.name} failed on {self.place}"
            hint = f"%sm_logs {self.name}    # all it printed; %sm_delete {self.name} removes it"
        return EndpointFailed(
            f"{what}: {detail}",
            hint=hint,
            reason=self.reason,
            log="\n".join(log),
        )

    def predict(
        self, value: Any, *, content_type: str = invoking.JSON, accept: str = invoking.JSON
    ) -> invoking.Prediction:
        """Send a value, return the answer; waits for an endpoint that is still being created. See `invoking.invoke`."""
        if self.status != IN_SERVICE:
            self.wait_until_answering()
        return invoking.invoke(self.name, value, self.connection, content_type=content_type, accept=accept)

    def wait_until_answering(self) -> None:
        """Wait while it is being created. An endpoint that is being updated answers meanwhile."""
        if self.fetch().status == "Creating":
            self.wait()
        if self.status == FAILED:
            raise self.failure()

    def explain(self) -> diagnosis.Diagnosis | None:
        """Return why it failed, out of SageMaker's reason and its log; None where it has not."""
        if self.status not in _FAILED and not self.is_rolled_back:
            return None
        return diagnosis.explain(self.reason, self._known_log())

    def _known_log(self) -> list[str]:
        try:
            return self.logs()
        except BackendError:
            return []  # the reason alone is better than an error about the log

    def logs(self) -> list[str]:
        """Return every line that its containers have printed since it was created."""
        return logs.lines(self.name, self.connection, since=self.created)

    def tags(self) -> Mapping[str, str]:
        """Return its tags."""
        return references.tags(self.connection, self.arn, self.created)

    def to_predictor(self) -> Any:
        """Return the installed SageMaker SDK's own object for it.

        SDK 2: a ``PyTorchPredictor`` that sends and takes JSON. SDK 3: a ``sagemaker.core.resources.Endpoint``.
        """
        return sdk.predictor(self.name, self.connection.session, self.connection.bucket)


def get(name: str, connection: Connection) -> Endpoint | None:
    """Return the endpoint of that name, or None."""
    if not names.is_name(name):
        return None
    try:
        return Endpoint(name, connection.where, settings=connection.settings).fetch()
    except EndpointNotFound:
        return None


def listed(connection: Connection) -> list[Endpoint]:
    """Return all endpoints at a place, newest first."""
    return list(_pages(connection))


def _pages(connection: Connection) -> Iterator[Endpoint]:
    with connection.calling():
        paginator = connection.client("sagemaker").get_paginator("list_endpoints")
        for page in paginator.paginate(SortBy="CreationTime", SortOrder="Descending"):
            for row in page["Endpoints"]:
                yield Endpoint(
                    name=row["EndpointName"],
                    where=connection.where,
                    status=row["EndpointStatus"],
                    created=row["CreationTime"],
                    modified=row["LastModifiedTime"],
                    arn=row["EndpointArn"],
                    settings=connection.settings,
                )
