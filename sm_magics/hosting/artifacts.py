"""Model data in S3, uploaded once per content: an object's name is the digest of what it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from boto3.s3.transfer import TransferConfig

from sm_magics.errors import BackendError, PackagingError
from sm_magics.packaging import Package
from sm_magics.progress import Listener, Progress, ignore

from . import faults
from .connection import Connection

PREFIX = "sm_magics"
_MIB = 1024 * 1024


def location(package: Package, connection: Connection) -> str:
    """Return the S3 URI of a package's model data, ``s3://BUCKET/sm_magics/DIGEST/model.tar.gz``."""
    return f"s3://{connection.bucket}/{PREFIX}/{package.digest}/model.tar.gz"


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def upload(package: Package, connection: Connection, listener: Listener = ignore) -> bool:
    """Put a package's archive where `location` says. Return False if it was there already.

    SageMaker on this machine is given the file's path rather than its bytes; it copies the file itself.

    Raises
    ------
    PackagingError
        If the archive is gone, or is no longer the one that was packaged.
    BackendError
        If S3 refuses it.
    """
    bucket, key = split(location(package, connection))
    s3 = connection.client("s3")
    if _is_there(s3, bucket, key, package.size, connection):
        return False
    _check(package)
    size = package.size
    with connection.calling():
        if connection.is_local:
            _ensure_bucket(s3, bucket, connection)
            _hand_over(s3, bucket, key, package)
        else:
            sent = 0

            def count(number: int) -> None:
                nonlocal sent
                sent += number
                listener(Progress("Upload", sent, size))

            s3.upload_file(
                str(package.path),
                bucket,
                key,
                Callback=count,
                Config=TransferConfig(multipart_chunksize=16 * _MIB, multipart_threshold=16 * _MIB),
            )
    listener(Progress("Upload", size, size))
    return True


def _check(package: Package) -> None:
    """Make sure that the file is the one whose digest the object's name will carry: nobody looks again."""
    again = f"%sm_package {package.source}"
    if not package.path.exists():
        raise PackagingError(f"The archive {package.path} is gone.", hint=again)
    if not package.is_unchanged():
        raise PackagingError(f"The archive {package.path} is not the one that was packaged.", hint=again)


def _is_there(s3: Any, bucket: str, key: str, size: int, connection: Connection) -> bool:
    try:
        with connection.calling():
            return bool(s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == size)
    except BackendError as error:
        if faults.is_missing(error):
            return False
        raise


def _ensure_bucket(s3: Any, bucket: str, connection: Connection) -> None:
    try:
        with connection.calling():
            s3.head_bucket(Bucket=bucket)
    except BackendError as error:
        if not faults.is_missing(error):
            raise
        with connection.calling():
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": connection.region})


def _hand_over(s3: Any, bucket: str, key: str, package: Package) -> None:
    """PutObject without the bytes: a private header, signed like the rest, names the file."""

    def add_headers(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-sm-magics-file"] = quote(os.fspath(Path(package.path).absolute()))

    s3.meta.events.register("before-call.s3.PutObject", add_headers, unique_id="sm-magics-file")
    try:
        s3.put_object(Bucket=bucket, Key=key)
    finally:
        s3.meta.events.unregister("before-call.s3.PutObject", unique_id="sm-magics-file")
