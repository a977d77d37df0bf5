"""A package to an endpoint in service: created, updated in place, or left as it is because nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sm_magics.errors import (
    BackendError,
    DeploymentError,
    DeploymentInterrupted,
    EndpointConflictError,
    EndpointFailed,
    EndpointNotFound,
)
from sm_magics.packaging import Package
from sm_magics.progress import Listener, Progress, ignore
from sm_magics.settings import LOCAL, Settings

from . import artifacts, endpoints, plan, removal
from .connection import Connection, connect
from .endpoints import FAILED, IN_SERVICE, MOVING, Endpoint


def deploy(
    package: Package,
    endpoint_name: str,
    *,
    settings: Settings | None = None,
    origin: plan.Origin | None = None,
    initial_instance_count: int = 1,
    env: Mapping[str, str] | None = None,
    update: bool = False,
    wait: bool = True,
    timeout: float | None = None,
    listener: Listener = ignore,
) -> Endpoint:
    """Deploy a package and return its endpoint.

    An endpoint of that name with the same package and settings is left as it is. One that comes from the same
    notebook is updated in place, and answers all the while; its former model and configuration go once the new one
    is in service.

    Parameters
    ----------
    endpoint_name
        Up to 63 letters, digits and hyphens.
    settings
        Where, and on what. Default: this machine.
    origin
        Where the endpoint comes from. Default: the package's directory.
    env
        Environment variables of the container.
    update
        Update the endpoint of that name even if it comes from elsewhere.
    wait
        Return only once it is in service.

    Raises
    ------
    EndpointConflictError
        If the name is somebody else's endpoint.
    EndpointFailed
        If it does not come up; a failed update has been rolled back by then.
    DeploymentInterrupted
        On Ctrl-C. What was begun goes on and is named.
    """
    if not isinstance(package, Package):
        raise DeploymentError(
            f"What is deployed is a Package, not a value of type {type(package).__name__}.",
            hint="deploy(package(model), 'NAME')",
        )
    connection = connect(settings)
    origin = replace(origin or plan.Origin(model_dir=str(package.model_dir)), user=connection.user)
    planned = plan.make(
        package, endpoint_name, connection, origin=origin, initial_instance_count=initial_instance_count, env=env
    )
    found = endpoints.get(endpoint_name, connection)
    try:
        existing = _settled(found, endpoint_name, origin, update=update)
    except EndpointNotFound:  # gone since it was found
        existing = None
    if existing is not None and existing.status == IN_SERVICE and existing.config_name == planned.config_name:
        return _done(existing, "unchanged", planned, package)
    try:
        _prepare(planned, package, connection, listener)
        if existing is None:
            listener(Progress("Create", note=endpoint_name))
            _call(connection, "create_endpoint", planned.create_endpoint)
        else:
            listener(Progress("Update", note=endpoint_name))
            _call(connection, "update_endpoint", planned.update_endpoint)
    except KeyboardInterrupt as error:
        raise DeploymentInterrupted(
            f"Interrupted before {endpoint_name} was asked for. What was uploaded stays for the next time.",
            hint=f"%sm_delete {endpoint_name}    # removes the model and the configuration if they were created",
        ) from error
    endpoint = Endpoint(endpoint_name, connection.where, settings=connection.settings, wanted=planned.config_name)
    outcome = "created" if existing is None else "updated"
    if not wait:
        endpoint.status = "Creating" if existing is None else "Updating"
        return _done(endpoint, outcome, planned, package)
    endpoint.wait(timeout, listener)
    if found is not None:
        removal.remove_superseded(endpoint)
    return _done(endpoint, outcome, planned, package)


def _settled(existing: Endpoint | None, name: str, origin: plan.Origin, *, update: bool) -> Endpoint | None:
    """Return the endpoint that is to be updated, None if one is to be created."""
    if existing is None:
        return None
    if existing.name != name:  # SageMaker finds it all the same, but does not call it
        raise EndpointConflictError(
            f"SageMaker takes {name!r} for {existing.name!r}, an endpoint that exists on {existing.place}.",
            hint=f"--endpoint-name {existing.name}",
        )
    if not update and not origin.owns(existing.tags()):
        suggestion = plan.suggest_name(existing.name[:55], "2")
        raise EndpointConflictError(
            f"An endpoint {existing.name!r} exists on {existing.place}, and it does not come from this notebook.",
            hint=f"--endpoint-name {suggestion}    # or --update to replace what it serves",
        )
    if existing.status in MOVING:
        if existing.status == "Deleting":
            removal.wait_until_gone(existing)
            return None
        try:
            existing.wait()
        except EndpointFailed:
            existing.fetch()
    if existing.status == FAILED:  # SageMaker updates no endpoint that failed; it can only be made anew
        removal.delete_endpoint(existing)
        return None
    return existing


def _prepare(planned: plan.DeploymentPlan, package: Package, connection: Connection, listener: Listener) -> None:
    listener(Progress("Upload", 0, package.size, package.path.name))
    artifacts.upload(package, connection, listener)
    _call(connection, "create_model", planned.create_model, may_exist=True)
    _call(connection, "create_endpoint_config", planned.create_endpoint_config, may_exist=True)


def _call(connection: Connection, operation: str, request: Mapping[str, Any], *, may_exist: bool = False) -> None:
    """Send one request. What exists under a name that carries its content's digest is the same thing."""
    try:
        with connection.calling():
            getattr(connection.client("sagemaker"), operation)(**request)
    except BackendError as error:
        if not (may_exist and "already existing" in error.message):
            raise


def _done(endpoint: Endpoint, outcome: str, planned: plan.DeploymentPlan, package: Package) -> Endpoint:
    endpoint.outcome = outcome
    gap = planned.image.gap(package.torch) if endpoint.where != LOCAL else ""
    endpoint.notes = (gap,) if gap else ()
    return endpoint
