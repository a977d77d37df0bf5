"""One version of an endpoint: a configuration and its models as they were when it was made, and what runs of it.

A version owns a directory with an unpacked copy of each variant's model data. Nothing that happens later to the
configuration, the models or the objects in S3 reaches it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.protocol.errors import PING_FAILED
from sm_magics.local.s3.objects import Objects
from sm_magics.serving.messages import ModelLoadFailed, Request
from sm_magics.serving.parent import WarmParent
from sm_magics.serving.pool import WorkerPool
from sm_magics.serving.requirements import RequirementsFailed

from .dependencies import REQUIREMENTS, Dependencies
from .environments import NOTE
from .fleet import Fleet, Reply, VersionFailedError
from .interpreters import Interpreters
from .model_data import BadModelDataError, ModelData
from .variants import Snapshot, Variant, variants_of

#: Container environment: the Python interpreter that runs the workers. Never sent to AWS.
PYTHON = "SM_MAGICS_PYTHON"
#: Seconds that a container has to come up, and its model data to be there, where the variant does not say
#: (SageMaker's own defaults are not published).
_STARTUP = 600
_DOWNLOAD = 600
#: Seconds without a request after which a serverless variant's workers stop (AWS does not publish its own number).
SERVERLESS_IDLE = 300.0
_REPOSITORY = "pytorch-inference"

_logger = logging.getLogger(__name__)


class Version:
    """One version of an endpoint, asleep until it is brought up or asked.

    Parameters
    ----------
    directory
        Its own, made if it is not there.
    idle_after
        Seconds without a request after which a variant's workers stop until the next one.

    Attributes
    ----------
    on_failed
        Called with the reason when a variant that served cannot any more.
    """

    def __init__(
        self,
        endpoint: str,
        directory: Path,
        snapshot: Snapshot,
        *,
        interpreters: Interpreters,
        dependencies: Dependencies,
        logs: Logs,
        idle_after: float,
    ) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._interpreters = interpreters
        self._dependencies = dependencies
        self._logs = logs
        self._idle_after = idle_after
        self.on_failed: Callable[[str], None] = lambda _reason: None
        self.snapshot = snapshot
        self.config_name: str = snapshot["config"]["EndpointConfigName"]
        self.variants = variants_of(snapshot)
        self._fleets = {variant.name: self._fleet(variant) for variant in self.variants}
        self._unpacking: asyncio.Future[None] | None = None

    def take(self, objects: Objects) -> None:
        """Take hold of the model data: from here on it may be deleted from S3."""
        self._directory.mkdir(mode=0o700, parents=True)
        for variant in self.variants:
            folder = self._folder(variant) / "objects"
            folder.mkdir(parents=True)
            ModelData.of(variant.container).take(objects, folder)

    async def bring_up(self) -> None:
        """Unpack the model data and start.

        Raises
        ------
        VersionFailedError
            Whatever goes wrong: an endpoint never stays in transition.
        """
        try:
            await self.unpack()
            await self.start()
        except VersionFailedError:
            raise
        except Exception as error:
            _logger.exception("A version of %s could not be brought up", self.config_name)
            raise VersionFailedError(f"The container could not be started: {type(error).__name__}: {error}") from error

    async def unpack(self) -> None:
        """Unpack the model data.

        Raises
        ------
        VersionFailedError
            If it is not there, or cannot be unpacked, or not in the time it has.
        """
        for variant in self.variants:
            if variant.repository != _REPOSITORY:
                raise VersionFailedError(
                    f"The container image {variant.container['Image']} of production variant {variant.name} cannot "
                    f"run on this machine: only {_REPOSITORY} images can."
                )
            await self._unpack(variant)

    async def _unpack(self, variant: Variant) -> None:
        data = ModelData.of(variant.container)
        allowed = variant.settings.get("ModelDataDownloadTimeoutInSeconds", _DOWNLOAD)
        objects = self._folder(variant) / "objects"
        if not data.was_taken(objects):
            raise VersionFailedError(f"Could not find model data at {data.url}.")
        self._model_dir(variant).mkdir()
        work = asyncio.to_thread(data.lay_out, objects, self._model_dir(variant))
        self._unpacking = asyncio.ensure_future(work)
        try:
            await asyncio.wait_for(asyncio.shield(self._unpacking), allowed)
        except asyncio.TimeoutError as error:
            raise VersionFailedError(
                f"The model data {data.url} of production variant {variant.name} was not there within {allowed} "
                "seconds (ModelDataDownloadTimeoutInSeconds)."
            ) from error
        except BadModelDataError as error:
            if data.compressed:
                raise VersionFailedError(
                    f"Failed to extract model data archive {data.url} for production variant {variant.name}: {error}."
                ) from error
            raise VersionFailedError(
                f"Failed to download model data {data.url} for production variant {variant.name}: {error}."
            ) from error

    async def start(self) -> None:
        """Start the workers; return once the models are loaded.

        Raises
        ------
        VersionFailedError
            If one is not. Its traceback is in the log then.
        """
        for fleet in self._fleets.values():
            await fleet.start()

    def _fleet(self, variant: Variant) -> Fleet:
        routing = variant.settings.get("RoutingConfig", {}).get("RoutingStrategy")
        return Fleet(
            variant.instances,
            lambda number: self._open(variant, number),
            log=self._log(variant, 0),
            concurrency=variant.concurrency,
            idle_after=self._idle(variant),
            spread=routing == "RANDOM",
            on_failed=self._failed,
        )

    def _failed(self, reason: str) -> None:
        self.on_failed(reason)

    def _idle(self, variant: Variant) -> float:
        """Return the time after which a variant sleeps. Provisioned concurrency is there to be awake."""
        if variant.serverless and "ProvisionedConcurrency" not in variant.serverless:
            return min(SERVERLESS_IDLE, self._idle_after)
        return self._idle_after

    async def _open(self, variant: Variant, number: int) -> WorkerPool:
        """Start one instance's workers."""
        log = self._log(variant, number)
        environ = dict(variant.container.get("Environment", {}))
        python = environ.pop(PYTHON, self._interpreters.default)
        requirements = environ.pop(REQUIREMENTS, "install")
        allowed = variant.settings.get("ContainerStartupHealthCheckTimeoutInSeconds", _STARTUP)
        if requirements != "ignore":
            python = await self._with_requirements(variant, python, log)
        parent = await self._parent(variant, python, log)
        pool = WorkerPool(self._model_dir(variant), parent=parent, log=log, workers=variant.workers, environ=environ)
        try:
            await asyncio.wait_for(pool.start(), allowed)
        except ModelLoadFailed:
            pass  # the pool has logged it
        except asyncio.TimeoutError:
            log(f"The model was not loaded within {allowed} seconds (ContainerStartupHealthCheckTimeoutInSeconds).")
        except (OSError, ValueError) as error:
            log(f"{type(error).__name__}: {error}")
        else:
            return pool
        raise VersionFailedError(PING_FAILED.format(variant=variant.name))

    async def _with_requirements(self, variant: Variant, python: str, log: Callable[[str], None]) -> str:
        try:
            chosen = await self._dependencies.interpreter(self._model_dir(variant), python, log)
        except (RequirementsFailed, OSError, ValueError) as error:
            lines = str(error).strip().splitlines()
            for line in lines:
                log(line)
            raise VersionFailedError(
                f"code/requirements.txt of production variant {variant.name} could not be installed: {lines[-1]} "
                f"Install it yourself, or set {REQUIREMENTS}=ignore in the container's environment to go without."
            ) from error
        if chosen != python:
            (self._folder(variant) / NOTE).write_text(chosen)
        return chosen

    async def _parent(self, variant: Variant, python: str, log: Callable[[str], None]) -> WarmParent:
        try:
            return await self._interpreters.parent(python)
        except Exception as error:
            lines = str(error).strip().splitlines()
            for line in lines:
                log(line)
            raise VersionFailedError(
                f"The Python interpreter {python} of production variant {variant.name} could not run the model server: "
                f"{lines[-1] if lines else type(error).__name__}"
            ) from error

    def choose(self, name: str) -> Variant | None:
        """Return the variant of that name, or for an empty one any of them, by their weights. None if there is none."""
        if name:
            return next((variant for variant in self.variants if variant.name == name), None)
        if len(self.variants) == 1:
            return self.variants[0]
        weights = [variant.weight for variant in self.variants]
        return random.choices(self.variants, weights)[0] if any(weights) else None  # noqa: S311 - a share of traffic

    def ask(self, variant: Variant, request: Request, *, stream: bool = False) -> asyncio.Future[Reply]:
        """Return the container's answer. It has been asked when this returns: `close` waits for it.

        Raises
        ------
        ApiError
            ``ThrottlingException`` if a serverless variant has too much to do.
        VersionFailedError
            From the future, if the workers slept and cannot be started again.
        """
        return self._fleets[variant.name].ask(request, stream=stream)

    def is_asleep(self, variant: Variant) -> bool:
        """Return whether a variant's workers have to be started for the next request."""
        return self._fleets[variant.name].asleep

    def set_up(self, variant: Variant) -> float:
        """Return how many seconds it took the last time."""
        return self._fleets[variant.name].set_up

    async def change(self, snapshot: Snapshot) -> None:
        """Take over other weights at once, and other numbers of instances and concurrencies.

        Parameters
        ----------
        snapshot
            The version's own, with other settings of its variants.

        Raises
        ------
        VersionFailedError
            If a new instance cannot be started. Everything is then as it was.
        """
        before = self.snapshot
        self._set(snapshot)
        try:
            for variant in self.variants:
                await self._fleets[variant.name].scale(variant.instances)
        except VersionFailedError:
            self._set(before)
            for variant in self.variants:
                await self._fleets[variant.name].scale(variant.instances)
            raise

    def _set(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.variants = variants_of(snapshot)
        for variant in self.variants:
            fleet = self._fleets[variant.name]
            fleet.concurrency, fleet.idle_after = variant.concurrency, self._idle(variant)

    def look(self, now: float) -> None:
        """Let fleets that nobody needs sleep, and give up those that are beyond help. To be called often."""
        for fleet in self._fleets.values():
            fleet.look(now)

    @property
    def at_rest(self) -> bool:
        """Whether no worker runs, or is about to."""
        return all(fleet.at_rest for fleet in self._fleets.values())

    async def close(self, *, drain: float) -> None:
        """End the workers, having let them answer what they were asked, for `drain` seconds at most."""
        self.on_failed = lambda _reason: None
        await asyncio.gather(*(fleet.close(drain=drain) for fleet in self._fleets.values()))

    async def discard(self, *, drain: float) -> None:
        """Close it, and remove its directory once nobody writes there any more."""
        await self.close(drain=drain)
        if self._unpacking:
            await asyncio.wait({self._unpacking})
            if not self._unpacking.cancelled():
                self._unpacking.exception()
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    def _log(self, variant: Variant, number: int) -> Callable[[str], None]:
        # A stream is named after the variant and the instance, of which each version has new ones.
        text = f"{self._directory.name}/{variant.name}" + (f"/{number}" if number else "")
        instance = hashlib.sha256(text.encode()).hexdigest()[:17]
        return self._logs.writer(log_group(self._endpoint), f"{variant.name}/i-{instance}")

    def _folder(self, variant: Variant) -> Path:
        return self._directory / variant.name

    def _model_dir(self, variant: Variant) -> Path:
        return self._folder(variant) / "model"


def log_group(endpoint: str) -> str:
    """Return the name of an endpoint's log group."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"
