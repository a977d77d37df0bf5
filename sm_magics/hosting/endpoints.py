"""Endpoints as they are: one by its name, or all; followed until their state settles."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sm_magics import sdk
from sm_magics.errors import (
    DeploymentInterrupted,
    EndpointFailed,
    EndpointNotFound,
    EndpointTimeout,
)
from sm_magics.progress import Listener, ignore
from sm_magics.settings import LOCAL

from . import begun, consistency, diagnosis, invoking, logs, names, references
from .connection import Connection, found
from .resource import Resource

if TYPE_CHECKING:
    from .verifying import Verification

IN_SERVICE = "InService"
FAILED = "Failed"
_FAILED = {FAILED, "UpdateRollbackFailed"}
MOVING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
"""The statuses of an endpoint that will have another one soon (EndpointStatus in the SageMaker API reference)."""

WAIT_SECONDS = {True: 900.0, False: 3600.0}
"""How long to wait for an endpoint on this machine, and in AWS, unless told otherwise."""

POLL_SECONDS = {True: 0.05, False: 5.0}
"""How long to wait between two looks at an endpoint on its way, on this machine, and in AWS."""


@dataclass(frozen=True)
class Asked:
    """What a deployment has asked for.

    SageMaker answers from several places, and not all of them know at once: for a moment an endpoint that was just
    created may be unknown, and one that is being updated in service with what it served before. The latter is also
    what an update that failed ends in; its LastModifiedTime tells the two apart.

    Attributes
    ----------
    config_name
        The endpoint configuration; empty where nothing was asked for.
    before
        The endpoint's LastModifiedTime when it was not updated yet; None for one that was created.
    when
        As `time.time` has it.
    """

    config_name: str = ""
    before: datetime | None = None
    when: float = 0.0

    @property
    def is_recent(self) -> bool:
        """Whether there may still be places that do not know of it."""
        return time.time() - self.when < consistency.SECONDS


@dataclass(repr=False)
class Endpoint(Resource):
    """A SageMaker endpoint, identified by where it is and its name.

    Attributes
    ----------
    status
        ``EndpointStatus``. Of an update that was asked for from here and that SageMaker does not know of everywhere
        yet: ``Updating``.
    modified
        When; an aware datetime.
    config_name
        Its endpoint configuration.
    variants
        Production variants as DescribeEndpoint has them: name, current and desired instance count, weight.
    asked
        What the last deployment from here has asked for; empty if there was none.
    outcome
        What the deployment that returned this did: ``created``, ``updated``, ``unchanged``; else empty.
    notes
        What else there is to say about that deployment, such as a version gap.
    verified
        Whether it answered the sample that was recorded with its package; None where that was not asked, or could not
        be.
    """

    modified: datetime | None = None
    arn: str = ""
    config_name: str = ""
    variants: tuple[dict[str, Any], ...] = ()
    asked: Asked = field(default_factory=Asked)
    outcome: str = ""
    notes: tuple[str, ...] = ()
    verified: bool | None = None

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
        return self.status == IN_SERVICE and self.asked.config_name not in {"", self.config_name}

    def note_verification(self, found: Verification | None) -> None:
        """Note what came of the recorded sample, if it was sent."""
        self.verified = found.answered if found else None
        self.notes += (found.what,) if found else ()

    def fetch(self) -> Endpoint:
        """Ask SageMaker how it is; return itself.

        Raises
        ------
        EndpointNotFound
            If it does not exist any more.
        """
        connection = self.connection
        try:
            with found(self.name, connection):
                raw = connection.client("sagemaker").describe_endpoint(EndpointName=self.name)
        except EndpointNotFound:
            if self.arn or not self.asked.is_recent:
                raise
            self.status = "Creating"  # it was only just asked for, and is not known everywhere yet
            return self
        self.name = raw["EndpointName"]  # asked for in another case, SageMaker finds it too
        self.status = raw["EndpointStatus"]
        self.reason = raw.get("FailureReason", "")
        self.created, self.modified = raw["CreationTime"], raw["LastModifiedTime"]
        self.arn = raw["EndpointArn"]
        self.config_name = raw.get("EndpointConfigName", "")
        self.variants = tuple(raw.get("ProductionVariants", ()))
        if self.is_rolled_back and self.modified == self.asked.before and self.asked.is_recent:
            self.status = "Updating"
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
        try:
            has_settled = self.settle(
                POLL_SECONDS[is_local], WAIT_SECONDS[is_local] if timeout is None else timeout, listener
            )
        except KeyboardInterrupt as error:
            how = self.status or "being asked"
            raise DeploymentInterrupted(
                f"Interrupted: {self.name} on {self.place} was {how} and goes on without this cell.",
                hint=f"%sm_status {self.name}    # follows it; %sm_delete {self.name} ends it",
            ) from error
        if not has_settled:
            raise EndpointTimeout(
                f"{self.name} on {self.place} is still {self.status}. It goes on without this cell.",
                hint=f"%sm_status {self.name}    # or %sm_delete {self.name}",
            )
        if self.status != IN_SERVICE or self.is_rolled_back:
            raise self.failure()
        return self

    def failure(self) -> EndpointFailed:
        """Return the error that says why it failed, out of SageMaker's reason and its log."""
        log = self.known_log()
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
            endpoint=self,
            diagnosis=found,
        )

    def predict(
        self,
        value: Any,
        *,
        content_type: str = invoking.JSON,
        accept: str = invoking.JSON,
        custom_attributes: str = "",
    ) -> invoking.Prediction:
        """Send a value, return the answer; waits for an endpoint that is still being created. See `invoking.invoke`."""
        if self.status != IN_SERVICE:
            self.wait_until_answering()
        return invoking.invoke(
            self.name,
            value,
            self.connection,
            content_type=content_type,
            accept=accept,
            custom_attributes=custom_attributes,
        )

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
        return diagnosis.explain(self.reason, self.known_log())

    def logs(self) -> list[str]:
        """Return every line that its containers have printed since it was created."""
        return logs.lines(self.name, self.connection, since=self.created)

    def tags(self) -> Mapping[str, str]:
        """Return its tags."""
        return references.tags(self.connection, self.arn, self.created)

    def delete(self) -> None:
        """Delete it with its configuration and models, and the model data; what something else uses stays.

        One that is on its way to another status is waited for, because SageMaker does not delete it before.
        """
        from . import removal

        removal.remove(removal.of(self))

    def to_predictor(self) -> Any:
        """Return the installed SageMaker SDK's own object for it.

        SDK 2: a ``PyTorchPredictor`` that sends and takes JSON. SDK 3: a ``sagemaker.core.resources.Endpoint``.
        """
        return sdk.predictor(self.name, self.connection.session, self.connection.bucket)


def get(name: str, connection: Connection) -> Endpoint | None:
    """Return the endpoint of that name, or None. What the last deployment from here has asked for is known of it."""
    if not names.is_name(name):
        return None
    try:
        return recalled(Endpoint(name, connection.where, settings=connection.settings)).fetch()
    except EndpointNotFound:
        return None


def recalled(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that knows what the last deployment to it asked for, if that did not come to its end."""
    record = begun.of(endpoint.where, endpoint.name)
    if record is not None and record.config_name not in {"", endpoint.asked.config_name}:
        endpoint.asked = Asked(record.config_name)
    return endpoint


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
