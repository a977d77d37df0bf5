"""Where SageMaker is: in an AWS region, or on this machine. Everything else speaks to it through boto3 alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from sm_magics import home, sdk
from sm_magics.errors import ConfigurationError, EndpointNotFound
from sm_magics.settings import LOCAL, STUDIO_METADATA, Settings

from . import faults, machine, roles


@dataclass
class Connection:
    """A SageMaker to talk to.

    Attributes
    ----------
    where
        ``local`` or the AWS region's name: what identifies an endpoint together with its name.
    region
        The region's name as AWS has it; SageMaker on this machine has one too.
    session
        The boto3 session whose clients reach it.
    """

    where: str
    region: str
    session: boto3.Session
    settings: Settings
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _identity: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether this is SageMaker on this machine."""
        return self.where == LOCAL

    @property
    def place(self) -> str:
        """The place as it is shown to people."""
        return "this machine" if self.is_local else self.where

    def client(self, service: str) -> Any:
        """Return the boto3 client for a service, made once."""
        with self._lock:  # making a client is not thread-safe in boto3; using one is
            if service not in self._clients:
                with self.calling():
                    client = self.session.client(service, config=_CONFIG.get(service))
                client.meta.events.register("before-call.sagemaker.DescribeEndpoint", _at_once)
                faults.observe(client)
                self._clients[service] = client
            return self._clients[service]

    def calling(self) -> Any:
        """Return a context in which boto3's errors come out as ours."""
        return faults.translated(is_local=self.is_local)

    @property
    def partition(self) -> str:
        """The partition that the region lies in, as ARNs have it, such as ``aws-cn``."""
        starts = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((name for start, name in starts.items() if self.region.startswith(start)), "aws")

    @property
    def account(self) -> str:
        """The account's id, 12 digits."""
        return str(self._caller()["Account"])

    @property
    def user(self) -> str:
        """Who deploys: Studio's user profile or space, else the ARN that the credentials belong to."""
        return self.settings.user or str(self._caller()["Arn"])

    def _caller(self) -> dict[str, Any]:
        if "Account" not in self._identity:
            with self.calling():
                self._identity.update(self.client("sts").get_caller_identity())
        return self._identity

    @property
    def bucket(self) -> str:
        """The S3 bucket for model data; the SageMaker SDK's own default unless one is set."""
        return self.settings.bucket or f"sagemaker-{self.region}-{self.account}"

    @property
    def role(self) -> str:
        """The ARN of the execution role: the settings' (a flag, ``%config``, the environment, Studio), else the SDK's.

        Raises
        ------
        ConfigurationError
            In AWS, if neither tells one; with what was tried, and the commands that make one.
        """
        if self.settings.role:
            return self.settings.role
        if self.is_local:
            return f"arn:aws:iam::{self.account}:role/SageMakerOnThisMachine"
        if "Role" not in self._identity:
            account = self.account  # without credentials this says so, in our words
            try:
                self._identity["Role"] = sdk.execution_role(self.session)
            except ConfigurationError as error:
                raise ConfigurationError(
                    "No execution role is known, and SageMaker in AWS needs one to fetch the model data: not from "
                    "--role, %config SmMagics.role, SM_MAGICS_ROLE or Studio's metadata "
                    f"({STUDIO_METADATA}), and {error.message}\nThis makes one:\n  {roles.create()}",
                    hint=f"--role arn:{self.partition}:iam::{account}:role/SageMakerExecutionRole",
                ) from error
        return str(self._identity["Role"])

    def sdk_session(self) -> Any:
        """Return the installed SageMaker SDK's session for the same place and bucket."""
        return sdk.session(self.session, self.bucket)


def _at_once(params: dict[str, Any], **_: Any) -> None:
    # SageMaker on this machine holds this answer back for a client that would sleep for half a minute; we look often.
    params["headers"]["x-sm-magics-hold"] = "0"


# A prediction is not repeated behind the user's back: the model would run again.
_CONFIG = {"sagemaker-runtime": Config(retries={"total_max_attempts": 1}, read_timeout=70)}

_patience: Config | None = None  # this process's, where it is less than botocore's own

_local: Connection | None = None
_aws: dict[tuple[str, str], Connection] = {}  # by profile and region
_lock = threading.Lock()


def connect(settings: Settings | None = None) -> Connection:
    """Return the connection that the settings ask for. Starts SageMaker on this machine if it is not running.

    Raises
    ------
    ConfigurationError
        If AWS is asked for and no region is known.
    ServiceUnavailable
        If SageMaker on this machine does not start; its log's last lines are in the message.
    """
    settings = settings or Settings()
    return _to_machine(settings) if settings.where == LOCAL else _to_aws(settings)


def limit_patience(*, connect_timeout: float, read_timeout: float, attempts: int) -> None:
    """Have this process wait for AWS no longer than that, in seconds for each attempt; for connections made afterwards.

    botocore's own minute, times five, is for a program that has nothing else to do. A prediction keeps its time.
    """
    global _patience  # noqa: PLW0603 - how a process is used is known to the process alone
    _patience = Config(
        connect_timeout=connect_timeout, read_timeout=read_timeout, retries={"total_max_attempts": attempts}
    )


def aws_session(profile: str, region: str) -> boto3.Session:
    """Return a new boto3 session for AWS; empty names leave it to the environment.

    Raises
    ------
    ConfigurationError
        If there is no such profile, or the AWS configuration cannot be read.
    """
    with faults.translated(is_local=False):
        session = boto3.Session(profile_name=profile or None, region_name=region or None)
        if _patience is not None:
            session._session.set_default_client_config(_patience)  # noqa: SLF001 - boto3 has no way of its own
        return session


def _to_aws(settings: Settings) -> Connection:
    key = (settings.profile, settings.where)
    with _lock:
        if key not in _aws:
            session = aws_session(settings.profile, settings.where)
            if not session.region_name:
                raise ConfigurationError(
                    "No AWS region is set: not by --region, %config SmMagics.region, AWS_DEFAULT_REGION or a profile.",
                    hint="--region us-west-2",
                )
            _aws[key] = Connection(session.region_name, session.region_name, session, settings)
        elif _aws[key].settings != settings:
            _aws[key] = replace(_aws[key], settings=settings)  # the session and its clients stay
        return _aws[key]


def _to_machine(settings: Settings) -> Connection:
    global _local  # noqa: PLW0603 - one service a user, so one connection a process
    with _lock:
        address = machine.ensure_running()
        if _local is None or _local.session._session.address != address:  # noqa: SLF001 - our own session within
            session = boto3.Session(botocore_session=_MachineSession(address))
            _local = Connection(LOCAL, address.region, session, settings)
        elif _local.settings != settings:
            _local = replace(_local, settings=settings)  # the session and its clients stay
        return _local


class _MachineSession(botocore.session.Session):  # type: ignore[misc] # botocore ships no types
    """A botocore session that sends every client to SageMaker on this machine, whatever the environment says.

    Variables and profiles that name another endpoint, other credentials, FIPS, dual-stack or a proxy would lead
    elsewhere. None of them is read, and neither ``os.environ`` nor ``~/.aws`` is changed.
    """

    def __init__(self, address: home.ServiceAddress) -> None:
        super().__init__()
        self.address = address
        self.set_config_variable("profile", "default")
        self.set_config_variable("region", address.region)
        self.set_credentials(address.access_key, address.secret_key)
        self.set_default_client_config(
            Config(signature_version="v4", proxies={}, use_fips_endpoint=False, use_dualstack_endpoint=False)
        )

    @property
    def full_config(self) -> dict[str, Any]:
        return {"profiles": {"default": {}}}

    def create_client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        kwargs["endpoint_url"] = self.address.url
        return super().create_client(service_name, *args, **kwargs)


@contextmanager
def found(name: str, connection: Connection) -> Iterator[None]:
    """Run calls about an endpoint: if it does not exist, the error names it and the place."""
    try:
        with connection.calling():
            yield
    except EndpointNotFound as error:
        raise EndpointNotFound(f"There is no endpoint {name!r} on {connection.place}.", hint=error.hint) from error
