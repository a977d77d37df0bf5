"""The bucket for model data: whether it is there, whose it is, and made only where that was asked for."""

from __future__ import annotations

import json

from sm_magics.errors import BackendError, ConfigurationError

from . import permissions, plan
from .connection import Connection


def exists(connection: Connection, *, may_create: bool = False) -> bool:
    """Return whether the bucket for model data is there, and this account's. Creates nothing.

    Parameters
    ----------
    may_create
        Whether it is no error if it is not there.

    Raises
    ------
    ConfigurationError
        If it is not there, belongs to another account or lies in another region, with the way out.
    """
    name, account = connection.bucket, connection.account
    try:
        with connection.calling():
            # Default names can be guessed: without its owner, somebody else's bucket would be given the model.
            answer = connection.client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=account)
    except BackendError as error:
        if error.code in {"404", "NoSuchBucket"}:
            if may_create or connection.is_local:
                return False
            raise _missing(connection) from error
        if error.code in {"403", "AccessDenied"}:
            raise _refused(connection) from error
        raise
    region = answer.get("BucketRegion") or connection.region
    if region != connection.region:
        raise ConfigurationError(
            f"The bucket {name} ({_source(connection)}) lies in {region}, and SageMaker in {connection.region} "
            "only takes model data from a bucket there.",
            hint=f"--bucket NAME    # one in {connection.region}; or --region {region}",
        )
    return True


def create(connection: Connection) -> None:
    """Create the bucket for model data: private and encrypted, as all new buckets are."""
    request = {"Bucket": connection.bucket, **plan.location(connection.region)}
    with connection.calling():
        connection.client("s3").create_bucket(**request)


def _missing(connection: Connection) -> ConfigurationError:
    return ConfigurationError(
        f"There is no S3 bucket {connection.bucket} ({_source(connection)}).",
        hint="--create-bucket    # creates it; or --bucket NAME of one that is there",
    )


def _refused(connection: Connection) -> ConfigurationError:
    name = connection.bucket
    asked = permissions.Asked("s3", "HeadBucket", {"Bucket": name}, partition=connection.partition)
    return ConfigurationError(
        f"S3 refuses HeadBucket of {name} ({_source(connection)}): it belongs to another account than "
        f"{connection.account}, or {connection.user} lacks this permission:\n"
        f"  {json.dumps(permissions.statement('', asked))}",
        hint="--bucket NAME    # a bucket of this account's",
    )


def _source(connection: Connection) -> str:
    if connection.settings.bucket:
        return "from --bucket, %config SmMagics.bucket or SM_MAGICS_BUCKET"
    return "the SageMaker SDK's default; neither --bucket nor %config SmMagics.bucket names another"
