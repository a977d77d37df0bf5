"""What of a deployment is there already. Nothing here changes anything."""

from __future__ import annotations

from sm_magics.errors import AccessDenied, BackendError, DeploymentError

from . import artifacts, buckets, faults, references, removal
from .connection import Connection
from .endpoints import Endpoint
from .plan import DeploymentPlan, Existing
from .variants import Options


def look(
    planned: DeploymentPlan,
    connection: Connection,
    endpoint: Endpoint | None,
    options: Options,
    *,
    and_superseded: bool = False,
) -> Existing:
    """Return what is there of a plan.

    Parameters
    ----------
    endpoint
        The endpoint of the plan's name, if there is one.
    and_superseded
        Look for what the deployment would take away, too: every model and configuration is asked for what it uses.

    Raises
    ------
    ConfigurationError
        If the bucket cannot be used.
    DeploymentError
        If SageMaker would not update the endpoint to what the plan says.
    """
    status, config_name = (endpoint.status, endpoint.config_name) if endpoint else ("", "")
    if status == "InService" and config_name == planned.config_name:
        return Existing(status, config_name, bucket=True, data=True, model=True, config=True)
    if endpoint and options.serverless and status != "Failed":
        _refuse_conversion(endpoint, connection)
    bucket = planned.archive is None or buckets.exists(connection, may_create=options.create_bucket)
    asked = references.ask
    model = asked(connection, "describe_model", ModelName=planned.model_name) is not None
    config = asked(connection, "describe_endpoint_config", EndpointConfigName=planned.config_name) is not None
    return Existing(
        status,
        config_name,
        bucket=bucket,
        data=bucket and _has_data(planned, connection),
        model=model,
        config=config,
        superseded=_superseded(planned, endpoint) if endpoint and and_superseded else (),
    )


def _has_data(planned: DeploymentPlan, connection: Connection) -> bool:
    if planned.archive is None:
        return True
    bucket, key = artifacts.split(planned.upload)
    try:
        with connection.calling():
            answer = connection.client("s3").head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=connection.account)
    except AccessDenied:
        return False
    except BackendError as error:
        # Without s3:ListBucket, S3 says 403 of an object that is not there.
        if faults.is_missing(error) or error.code == "403":
            return False
        raise
    return bool(answer["ContentLength"] == planned.size)


def _refuse_conversion(endpoint: Endpoint, connection: Connection) -> None:
    # "Create, invoke, update and delete an endpoint", serverless inference, in the SageMaker developer guide.
    config = references.ask(connection, "describe_endpoint_config", EndpointConfigName=endpoint.config_name) or {}
    if any("ServerlessConfig" not in variant for variant in config.get("ProductionVariants", ())):
        raise DeploymentError(
            f"{endpoint.name} runs on instances, and SageMaker does not make such an endpoint serverless.",
            hint=f"%sm_delete {endpoint.name}    # then deploy again; or another --endpoint-name",
        )


def _superseded(planned: DeploymentPlan, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    left = removal.superseded(endpoint, by={planned.config_name, planned.model_name})
    return tuple(row for row in left.rows if row[0] != "endpoint")
