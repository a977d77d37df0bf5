"""Taking away what a deployment made: the endpoint, its configuration, its models, their data. Nothing of others'."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sm_magics.errors import BackendError, EndpointFailed, EndpointNotFound, EndpointTimeout

from . import artifacts, faults
from .connection import Connection
from .endpoints import MOVING, WAIT_SECONDS, Endpoint

_OURS = ("sm-magics:created-by", "sm_magics")


@dataclass(frozen=True)
class Removal:
    """What goes with an endpoint, and what stays.

    Attributes
    ----------
    endpoint
        The endpoint.
    configs, models, objects
        Names of endpoint configurations and models, S3 URIs of model data: what is removed with it.
    kept
        What belongs to it and stays, with the reason.
    """

    endpoint: Endpoint
    configs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What goes, as (kind, name), in the order of removal."""
        return [
            ("endpoint", self.endpoint.name),
            *(("endpoint configuration", name) for name in self.configs),
            *(("model", name) for name in self.models),
            *(("model data", uri) for uri in self.objects),
        ]


def plan(endpoint: Endpoint) -> Removal:
    """Return what deleting an endpoint would remove. Removes nothing.

    Raises
    ------
    EndpointNotFound
        If it does not exist.
    """
    endpoint.fetch()
    return _with_config(endpoint, endpoint.config_name)


def _with_config(endpoint: Endpoint, config_name: str, still_used: Collection[str] = ()) -> Removal:
    """Return a configuration of ours and all that hangs on it, but for the models that are still used."""
    connection = endpoint.connection
    config = _ask(connection, "describe_endpoint_config", EndpointConfigName=config_name)
    if config is None:
        return Removal(endpoint)
    if not _is_ours(connection, config["EndpointConfigArn"]):
        return Removal(endpoint, kept=(f"{config_name}: not created by sm_magics",))
    models, objects, kept = [], [], []
    for name in {variant["ModelName"] for variant in config["ProductionVariants"]}.difference(still_used):
        model = _ask(connection, "describe_model", ModelName=name)
        if model is None:
            continue
        if not _is_ours(connection, model["ModelArn"]):
            kept.append(f"{name}: not created by sm_magics")
            continue
        models.append(name)
        uri = model.get("PrimaryContainer", {}).get("ModelDataUrl", "")
        if f"/{artifacts.PREFIX}/" not in uri:
            continue
        user = _other_user(uri, name, connection)
        if user:
            kept.append(f"{uri}: {user} uses it too")
        else:
            objects.append(uri)
    return Removal(endpoint, (config_name,), tuple(models), tuple(objects), tuple(kept))


def _other_user(uri: str, model_name: str, connection: Connection) -> str:
    """Return the name of another model with the same model data, empty if there is none.

    Every model of ours carries the first digits of its package's digest in its name.
    """
    digest = uri.rsplit("/", 2)[-2][:8]
    with connection.calling():
        pages = connection.client("sagemaker").get_paginator("list_models").paginate(NameContains=f"-{digest}-")
        names = [row["ModelName"] for page in pages for row in page["Models"]]
    return next((name for name in names if name != model_name), "")


def remove(removal: Removal) -> None:
    """Remove all that a plan names. What is gone already is no error.

    Raises
    ------
    EndpointTimeout
        If the endpoint does not go in time.
    """
    delete_endpoint(removal.endpoint)
    _remove_belongings(removal)


def _remove_belongings(removal: Removal) -> None:
    connection = removal.endpoint.connection
    for name in removal.configs:
        _ask(connection, "delete_endpoint_config", EndpointConfigName=name)
    for name in removal.models:
        _ask(connection, "delete_model", ModelName=name)
    for uri in removal.objects:
        bucket, key = artifacts.split(uri)
        with connection.calling():
            connection.client("s3").delete_object(Bucket=bucket, Key=key)


def delete_endpoint(endpoint: Endpoint) -> None:
    """Delete the endpoint itself and wait until it is gone. SageMaker refuses this in transition: waits first."""
    try:
        if endpoint.fetch().status in MOVING - {"Deleting"}:
            with suppress(EndpointFailed):
                endpoint.wait()
        if endpoint.status != "Deleting":
            _ask(endpoint.connection, "delete_endpoint", EndpointName=endpoint.name)
        wait_until_gone(endpoint)
    except EndpointNotFound:
        return


def wait_until_gone(endpoint: Endpoint) -> None:
    """Wait until an endpoint that is being deleted is gone."""
    deadline = time.monotonic() + WAIT_SECONDS[endpoint.connection.is_local]
    pause = threading.Event()
    while time.monotonic() < deadline:
        try:
            endpoint.fetch()
        except EndpointNotFound:
            endpoint.status = "Deleted"
            return
        pause.wait(0.05 if endpoint.connection.is_local else 5.0)
    raise EndpointTimeout(f"{endpoint.name} is still {endpoint.status}.", hint=f"%sm_status {endpoint.name}")


def remove_superseded(endpoint: Endpoint, former: str) -> None:
    """Remove the configuration that an update replaced, with what of it the endpoint does not use any more."""
    connection = endpoint.connection
    current = _ask(connection, "describe_endpoint_config", EndpointConfigName=endpoint.config_name)
    used = {variant["ModelName"] for variant in current["ProductionVariants"]} if current else set()
    _remove_belongings(_with_config(endpoint, former, used))


def _ask(connection: Connection, operation: str, **request: str) -> dict[str, Any] | None:
    """Return the answer of one operation, None where what it is about does not exist."""
    try:
        with connection.calling():
            answer: dict[str, Any] = getattr(connection.client("sagemaker"), operation)(**request)
            return answer
    except BackendError as error:
        if faults.is_missing(error):
            return None
        raise


def _is_ours(connection: Connection, arn: str) -> bool:
    with connection.calling():
        pages = connection.client("sagemaker").get_paginator("list_tags").paginate(ResourceArn=arn)
        tags: Mapping[str, str] = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    return tags.get(_OURS[0]) == _OURS[1]
