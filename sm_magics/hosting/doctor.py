"""What deploying needs, looked at one by one: what works, and what to do about what does not. Changes nothing."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from sm_magics.errors import SmMagicsError
from sm_magics.settings import LOCAL, Settings

from . import artifacts, images, leftovers, machine
from .connection import Connection, connect

OK: Literal["ok"] = "ok"
WARNING: Literal["warning"] = "warning"
FAILED: Literal["failed"] = "failed"
SKIPPED: Literal["skipped"] = "skipped"
Status = Literal["ok", "warning", "failed", "skipped"]

_PACKAGES = ("sm_magics", "boto3", "torch", "sagemaker", "sagemaker-core", "jupyterlab", "ipywidgets")


@dataclass(frozen=True)
class Check:
    """One thing that deploying needs.

    Attributes
    ----------
    name
        What: ``credentials``, ``role``, ``bucket``, …
    status
        ``ok``, ``warning``, ``failed``, or ``skipped`` where what it rests on has failed.
    what
        What was seen, in a few words.
    fix
        What to paste, empty where nothing is to be done.
    """

    name: str
    status: Status
    what: str
    fix: str = ""


def examine(settings: Settings) -> tuple[Check, ...]:
    """Return what was found: the versions, this machine, and AWS where a region of it can be told."""
    return tuple(_checks(settings))


def _checks(settings: Settings) -> Iterator[Check]:
    yield _versions()
    yield _machine()
    yield _unfinished()
    # Whatever is set for deploying here: what of AWS can be had is asked for.
    region = "" if settings.region == LOCAL else settings.region
    kind = "ml.m5.large" if settings.instance_type == LOCAL else settings.instance_type
    aws = replace(settings, region=region, instance_type=kind)
    try:
        connection = connect(aws)
    except SmMagicsError as error:
        yield Check("region", WARNING, error.message, error.hint)
        yield from (Check(name, SKIPPED, "no region") for name in ("credentials", "role", "bucket", "image"))
        return
    yield Check("region", OK, connection.region)
    credentials = _tried("credentials", lambda: str(connection.user))
    yield credentials
    if credentials.status != OK:
        yield from (Check(name, SKIPPED, "no credentials") for name in ("SageMaker", "role", "bucket"))
    else:
        yield _tried("SageMaker", lambda: _reached(connection))
        yield _tried("role", lambda: connection.role)
        yield _tried("bucket", lambda: _bucket(connection))
    yield _tried("image", lambda: _image(connection))


def _tried(name: str, look: Callable[[], str]) -> Check:
    """Return a check that is passed if nothing is raised."""
    try:
        return Check(name, OK, look())
    except SmMagicsError as error:
        return Check(name, FAILED, error.message.splitlines()[0], error.hint)


def _versions() -> Check:
    installed = {name: _version(name) for name in _PACKAGES}
    missing = [name for name, version in installed.items() if not version]
    found = [
        f"Python {platform.python_version()}",
        *(f"{name} {version}" for name, version in installed.items() if version),
    ]
    said = " · ".join(found)
    if "torch" in missing:
        return Check("versions", FAILED, f"{said}; no torch", "%pip install torch")
    return Check("versions", OK, said)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _machine() -> Check:
    address = machine.running()
    if address is not None:
        return Check("this machine", OK, f"SageMaker on this machine runs, process {address.pid}")
    return Check("this machine", OK, "SageMaker on this machine does not run; it starts with the first deployment")


def _unfinished() -> Check:
    """Look at what was broken off: in AWS the parts of an upload cost money, and nobody sees them."""
    left = leftovers.known()
    if not left:
        return Check("unfinished", OK, "no deployment or upload from here was broken off")
    names = [f"{one.name} in {one.where}" for one in left.deployments] + [one.uri for one in left.uploads]
    return Check("unfinished", WARNING, f"broken off: {', '.join(names)}", "%sm_delete --unfinished")


def _reached(connection: Connection) -> str:
    with connection.calling():
        connection.client("sagemaker").list_endpoints(MaxResults=1)
    return "endpoints can be listed"


def _bucket(connection: Connection) -> str:
    name = connection.bucket
    with connection.calling():
        connection.client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=connection.account)
    return f"{name}, for models below {artifacts.PREFIX}/"


def _image(connection: Connection) -> str:
    torch = _version("torch").partition("+")[0]
    if not torch:
        return "no torch, so no image"
    image = images.choose(torch, connection.settings, connection.region)
    return " · ".join(filter(None, (image.uri.rpartition("/")[2], image.gap(torch))))
