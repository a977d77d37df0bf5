"""A package to an endpoint in service: created, updated in place, or left as it is because nothing changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sm_magics import seen
from sm_magics.errors import (
    AccessDenied,
    BackendError,
    DeploymentError,
    DeploymentInterrupted,
    EndpointConflictError,
    EndpointFailed,
    EndpointNotFound,
    EndpointTimeout,
    Interrupted,
)
from sm_magics.packaging import Package, Report
from sm_magics.packaging.isolation import isolation_finding
from sm_magics.progress import Listener, Progress, ignore
from sm_magics.settings import LOCAL, Settings

from . import (
    artifacts,
    begun,
    buckets,
    consistency,
    created,
    endpoints,
    existing,
    names,
    plan,
    references,
    removal,
    superseding,
    verifying,
)
from .connection import Connection, connect
from .endpoints import IN_SERVICE, MOVING, Asked, Endpoint
from .variants import DataCapture, Options, Serverless


def deploy(
    package: Package | plan.ModelData,
    endpoint_name: str,
    *,
    settings: Settings | None = None,
    origin: plan.Origin | None = None,
    initial_instance_count: int = 1,
    env: Mapping[str, str] | None = None,
    serverless: Serverless | None = None,
    data_capture: DataCapture | None = None,
    volume_size: int | None = None,
    model_data_download_timeout: int | None = None,
    container_startup_health_check_timeout: int | None = None,
    tags: Mapping[str, str] | None = None,
    create_bucket: bool = False,
    update: bool = False,
    wait: bool = True,
    timeout: float | None = None,
    proof: Report | None = None,
    listener: Listener = ignore,
) -> Endpoint:
    """Deploy a package and return its endpoint.

    An endpoint of that name with the same package and settings is left as it is. One that comes from the same
    notebook is updated in place, and answers all the while; its former model and configuration go once the new one
    is in service.

    Parameters
    ----------
    package
        A package, or model data that lies in S3 already.
    endpoint_name
        Up to 63 letters, digits and hyphens.
    settings
        Where, and on what. Default: this machine.
    origin
        Where the endpoint comes from. Default: the package's directory.
    env
        Environment variables of the container.
    serverless, data_capture, volume_size, model_data_download_timeout, container_startup_health_check_timeout, tags
        See `sm_magics.hosting.variants.Options`.
    create_bucket
        Create the bucket for the model data if it is not there.
    update
        Update the endpoint of that name even if it comes from elsewhere.
    wait
        Return only once it is in service.
    proof
        The package's proof, whose answer to the sample the endpoint's is compared with.

    Raises
    ------
    ConfigurationError
        If no role, bucket or image can be told, or the bucket is not to be used.
    EndpointConflictError
        If the name is somebody else's endpoint, or being deployed to by somebody else at the moment.
    EndpointFailed
        If it does not come up; a failed update has been rolled back by then.
    DeploymentInterrupted
        On Ctrl-C. What was begun goes on and is named.
    """
    options = Options(
        initial_instance_count=initial_instance_count,
        env=env or {},
        serverless=serverless,
        data_capture=data_capture,
        volume_size=volume_size,
        model_data_download_timeout=model_data_download_timeout,
        container_startup_health_check_timeout=container_startup_health_check_timeout,
        tags=tags or {},
        create_bucket=create_bucket,
    )
    connection = connect(settings)
    origin = _origin(package, connection, origin)
    planned = _made(package, endpoint_name, connection, origin, options)
    found = _found(planned, connection, origin, update=update)
    if found is not None and found.status == IN_SERVICE and found.config_name == planned.config_name:
        endpoint = _unchanged(found)
    else:
        with begun.alone(connection.where, endpoint_name) as attempt:
            current = _settled(found)
            planned = replace(planned, existing=existing.look(planned, connection, current, options))
            if planned.is_live and current is not None:
                attempt.end()
                endpoint = _unchanged(current)
            else:
                record = begun.Begun(connection.where, endpoint_name, planned.upload, connection.settings.profile)
                attempt.begin(record)
                endpoint = _asked_for(planned, package, connection, current, listener)
                attempt.begin(replace(record, config_name=planned.config_name))
                # What was there before is in the record until it is cleared away.
                if found is None:
                    attempt.end()
                if wait:
                    _awaited(endpoint, attempt, timeout, listener, has_former=found is not None)
                elif found is not None:
                    superseding.clear_away_then(endpoint, attempt)
    if endpoint.where != LOCAL:
        endpoint.notes = (*planned.notes, *endpoint.notes)
        seen.note(endpoint.where, endpoint.name, endpoint.created.timestamp() if endpoint.created else time.time())
    if wait and isinstance(package, Package):
        endpoint.note_verification(verifying.verify(endpoint, package, proof, listener))
    return endpoint


def _unchanged(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that serves what is asked for already; what an earlier deployment left to do is done."""
    endpoint.outcome = "unchanged"
    left = superseding.clear_away_late(endpoint)
    endpoint.notes = (left,) if left else ()
    return endpoint


def _asked_for(
    planned: plan.DeploymentPlan,
    package: Package | plan.ModelData,
    connection: Connection,
    current: Endpoint | None,
    listener: Listener,
) -> Endpoint:
    """Send what a plan says; return the endpoint on its way."""
    name = planned.endpoint_name
    try:
        _send(planned, package, connection, listener)
    except Interrupted:  # the upload was, and says what is left of it
        raise
    except KeyboardInterrupt as error:
        raise DeploymentInterrupted(
            f"Interrupted before {name} was asked for. What was uploaded stays for the next time.",
            hint=f"%sm_delete {name}    # removes the model and the configuration if they were created",
        ) from error
    is_update = planned.requests[-1].operation == "UpdateEndpoint"
    asked = Asked(planned.config_name, current.modified if is_update and current else None, time.time())
    return Endpoint(
        name,
        connection.where,
        status="Updating" if is_update else "Creating",
        settings=connection.settings,
        asked=asked,
        outcome="updated" if is_update else "created",
    )


def _awaited(
    endpoint: Endpoint, attempt: begun.Attempt, timeout: float | None, listener: Listener, *, has_former: bool
) -> None:
    """Wait until an endpoint is in service, and take away what it served before."""
    try:
        endpoint.wait(timeout, listener)
    except (DeploymentInterrupted, EndpointTimeout):  # it goes on
        if has_former:
            superseding.clear_away_then(endpoint, attempt)
        raise
    except EndpointFailed:
        attempt.go_on(begun.FAILED)
        raise
    left = superseding.clear_away(endpoint, attempt) if has_former else ""
    endpoint.notes = (left,) if left else ()


def prepare(
    package: Package | plan.ModelData,
    endpoint_name: str,
    *,
    settings: Settings | None = None,
    origin: plan.Origin | None = None,
    options: Options | None = None,
    update: bool = False,
) -> plan.DeploymentPlan:
    """Return what `deploy` would send, what is there already and what would go. Changes nothing.

    Raises
    ------
    ConfigurationError, DeploymentError, EndpointConflictError
        As `deploy` does before it sends anything.
    """
    options = options or Options()
    connection = connect(settings)
    origin = _origin(package, connection, origin)
    planned = _made(package, endpoint_name, connection, origin, options)
    found = _found(planned, connection, origin, update=update)
    return replace(planned, existing=existing.look(planned, connection, found, options, and_superseded=True))


def _origin(package: Package | plan.ModelData, connection: Connection, origin: plan.Origin | None) -> plan.Origin:
    if not isinstance(package, Package | plan.ModelData):
        raise DeploymentError(
            f"What is deployed is a Package, not a value of type {type(package).__name__}.",
            hint="deploy(package(model), 'NAME')",
        )
    directory = str(package.model_dir) if isinstance(package, Package) else ""
    return replace(origin or plan.Origin(model_dir=directory), user=connection.user)


def _made(
    package: Package | plan.ModelData, name: str, connection: Connection, origin: plan.Origin, options: Options
) -> plan.DeploymentPlan:
    planned = plan.make(package, name, connection, origin=origin, options=options)
    if planned.create_model.get("EnableNetworkIsolation") and isinstance(package, Package):
        finding = isolation_finding(package)
        if finding:
            raise DeploymentError(finding.message, hint=finding.fix)
    return planned


def _found(
    planned: plan.DeploymentPlan, connection: Connection, origin: plan.Origin, *, update: bool
) -> Endpoint | None:
    """Return the endpoint of the plan's name if there is one, and if it may be updated."""
    name = planned.endpoint_name
    found = endpoints.get(name, connection)
    if found is None:
        return None
    if found.name != name:  # SageMaker finds it all the same, but does not call it
        raise EndpointConflictError(
            f"SageMaker takes {name!r} for {found.name!r}, an endpoint that exists on {found.place}.",
            hint=f"--endpoint-name {found.name}",
        )
    try:
        is_ours = update or origin.owns(references.tags(connection, found.arn, found.created))
    except EndpointNotFound:  # gone since it was found
        return None
    except AccessDenied as error:  # of its tags; and there is no record that says it is ours
        raise AccessDenied(
            f"Whether the endpoint {found.name!r} on {found.place} comes from this notebook cannot be told: "
            f"{error.message}",
            hint=f"--update    # if it may be replaced; or {error.hint}",
            code=error.code,
            operation=error.operation,
        ) from error
    if not is_ours:
        suggestion = names.suggest_name(found.name[:55], "2")
        raise EndpointConflictError(
            f"An endpoint {found.name!r} exists on {found.place}, and it does not come from this notebook.",
            hint=f"--endpoint-name {suggestion}    # or --update to replace what it serves",
        )
    return found


def _settled(found: Endpoint | None) -> Endpoint | None:
    """Wait until an endpoint is one that can be updated, deleted or made anew; return it, None if it is gone."""
    try:
        if found is None or found.status not in MOVING:
            return found
        if found.status == "Deleting":
            removal.wait_until_gone(found)
            return None
        try:
            return found.wait()
        except EndpointFailed:
            return found.fetch()
    except EndpointNotFound:
        return None


def _send(
    planned: plan.DeploymentPlan, package: Package | plan.ModelData, connection: Connection, listener: Listener
) -> None:
    """Send what a plan says, without what is there already."""
    name = planned.endpoint_name
    for request in planned.requests:
        if request.operation == "PutObject" and isinstance(package, Package):
            listener(Progress("Upload", 0, package.size, package.path.name))
            artifacts.upload(package, connection, listener)
        elif request.is_done:
            continue
        elif request.operation == "CreateBucket":
            if not connection.is_local:  # there, the upload creates it
                buckets.create(connection)
        elif request.operation == "DeleteEndpoint":
            removal.delete_endpoint(Endpoint(name, connection.where, settings=connection.settings))
        else:
            if request.operation in {"CreateEndpoint", "UpdateEndpoint"}:
                listener(Progress(request.operation.removesuffix("Endpoint"), note=name))
            _call(request, planned, connection)


_METHODS = {
    "CreateModel": "create_model",
    "CreateEndpointConfig": "create_endpoint_config",
    "CreateEndpoint": "create_endpoint",
    "UpdateEndpoint": "update_endpoint",
}


def _call(request: plan.Request, planned: plan.DeploymentPlan, connection: Connection) -> None:
    """Send one request to SageMaker. What exists under a name that carries its content's digest is the same thing."""
    try:
        _tagged(request, connection)
    except BackendError as error:
        if "already existing" in error.message and request.operation in {"CreateModel", "CreateEndpointConfig"}:
            return
        if "already existing" in error.message or "in-progress" in error.message:
            if _has_begun(planned, connection):
                return
            raise EndpointConflictError(
                f"Another deployment of {planned.endpoint_name} on {planned.place} has begun meanwhile.",
                hint=f"%sm_status {planned.endpoint_name} --wait    # then deploy again",
            ) from error
        raise


def _has_begun(planned: plan.DeploymentPlan, connection: Connection) -> bool:
    """Return whether what was asked for is under way: the answer to a request that was served can be lost."""
    client = connection.client("sagemaker")
    found = consistency.until_known(lambda: client.describe_endpoint(EndpointName=planned.endpoint_name), connection)
    pending = found.get("PendingDeploymentSummary", {}).get("EndpointConfigName")
    return planned.config_name in {found.get("EndpointConfigName"), pending}


def _tagged(request: plan.Request, connection: Connection) -> None:
    """Send a request with its tags; where tags are not allowed, without them, and record what it made."""
    arguments = dict(request.arguments)
    try:
        send = getattr(connection.client("sagemaker"), _METHODS[request.operation])
        consistency.until_known(lambda: send(**arguments), connection)
    except AccessDenied as error:
        if "sagemaker:AddTags" not in error.message or "Tags" not in arguments:
            raise
        _untagged(request.operation, arguments, connection)


def _untagged(operation: str, arguments: dict[str, Any], connection: Connection) -> None:
    client = connection.client("sagemaker")
    tags = {tag["Key"]: tag["Value"] for tag in arguments.pop("Tags")}
    with connection.calling():
        answer: Mapping[str, Any] = getattr(client, _METHODS[operation])(**arguments)
        moment = None
        if operation == "CreateEndpoint":
            moment = client.describe_endpoint(EndpointName=arguments["EndpointName"])["CreationTime"]
    created.note(next(value for key, value in answer.items() if key.endswith("Arn")), tags, moment)
