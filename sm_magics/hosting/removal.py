"""Taking away what a deployment made: the endpoint, its configuration, its models, their data. Nothing of others'."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from sm_magics import seen
from sm_magics.errors import BackendError, EndpointFailed, EndpointNotFound, EndpointTimeout

from . import artifacts, begun, names, plan, references
from .endpoints import MOVING, POLL_SECONDS, WAIT_SECONDS, Endpoint


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
        What it uses and what stays, with the reason.
    is_half_made
        Whether there is no such endpoint: what goes is what a deployment left that did not get to it.
    """

    endpoint: Endpoint
    configs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    is_half_made: bool = False

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What goes, as (kind, name), in the order of removal."""
        return [
            *([] if self.is_half_made else [("endpoint", self.endpoint.name)]),
            *(("endpoint configuration", name) for name in self.configs),
            *(("model data", uri) for uri in self.objects),
            *(("model", name) for name in self.models),
        ]

    def keeping_data(self) -> Removal:
        """Return the same without the model data, which stays in S3."""
        kept = tuple(f"{uri}: model data, which --artifacts deletes" for uri in self.objects)
        return replace(self, objects=(), kept=(*self.kept, *kept))


def of(endpoint: Endpoint) -> Removal:
    """Return what deleting an endpoint would remove: all that was made for it, in service or not. Removes nothing.

    Raises
    ------
    EndpointNotFound
        If it does not exist, and nothing that was made for it either.
    """
    try:
        current = endpoint.fetch().config_name
    except EndpointNotFound:
        left = _left(endpoint)
        if not left.rows:
            raise
        return left
    mine = _belongings(endpoint)
    return replace(mine, kept=(*mine.kept, *_foreign(endpoint, current)))


def unused(endpoint: Endpoint) -> Removal:
    """Return what was made for an endpoint and what it does not use: a deployment that was broken off has left it."""
    try:
        endpoint.fetch()
    except EndpointNotFound:
        return _left(endpoint)
    return replace(_belongings(endpoint, but=_used(endpoint)), is_half_made=True)


def _left(endpoint: Endpoint) -> Removal:
    """Return what a deployment left that did not get to its endpoint; of some only the upload was completed."""
    left = replace(_belongings(endpoint), is_half_made=True)
    record = begun.of(endpoint.where, endpoint.name)
    if left.objects or record is None or f"/{artifacts.PREFIX}/" not in record.upload:
        return left
    connection = endpoint.connection
    if not artifacts.is_there(record.upload, connection):
        return left
    user = references.Others.at(connection, but_configs=left.configs, but_models=left.models).user_of_data(
        record.upload
    )
    if user:
        return replace(left, kept=(*left.kept, f"{record.upload}: {user}"))
    return replace(left, objects=(record.upload,))


def _used(endpoint: Endpoint) -> set[str]:
    """Return the names of the configuration and the models that an endpoint uses."""
    name = endpoint.config_name
    config = references.ask(endpoint.connection, "describe_endpoint_config", EndpointConfigName=name) if name else None
    return {name, *(variant["ModelName"] for variant in config["ProductionVariants"])} if config else {name}


def _belongings(endpoint: Endpoint, *, but: Collection[str] = ()) -> Removal:
    """Return the configurations and models that were made for an endpoint, without those named."""
    connection = endpoint.connection
    configs = [name for name in _made_for(endpoint, "EndpointConfig") if name not in but]
    made = [name for name in _made_for(endpoint, "Model") if name not in but]
    if not configs and not made:
        return Removal(endpoint)
    others = references.Others.at(connection, but_configs=configs, but_models=made)
    models, objects, kept = [], [], []
    for name in made:
        user = others.user_of_model(name)
        if user:
            kept.append(f"{name}: {user}")
        else:
            models.append(name)
    for uri in dict.fromkeys(references.model_data(connection, name) for name in made):
        if f"/{artifacts.PREFIX}/" not in uri:
            continue
        user = others.user_of_data(uri) or next((f"{name} uses it" for name in made if name not in models), "")
        if user:
            kept.append(f"{uri}: {user}")
        else:
            objects.append(uri)
    return Removal(endpoint, tuple(configs), tuple(models), tuple(objects), tuple(kept))


def _made_for(endpoint: Endpoint, kind: str) -> list[str]:
    """Return the names of the models, or of the configurations, that carry this endpoint's tag."""
    stem = f"{names.stem(endpoint.name)}-"
    return [
        name
        for name, arn in references.names(endpoint.connection, kind, NameContains=stem).items()
        if name.startswith(stem) and references.tags(endpoint.connection, arn).get(plan.ENDPOINT_TAG) == endpoint.name
    ]


def _foreign(endpoint: Endpoint, config_name: str) -> tuple[str, ...]:
    """Return what an endpoint uses that was not made for it, with the reason why it stays."""
    connection = endpoint.connection
    ask = references.ask
    config = ask(connection, "describe_endpoint_config", EndpointConfigName=config_name) if config_name else None
    if config is None:
        return ()
    names = [(config_name, config["EndpointConfigArn"])]
    for name in sorted({variant["ModelName"] for variant in config["ProductionVariants"]}):
        model = ask(connection, "describe_model", ModelName=name)
        names += [(name, model["ModelArn"])] if model else []
    return tuple(
        f"{name}: not created by sm_magics for this endpoint"
        for name, arn in names
        if references.tags(connection, arn).get(plan.ENDPOINT_TAG) != endpoint.name
    )


def remove(removal: Removal) -> None:
    """Remove all that a plan names. What is gone already is no error.

    Raises
    ------
    EndpointTimeout
        If the endpoint does not go in time.
    """
    where, name = removal.endpoint.where, removal.endpoint.name
    if not removal.is_half_made:
        delete_endpoint(removal.endpoint)
        seen.strike_out(where, name)
    _remove_belongings(removal)
    begun.forget(where, name)


def _remove_belongings(removal: Removal) -> None:
    connection = removal.endpoint.connection
    for name in removal.configs:
        references.ask(connection, "delete_endpoint_config", EndpointConfigName=name)
    # Its model is what model data is found by: it goes last.
    for uri in removal.objects:
        bucket, key = artifacts.split(uri)
        with connection.calling():
            connection.client("s3").delete_object(Bucket=bucket, Key=key, ExpectedBucketOwner=connection.account)
    for name in removal.models:
        references.ask(connection, "delete_model", ModelName=name)


def delete_endpoint(endpoint: Endpoint) -> None:
    """Delete the endpoint itself and wait until it is gone. SageMaker refuses this in transition: waits first."""
    try:
        if endpoint.fetch().status in MOVING - {"Deleting"}:
            with suppress(EndpointFailed):
                endpoint.wait()
        if endpoint.status != "Deleting":
            _ask_to_delete(endpoint)
        wait_until_gone(endpoint)
    except EndpointNotFound:
        return


def _ask_to_delete(endpoint: Endpoint) -> None:
    try:
        references.ask(endpoint.connection, "delete_endpoint", EndpointName=endpoint.name)
    except BackendError:
        # The answer to a request that was served can be lost: asked again, SageMaker refuses.
        if endpoint.fetch().status != "Deleting":
            raise


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
        pause.wait(POLL_SECONDS[endpoint.connection.is_local])
    raise EndpointTimeout(f"{endpoint.name} is still {endpoint.status}.", hint=f"%sm_status {endpoint.name}")


def remove_superseded(endpoint: Endpoint) -> None:
    """Remove what was made for an endpoint and what it does not use any more: a former version, a failed update."""
    _remove_belongings(_belongings(endpoint, but=_used(endpoint)))


def superseded(endpoint: Endpoint, *, by: Collection[str]) -> Removal:
    """Return what `remove_superseded` would remove once an endpoint is in service with these names."""
    return _belongings(endpoint, but=by)
