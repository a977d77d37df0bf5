"""One version of an endpoint: a configuration and its models as they were when it was made, and what runs of it.

A version owns a directory with an unpacked copy of each variant's model data. Nothing that happens later to the
configuration, the models or the objects in S3 reaches it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm_magics.serving.messages import Answer, ModelLoadFailed, Request
from sm_magics.serving.pool import WorkerPool

from .archive import BadArchiveError, extract
from .errors import PING_FAILED
from .interpreters import Interpreters
from .logs import Logs
from .objects import Objects

#: Container environment: the Python interpreter that runs the workers. Never sent to AWS.
PYTHON = "SM_MAGICS_PYTHON"
#: Seconds that a container has to come up, where the variant does not say (SageMaker's own default is not published).
_STARTUP = 600
_ARCHIVE = "model.tar.gz"
_REPOSITORY = "pytorch-inference"


class VersionFailedError(Exception):
    """A version cannot serve. The message is the endpoint's ``FailureReason``."""


@dataclass(frozen=True)
class Variant:
    """A production variant with its container.

    Attributes
    ----------
    settings
        The variant as the endpoint configuration has it.
    container
        The container as the model has it.
    """

    settings: Mapping[str, Any]
    container: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The variant's name."""
        return str(self.settings["VariantName"])

    @property
    def weight(self) -> float:
        """How much of the traffic it gets, relative to the others."""
        return float(self.settings["InitialVariantWeight"])

    @property
    def hostname(self) -> str:
        """What AWS's messages call the container."""
        return str(self.container.get("ContainerHostname", "primary"))

    @property
    def repository(self) -> str:
        """The container image's repository: its name without registry, tag and digest."""
        return str(self.container["Image"]).rpartition("/")[2].partition("@")[0].partition(":")[0]

    @property
    def model_data(self) -> str:
        """URL of the model data, empty if there is none."""
        source = self.container.get("ModelDataSource", {}).get("S3DataSource", {})
        return str(self.container.get("ModelDataUrl") or source.get("S3Uri", ""))

    @property
    def workers(self) -> int:
        """Worker processes: those of one container, times the instances."""
        wanted = self.container.get("Environment", {}).get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
        each = int(wanted) if wanted.isdecimal() and int(wanted) > 0 else 1
        return each * int(self.settings.get("InitialInstanceCount", 1))


class Version:
    """One version of an endpoint.

    Parameters
    ----------
    directory
        Its own, made if it is not there.
    snapshot
        ``config``: the request that made the endpoint configuration; ``models``: those that made its models, by name.
    """

    def __init__(
        self,
        endpoint: str,
        directory: Path,
        snapshot: Mapping[str, Any],
        *,
        interpreters: Interpreters,
        logs: Logs,
    ) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._interpreters = interpreters
        self._logs = logs
        self.snapshot = snapshot
        self.config_name: str = snapshot["config"]["EndpointConfigName"]
        self.variants = [
            Variant(settings, _container(snapshot["models"][settings["ModelName"]]))
            for settings in snapshot["config"]["ProductionVariants"]
        ]
        self._pools: dict[str, WorkerPool] = {}

    def take(self, objects: Objects) -> None:
        """Take hold of the model data: from here on it may be deleted from S3."""
        self._directory.mkdir(mode=0o700, parents=True)
        for variant in self.variants:
            folder = self._folder(variant)
            folder.mkdir()
            found = objects.find_url(variant.model_data)
            if found:
                os.link(found.path, folder / _ARCHIVE)

    async def unpack(self) -> None:
        """Unpack the model data.

        Raises
        ------
        VersionFailedError
            If it is not there, or no archive that may be unpacked.
        """
        for variant in self.variants:
            if variant.repository != _REPOSITORY:
                raise VersionFailedError(
                    f"The container image {variant.container['Image']} of production variant {variant.name} cannot "
                    f"run on this machine: only {_REPOSITORY} images can."
                )
            archive = self._folder(variant) / _ARCHIVE
            if variant.model_data and not archive.exists():
                raise VersionFailedError(f"Could not find model data at {variant.model_data}.")
            self._model_dir(variant).mkdir()
            if archive.exists():
                try:
                    await asyncio.to_thread(extract, archive, self._model_dir(variant))
                except BadArchiveError as error:
                    raise VersionFailedError(
                        f"Failed to extract model data archive {variant.model_data} for production variant "
                        f"{variant.name}: {error}."
                    ) from error
                archive.unlink()

    async def start(self) -> None:
        """Start the workers; return once the models are loaded.

        Raises
        ------
        VersionFailedError
            If one is not. Its traceback is in the log then.
        """
        for variant in self.variants:
            await self._start(variant)

    async def _start(self, variant: Variant) -> None:
        log = self._log(variant)
        environ = dict(variant.container.get("Environment", {}))
        python = environ.pop(PYTHON, self._interpreters.default)
        allowed = variant.settings.get("ContainerStartupHealthCheckTimeoutInSeconds", _STARTUP)
        try:
            parent = await self._interpreters.parent(python)
        except Exception as error:
            for line in str(error).splitlines():
                log(line)
            raise VersionFailedError(
                f"The Python interpreter {python} of production variant {variant.name} could not run the model server: "
                f"{str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__}"
            ) from error
        pool = WorkerPool(self._model_dir(variant), parent=parent, log=log, workers=variant.workers, environ=environ)
        self._pools[variant.name] = pool
        try:
            await asyncio.wait_for(pool.start(), allowed)
        except ModelLoadFailed:
            pass  # the pool has logged it
        except asyncio.TimeoutError:
            log(f"The model was not loaded within {allowed} seconds.")
        except (OSError, ValueError) as error:
            log(f"{type(error).__name__}: {error}")
        else:
            return
        raise VersionFailedError(PING_FAILED.format(variant=variant.name))

    def choose(self, name: str) -> Variant | None:
        """Return the variant of that name, or for an empty one any of them, by their weights. None if there is none."""
        if name:
            return next((variant for variant in self.variants if variant.name == name), None)
        if len(self.variants) == 1:
            return self.variants[0]
        weights = [variant.weight for variant in self.variants]
        return random.choices(self.variants, weights)[0] if any(weights) else None  # noqa: S311 - a share of traffic

    def invoke(self, variant: Variant, request: Request) -> Coroutine[Any, Any, Answer]:
        """Return the container's answer. Its workers have been asked when this returns: `close` waits for them."""
        return self._pools[variant.name].invoke(request)

    async def close(self, *, drain: float) -> None:
        """End the workers, having let them answer what they were asked, for `drain` seconds at most."""
        pools, self._pools = list(self._pools.values()), {}
        await asyncio.gather(*(pool.close(drain=drain) for pool in pools))

    async def remove(self) -> None:
        """Remove its directory."""
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    def _log(self, variant: Variant) -> Callable[[str], None]:
        # A stream is named after the variant and the instance, of which each version has new ones.
        instance = hashlib.sha256(f"{self._directory.name}/{variant.name}".encode()).hexdigest()[:17]
        return self._logs.writer(log_group(self._endpoint), f"{variant.name}/i-{instance}")

    def _folder(self, variant: Variant) -> Path:
        return self._directory / variant.name

    def _model_dir(self, variant: Variant) -> Path:
        return self._folder(variant) / "model"


def log_group(endpoint: str) -> str:
    """Return the name of an endpoint's log group."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def _container(model: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = model.get("PrimaryContainer") or model["Containers"][0]
    return container
