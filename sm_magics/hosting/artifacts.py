"""Model data in S3, uploaded once per content: an object's name is the digest of what it holds."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sm_magics.errors import BackendError, Interrupted, PackagingError, SmMagicsError
from sm_magics.packaging import Package
from sm_magics.packaging.tar.tail import read_index
from sm_magics.progress import Listener, Progress, ignore

from . import faults, unfinished, uploading
from .connection import Connection

PREFIX = "sm_magics"


def location(package: Package, connection: Connection) -> str:
    """Return the S3 URI of a package's model data, ``s3://BUCKET/sm_magics/DIGEST/model.tar.gz``."""
    return f"s3://{connection.bucket}/{PREFIX}/{package.digest}/model.tar.gz"


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def is_there(uri: str, connection: Connection) -> bool:
    """Return whether there is an object at an S3 URI; not where nobody is to know."""
    bucket, key = split(uri)
    with suppress(BackendError), connection.calling():
        connection.client("s3").head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=connection.account)
        return True
    return False


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
    target = uploading.Target(bucket, key, connection.account, connection.settings.kms_key)
    s3, size = connection.client("s3"), package.size
    if _is_there(s3, target, size, connection):
        return False
    _check_size(package)
    if connection.is_local:
        _check(package)
        _ensure_bucket(s3, bucket, connection)
        with connection.calling():
            _hand_over(s3, target, package)
    else:
        _give_up_abandoned(connection)
        try:
            uploading.send(
                package.path,
                size,
                target,
                connection,
                counted=lambda done: listener(Progress("Upload", done, size, package.path.name)),
                confirm=lambda: _check(package),
                head=_head(package, s3, target, connection),
            )
        except OSError as error:
            if error.filename != str(package.path):
                raise
            raise _gone(package) from error
        except KeyboardInterrupt as error:
            raise _interrupted(package, target) from error
    listener(Progress("Upload", size, size, package.path.name))
    return True


def _head(package: Package, s3: Any, target: uploading.Target, connection: Connection) -> uploading.Head | None:
    """Return the object of an earlier archive with the same weights: these need not be sent again."""
    index = read_index(package.path)
    if index is None or index.length < uploading.SMALLEST_PART:
        return None
    for digest in index.before:
        key = f"{PREFIX}/{digest}/model.tar.gz"
        with suppress(BackendError):  # it is gone, or nobody is to know; then all is sent
            with connection.calling():
                size = s3.head_object(**{**target.named, "Key": key})["ContentLength"]
            if size >= index.length:
                return uploading.Head(key, index.length)
    return None


def _give_up_abandoned(connection: Connection) -> None:
    """Have S3 forget the uploads that broke off long ago. They cost money, and nobody sees them."""
    for record in unfinished.abandoned(connection.region):
        with suppress(SmMagicsError):  # a later upload asks again
            uploading.abort(record, connection, connection.account)


def _check(package: Package) -> None:
    """Make sure that the file is the one whose digest the object's name will carry: nobody looks again."""
    if not package.path.exists():
        raise _gone(package)
    if not package.is_unchanged():
        raise _other(package)


def _check_size(package: Package) -> None:
    """Tell at once what can be told at once."""
    try:
        size = package.path.stat().st_size
    except OSError as error:
        raise _gone(package) from error
    if size != package.size:
        raise _other(package)


def _interrupted(package: Package, target: uploading.Target) -> Interrupted:
    told = f"Interrupted: the upload of {package.path.name} was ended"
    if any((started.bucket, started.key) == (target.bucket, target.key) for started in unfinished.listed()):
        return Interrupted(
            f"{told}, but S3 could not be told to forget what had arrived.",
            hint="%sm_deploy    # the same again goes on with it",
        )
    return Interrupted(f"{told}, and nothing half-made is left in S3.", hint="%sm_deploy    # begins it anew")


def _gone(package: Package) -> PackagingError:
    return PackagingError(f"The archive {package.path} is gone.", hint=f"%sm_package {package.source}")


def _other(package: Package) -> PackagingError:
    return PackagingError(
        f"The archive {package.path} is not the one that was packaged.", hint=f"%sm_package {package.source}"
    )


def _is_there(s3: Any, target: uploading.Target, size: int, connection: Connection) -> bool:
    try:
        with connection.calling():
            return bool(s3.head_object(**target.named)["ContentLength"] == size)
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


def _hand_over(s3: Any, target: uploading.Target, package: Package) -> None:
    """PutObject without the bytes: a private header, signed like the rest, names the file."""

    def add_headers(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-sm-magics-file"] = quote(os.fspath(Path(package.path).absolute()))

    s3.meta.events.register("before-call.s3.PutObject", add_headers, unique_id="sm-magics-file")
    try:
        s3.put_object(**target.named)
    finally:
        s3.meta.events.unregister("before-call.s3.PutObject", unique_id="sm-magics-file")
