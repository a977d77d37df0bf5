"""The service as a process: one per user, found through a file, gone when nothing runs on it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import uvloop
from botocore.loaders import Loader
from botocore.model import ServiceModel

from sm_magics import __version__
from sm_magics.errors import ConfigurationError
from sm_magics.home import ServiceAddress, home

from .account import Account
from .app import ApiService, App
from .cloudwatch.endpoint_metrics import EndpointMetrics
from .cloudwatch.log_operations import CloudWatchLogs
from .cloudwatch.logs import Logs
from .cloudwatch.metric_operations import CloudWatch
from .cloudwatch.metrics import Metrics
from .elsewhere.child import Elsewhere
from .hosting.api import Hosting
from .hosting.capture import Capture
from .hosting.endpoints import IDLE_AFTER, Endpoints
from .hosting.environments import KEPT, collect
from .hosting.interpreters import Interpreters
from .hosting.runtime import Runtime
from .identity import Identity
from .log_file import bound
from .protocol.connection import Server
from .protocol.paging import Pages
from .resources import Resources
from .s3.api import S3
from .s3.blobs import Blobs
from .s3.objects import Objects
from .sessions import Session, Sessions, variables
from .store import Store
from .training.jobs import STOP_GRACE, TrainingJobs
from .training.operations import TrainingOperations

#: Seconds without a request, and without an endpoint, after which the service ends; ``SM_MAGICS_IDLE_STOP`` overrides.
IDLE_STOP = 600.0
#: Seconds without a request after which the service ends though endpoints are in service, if all of them sleep;
#: ``SM_MAGICS_ASLEEP_STOP`` overrides. Long: a client that knows no more than the address cannot start it again.
ASLEEP_STOP = 86_400.0
#: Seconds that lines of a log wait to be written together.
_LOG_DELAY = 0.05
#: Seconds that what was measured waits to be written together.
_METRICS_DELAY = 5.0
#: Seconds from one look at what may go to the next.
_TIDY = 300.0
#: Seconds without a request after which a client's connection is closed.
_KEEP_ALIVE = 60.0
#: Seconds that requests have to be answered when the service ends.
_GRACE = 10
#: Seconds in which the lock becomes free if nobody has it but those who look.
_LOCK_PATIENCE = 1.0

_logger = logging.getLogger(__name__)


class AlreadyRunningError(Exception):
    """Another service of this user holds the lock."""


@contextlib.contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the lock that makes the service single; the kernel lets go of it however the process ends.

    Raises
    ------
    AlreadyRunningError
        If another process holds it: at once if that says where it listens, else when it has kept it for a second.
        Who only looks whether a service runs has the lock for a moment, too.
    """
    with (directory / "service.lock").open("a") as file:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while not _locked(file, fcntl.LOCK_EX):
            if ServiceAddress.read() or time.monotonic() > deadline:
                raise AlreadyRunningError
            time.sleep(0.01)
        yield


def is_running(directory: Path) -> bool:
    """Return whether a service of this user is running, or about to."""
    with (directory / "service.lock").open("a") as file:
        return not _locked(file, fcntl.LOCK_SH)


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@cache
def service_model(name: str) -> Any:
    """Return botocore's model of a service. The first call for `sagemaker` takes a tenth of a second."""
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


class Service:
    """Everything that one service process holds, put together. Made inside the event loop.

    Attributes
    ----------
    url
        Where it listens, once it does.
    """

    def __init__(self, directory: Path, *, idle_after: float = IDLE_AFTER) -> None:
        self._directory = directory
        self._store = Store(directory / "state.sqlite3")
        self.account = account = Account.of(self._store)
        self._sessions = Sessions(account)
        self.url = ""
        pages = Pages(account.secret_key)
        objects = Objects(self._store, Blobs(directory / "objects"))
        loop = asyncio.get_running_loop()
        self._logs = Logs(self._store, lambda: self._flush_later(loop))
        # The sockets of a service that was killed; those of one that runs would need the lock that we hold.
        shutil.rmtree(directory / "run", ignore_errors=True)
        self.interpreters = Interpreters(directory / "run", sys.executable)
        resources = Resources(self._store, account, pages)
        self.endpoints = Endpoints(
            resources, objects, self.interpreters, self._logs, directory / "endpoints", idle_after=idle_after
        )
        self._capture = Capture(objects, self._logs)
        self._metrics = Metrics(self._store, self._flush_metrics_later)
        self.training = TrainingJobs(
            resources,
            objects,
            self.interpreters,
            self._logs,
            directory / "training",
            account=account,
            metrics=self._metrics,
            credentials=self._credentials,
            grace=_seconds("SM_MAGICS_STOP_GRACE", STOP_GRACE),
        )
        training = TrainingOperations(self.training, resources, objects, account)
        hosting = Hosting(resources, self.endpoints, objects)
        logs = CloudWatchLogs(self._logs, account, pages)
        measured = EndpointMetrics(self._metrics)
        self._elsewhere = Elsewhere(directory / "run", account)
        identity = Identity(account, self._sessions)
        runtime = cache(
            lambda: Runtime(service_model("sagemaker-runtime"), self.endpoints, account, self._capture, measured)
        )
        self.app = App(
            account=account,
            services={
                "sagemaker": ApiService(
                    "SageMaker",
                    lambda: service_model("sagemaker"),
                    {**hosting.operations, **training.operations},
                ),
                # The codes that these two have for it were seen in public (fluent-plugin-cloudwatch-logs issue 223,
                # yet-another-cloudwatch-exporter issue 385).
                "logs": ApiService(
                    "Logs_20140328", lambda: service_model("logs"), logs.operations, "InvalidParameterException"
                ),
                "monitoring": ApiService(
                    "GraniteServiceVersion20100801",
                    lambda: service_model("cloudwatch"),
                    CloudWatch(self._metrics, pages).operations,
                    "ValidationError",
                ),
                "sts": ApiService("sts", lambda: service_model("sts"), identity.sts),
                "iam": ApiService("iam", lambda: service_model("iam"), identity.iam),
            },
            runtime=runtime,
            s3=S3(objects, account),
            sessions=self._sessions,
            rest=self._elsewhere,
        )

    def _credentials(self, role: str, seconds: float) -> dict[str, str]:
        """Return the variables with which a job's script has its role's credentials, here."""
        session = Session(role.rpartition("/")[2], "SageMaker", int(time.time() + seconds))
        return variables(self._sessions.keys(session), url=self.url, region=self.account.region)

    def listen(self, port: int | None) -> socket.socket:
        """Return a listening socket on loopback: at `port`, or the last one that was used, or any.

        Raises
        ------
        OSError
            If `port` is given and taken.
        """
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port if port is not None else int(self._store.state().get("port", "0"))))
        except OSError:
            if port is not None:
                listener.close()
                raise
            listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # Clients that were told the address of a service that ended find the next one there.
        self._store.keep("port", str(listener.getsockname()[1]))
        return listener

    def is_idle(self, *, empty: float, asleep: float) -> bool:
        """Return whether nothing runs here and nobody has asked for anything for a time.

        Parameters
        ----------
        empty, asleep
            Seconds: without an endpoint, and with some that sleep.
        """
        if self.app.active or self._elsewhere.is_in_use() or not self.training.are_idle():
            return False
        quiet = asyncio.get_running_loop().time() - self.app.last_request
        return (quiet >= empty and self.endpoints.are_gone()) or (quiet >= asleep and self.endpoints.are_asleep())

    async def tidy(self, *, kept: float) -> None:
        """Bound the log, and remove environments that nobody has needed for `kept` seconds, now and then for ever."""
        environments, versions = self._directory / "environments", self._directory / "endpoints"
        while True:
            bound(self._directory / "service.log")
            try:
                await asyncio.to_thread(collect, environments, versions, kept=kept, now=time.time())
            except OSError as error:
                _logger.warning("Environments that nobody needs could not be removed: %s", error)
            await asyncio.sleep(_TIDY)

    async def close(self) -> None:
        """End all workers and write what is left to write."""
        await self.training.close()
        await self.endpoints.close()
        await self.interpreters.close()
        await self._capture.close()
        await self._elsewhere.close()
        self._logs.flush()
        self._metrics.flush()
        self._store.close()

    def _flush_metrics_later(self) -> None:
        asyncio.get_running_loop().call_later(_METRICS_DELAY, self._metrics.flush)

    def _flush_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if threading.current_thread() is threading.main_thread():
            loop.call_later(_LOG_DELAY, self._logs.flush)
        else:
            loop.call_soon_threadsafe(loop.call_later, _LOG_DELAY, self._logs.flush)


def run(*, port: int | None = None, warm: str | None = None) -> None:
    """Run the service until it is told to stop, or nothing runs on it any more.

    Parameters
    ----------
    port
        Where to listen on 127.0.0.1; None: where the last service did, or anywhere.
    warm
        A Python interpreter whose workers are wanted soon.

    Raises
    ------
    AlreadyRunningError
        If this user's service is running.
    ConfigurationError
        If the state directory, or one of the variables ``SM_MAGICS_…`` with a number of seconds, cannot be used.
    OSError
        If the port is taken or the state directory cannot be written.
    """
    os.umask(0o077)
    times = _Times(
        empty=_seconds("SM_MAGICS_IDLE_STOP", IDLE_STOP),
        asleep=_seconds("SM_MAGICS_ASLEEP_STOP", ASLEEP_STOP),
        endpoint=_seconds("SM_MAGICS_ENDPOINT_IDLE_STOP", IDLE_AFTER),
        environment=_seconds("SM_MAGICS_ENVIRONMENT_KEEP", KEPT),
    )
    directory = home()
    with only_one(directory):
        uvloop.run(_serve(directory, port, warm, times))


@dataclass(frozen=True)
class _Times:
    """Seconds of disuse after which the service ends (empty or asleep), an endpoint sleeps, an environment goes."""

    empty: float
    asleep: float
    endpoint: float
    environment: float


def _seconds(variable: str, default: float) -> float:
    given = os.environ.get(variable, str(default))
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ConfigurationError(
            f"{variable} must be a number of seconds, not {given!r}.", hint=f"%env {variable}={default:.0f}"
        )
    return seconds


async def _serve(directory: Path, port: int | None, warm: str | None, times: _Times) -> None:
    service = Service(directory, idle_after=times.endpoint)
    listener = service.listen(port)
    address = _address(service)
    tidying = asyncio.create_task(service.tidy(kept=times.environment))
    try:
        if warm:
            service.interpreters.warm(warm)
        service.endpoints.restore()
        service.training.restore()
        server = Server(service.app)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await server.listen(listener)
        address.write()
        _logger.info("SageMaker on this machine listens at %s", address.url)
        await asyncio.to_thread(service_model, "sagemaker")
        look = min(max(min(times.empty, times.asleep) / 10, 0.05), 1.0)
        while not stop.is_set() and not service.is_idle(empty=times.empty, asleep=times.asleep):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), look)
            server.drop_idle(_KEEP_ALIVE)
        await server.close(grace=_GRACE)
    finally:
        with contextlib.suppress(OSError):
            address.path().unlink()
        listener.close()
        tidying.cancel()
        await service.close()


def _address(service: Service) -> ServiceAddress:
    account = service.account
    return ServiceAddress(
        url=service.url,
        access_key=account.access_key,
        secret_key=account.secret_key,
        region=account.region,
        account=account.id,
        pid=os.getpid(),
        version=__version__,
    )
