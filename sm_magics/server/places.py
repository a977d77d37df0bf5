"""The places that a request names, this machine and AWS's regions, and the connections to them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sm_magics.errors import SmMagicsError
from sm_magics.hosting import Connection, Endpoint, TrainingJob, connect, connection, machine, watching
from sm_magics.settings import LOCAL, Settings, resolve

from .problems import Problem, Refused

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 15.0
"""Seconds, of each of two attempts."""


def prepare() -> None:
    """Have this process wait for AWS no longer than a browser would: what hangs must not pile up."""
    connection.limit_patience(connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, attempts=2)


@dataclass(frozen=True)
class Place:
    """A place to ask.

    Attributes
    ----------
    where
        ``local``, an AWS region's name, or empty for AWS's own default region.
    profile
        The AWS profile's name; empty for the environment's.
    """

    where: str
    profile: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.where == LOCAL

    @property
    def shown(self) -> str:
        """The place as it is shown to people."""
        return "this machine" if self.is_local else self.where

    @property
    def settings(self) -> Settings:
        """The settings that lead there."""
        settings = resolve({})
        if self.where:
            settings = replace(settings, region=self.where)
        else:  # whatever is set for deploying: AWS is asked for
            settings = replace(
                settings, region="" if settings.region == LOCAL else settings.region, instance_type="ml.m5.large"
            )
        return replace(settings, profile=self.profile) if self.profile else settings

    def connection(self) -> Connection:
        """Return a connection. Starts nothing; blocks for a moment.

        Raises
        ------
        Refused
            If it is this machine and SageMaker does not run there.
        """
        if self.is_local and machine.running() is None:
            raise Refused(
                Problem(
                    409,
                    "ServiceStopped",
                    "SageMaker on this machine does not run. It starts with the first deployment.",
                    "!python -m sm_magics.local start",
                )
            )
        there = connect(self.settings)
        if self.is_local:
            events = there.client("sagemaker").meta.events
            events.register("before-call.sagemaker.ListEndpoints", _only_looks, unique_id="sm-magics-look")
            events.register("before-call.sagemaker.ListTrainingJobs", _only_looks, unique_id="sm-magics-look-jobs")
        return there

    def named(self) -> Place:
        """Return the same place with its region's name, where AWS's default one is meant.

        Raises
        ------
        ConfigurationError
            If there is no default.
        """
        return self if self.where else replace(self, where=connect(self.settings).region)

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint of that name, not fetched."""
        return Endpoint(name, self.connection().where, settings=self.settings)

    def training_job(self, name: str) -> TrainingJob:
        """Return a training job of that name, not fetched."""
        return TrainingJob(name, self.connection().where, settings=self.settings)

    def renew(self) -> None:
        """Have the credentials read anew the next time: whoever has logged in again may go on."""
        if self.is_local:
            return
        with suppress(SmMagicsError):  # as long as nothing can be read, there is nothing to renew
            there = connect(self.settings)
            watching.renew(there)
            there._identity.clear()  # noqa: SLF001 - it may be somebody else's by then


def _only_looks(params: dict[str, Any], **_: Any) -> None:
    # The service ends when nobody has needed it for a time. A panel that is open does not keep it.
    params["headers"]["x-sm-magics-look"] = "1"
