"""The exact requests of a deployment, before any of them is sent."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sm_magics.errors import ConfigurationError
from sm_magics.packaging import Package
from sm_magics.settings import LOCAL

from . import artifacts, images, roles
from .connection import Connection
from .names import check_name, named
from .variants import Options, has_own_storage

ENDPOINT_TAG = "sm-magics:endpoint"
"""Says which endpoint a model or a configuration was made for: it may exist before the endpoint, or after it."""

LOCAL_INSTANCE_TYPE = "ml.m5.large"
"""What stands in a local endpoint's configuration: AWS's API knows no instance type ``local``."""

ENVIRONMENT = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
"""Where the container finds the script in a finished ``model.tar.gz``."""


@dataclass(frozen=True)
class Origin:
    """Where an endpoint comes from; what says whether a notebook may update it.

    Attributes
    ----------
    notebook
        The notebook's path, empty where nothing tells it.
    model_dir
        The directory that the package lies in.
    user
        Who deploys: in Studio everybody's notebooks lie at the same path, each on a disk of their own.
    """

    notebook: str = ""
    model_dir: str = ""
    user: str = ""

    def tags(self) -> dict[str, str]:
        """Return the tags that an endpoint of this origin carries."""
        tags = {
            "sm-magics:created-by": "sm_magics",
            "sm-magics:notebook": _tag_value(self.notebook),
            "sm-magics:model-dir": _tag_value(self.model_dir),
            "sm-magics:user": _tag_value(self.user),
        }
        return {key: value for key, value in tags.items() if value}

    def owns(self, tags: Mapping[str, str]) -> bool:
        """Return whether an endpoint with these tags comes from here."""
        if tags.get("sm-magics:created-by") != "sm_magics":
            return False
        mine = self.tags()
        if tags.get("sm-magics:user") != mine.get("sm-magics:user"):
            return False
        for key in ("sm-magics:notebook", "sm-magics:model-dir"):
            if key in mine and key in tags:  # a notebook run by a tool that does not name it is known by its folder
                return mine[key] == tags[key]
        return False


@dataclass(frozen=True)
class ModelData:
    """A model whose data lies in S3 already, as a container definition has it: what an SDK's own object deploys.

    Attributes
    ----------
    name
        What it is called.
    container
        ``PrimaryContainer``, as CreateModel takes it.
    vpc_config, enable_network_isolation, role
        What the object says of these; empty where it leaves it to the settings.
    """

    name: str
    container: Mapping[str, Any] = field(repr=False)  # with the values of variables
    vpc_config: Mapping[str, Any] = field(default_factory=dict)
    enable_network_isolation: bool = False
    role: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the definition, in hexadecimal. Whether S3 holds the same data as before is not known here."""
        return hashlib.sha256(json.dumps(self.container, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Existing:
    """What is there before anything is sent.

    Attributes
    ----------
    status
        The endpoint's, empty where there is no endpoint of that name.
    config_name
        What the endpoint serves now.
    bucket, data, model, config
        Whether each is there already.
    superseded
        Kind and name of what is removed once the new configuration is in service.
    """

    status: str = ""
    config_name: str = ""
    bucket: bool = False
    data: bool = False
    model: bool = False
    config: bool = False
    superseded: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    """One request of a deployment.

    Attributes
    ----------
    operation
        The API's own word, such as ``CreateModel``.
    arguments
        As boto3 takes them.
    is_done
        Whether it is not sent, since what it would make is there already.
    """

    operation: str
    arguments: Mapping[str, Any] = field(repr=False)  # with the values of variables
    is_done: bool = False


@dataclass(frozen=True)
class DeploymentPlan:
    """What deploying a package to an endpoint will send.

    Attributes
    ----------
    endpoint_name, model_name, config_name
        The last two carry the digest of what they hold, so that nothing collides.
    place, region
        Where, as it is shown and as AWS has it.
    upload
        The S3 URI of the model data.
    image
        The container image, with its versions.
    create_model, create_endpoint_config, create_endpoint
        The three requests, as boto3 takes them.
    archive
        The file to be uploaded, None if the data lies in S3 already.
    size
        Its size in bytes.
    account, profile, is_local
        Whose account, reached by which profile, and whether it is on this machine.
    env
        Names of the container's variables that were given for this deployment, or that the SDK's model carries: their
        values are shown nowhere.
    kms_key
        What the upload is encrypted with, empty for S3's own key.
    notes
        Sentences on what the person should know, such as a version gap.
    existing
        What is there already.
    """

    endpoint_name: str
    model_name: str
    config_name: str
    place: str
    region: str
    upload: str
    image: images.Image
    create_model: dict[str, Any] = field(repr=False)  # with the values of variables
    create_endpoint_config: dict[str, Any]
    create_endpoint: dict[str, Any]
    archive: Path | None = None
    size: int = 0
    account: str = ""
    profile: str = ""
    is_local: bool = False
    env: tuple[str, ...] = ()
    kms_key: str = ""
    notes: tuple[str, ...] = ()
    existing: Existing = Existing()

    @property
    def update_endpoint(self) -> dict[str, Any]:
        """The request that brings an existing endpoint to this plan's configuration."""
        return {"EndpointName": self.endpoint_name, "EndpointConfigName": self.config_name}

    @property
    def tags(self) -> list[dict[str, str]]:
        """The tags that everything created carries."""
        tags: list[dict[str, str]] = self.create_endpoint["Tags"]
        return tags

    @property
    def variant(self) -> dict[str, Any]:
        """The production variant."""
        variant: dict[str, Any] = self.create_endpoint_config["ProductionVariants"][0]
        return variant

    @property
    def is_live(self) -> bool:
        """Whether an endpoint serves exactly this already, so that nothing is sent."""
        return self.existing.status == "InService" and self.existing.config_name == self.config_name

    @property
    def bucket(self) -> str:
        """The bucket that the model data is uploaded to."""
        return artifacts.split(self.upload)[0]

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests that change anything, in their order, with those that are not sent."""
        there, live = self.existing, self.is_live
        bucket, key = artifacts.split(self.upload)
        upload = () if self.archive is None else (
            Request("CreateBucket", {"Bucket": bucket, **location(self.region)}, there.bucket or live),
            Request("PutObject", {"Bucket": bucket, "Key": key}, there.data or live),
        )  # fmt: skip
        # SageMaker updates no endpoint that failed; it can only be made anew.
        anew = (Request("DeleteEndpoint", {"EndpointName": self.endpoint_name}),) if there.status == "Failed" else ()
        is_new = there.status in {"", "Failed", "Deleting"}
        last = (
            Request("CreateEndpoint", self.create_endpoint)
            if is_new
            else Request("UpdateEndpoint", self.update_endpoint, live)
        )
        return (
            *upload,
            Request("CreateModel", self.create_model, there.model or live),
            Request("CreateEndpointConfig", self.create_endpoint_config, there.config or live),
            *anew,
            last,
        )


def location(region: str) -> dict[str, dict[str, str]]:
    """Return where a bucket is created, as CreateBucket takes it: us-east-1 must not be named."""
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}


def make(
    package: Package | ModelData,
    endpoint_name: str,
    connection: Connection,
    *,
    origin: Origin,
    options: Options | None = None,
) -> DeploymentPlan:
    """Return the plan for a package and an endpoint's name. Asks AWS for no more than who the caller is.

    Raises
    ------
    DeploymentError
        If SageMaker would refuse the name or an option.
    ConfigurationError
        If no image, instance type or role can be told.
    """
    options = options or Options()
    settings = connection.settings
    check_name(endpoint_name)
    vpc_config, is_isolated = settings.vpc_config, settings.enable_network_isolation
    role = settings.role
    if isinstance(package, ModelData):
        vpc_config = vpc_config or dict(package.vpc_config)
        is_isolated = is_isolated or package.enable_network_isolation
        role = package.role or role
    instance_type = "" if options.serverless else _instance_type(connection)
    options.check(instance_type, has_vpc=bool(vpc_config), is_isolated=is_isolated)
    role = role or connection.role
    roles.check(role, connection)
    tagged = {**options.tags, **origin.tags(), ENDPOINT_TAG: endpoint_name}
    tags = [{"Key": key, "Value": value} for key, value in sorted(tagged.items())]
    container, image = _container(package, connection, options)
    model = {
        "PrimaryContainer": container,
        "ExecutionRoleArn": role,
        **({"VpcConfig": vpc_config} if vpc_config else {}),
        **({"EnableNetworkIsolation": True} if is_isolated else {}),
    }
    model_name = named(endpoint_name, package.digest[:8], model)
    config = {"ProductionVariants": [options.variant(model_name, instance_type)]}
    notes = [_gap(image, package)]
    if settings.kms_key and not options.serverless:
        if has_own_storage(instance_type):
            notes.append(f"{instance_type} encrypts its own storage: the KMS key is not for it.")
        else:
            config["KmsKeyId"] = settings.kms_key  # type: ignore[assignment]
    if options.data_capture:
        config["DataCaptureConfig"] = options.data_capture.request(connection.bucket, settings.kms_key)  # type: ignore[assignment]
    config_name = named(endpoint_name, package.digest[:8], config)
    return DeploymentPlan(
        endpoint_name=endpoint_name,
        model_name=model_name,
        config_name=config_name,
        place=connection.place,
        region=connection.region,
        upload=str(container.get("ModelDataUrl", "")),
        image=image,
        create_model={"ModelName": model_name, **model, "Tags": tags},
        create_endpoint_config={"EndpointConfigName": config_name, **config, "Tags": tags},
        create_endpoint={"EndpointName": endpoint_name, "EndpointConfigName": config_name, "Tags": tags},
        archive=package.path if isinstance(package, Package) else None,
        size=package.size if isinstance(package, Package) else 0,
        account=connection.account,
        profile=settings.profile,
        is_local=connection.is_local,
        env=tuple(sorted({*options.env, *_carried(package)})),
        kms_key=settings.kms_key,
        notes=tuple(note for note in notes if note and not connection.is_local),
    )


def _container(
    package: Package | ModelData, connection: Connection, options: Options
) -> tuple[dict[str, Any], images.Image]:
    """Return the container's definition, and what is known of its image."""
    if isinstance(package, ModelData):
        container = {**package.container, "Environment": {**package.container.get("Environment", {}), **options.env}}
        image = images.Image(str(container.get("Image", "")))
    else:
        image = images.choose(
            package.torch,
            connection.settings,
            connection.region,
            saved_as=package.saved_as,
            python=package.python,
            serverless=options.serverless is not None,
        )
        # Finished model data needs these two: without an entry point the SageMaker SDK leaves the program empty.
        environment = {**ENVIRONMENT, "SAGEMAKER_REGION": connection.region, **options.env}
        uri = artifacts.location(package, connection)
        container = {"Image": image.uri, "ModelDataUrl": uri, "Environment": environment}
    if connection.is_local:
        container["Environment"]["SM_MAGICS_PYTHON"] = sys.executable
    return container, image


def _carried(package: Package | ModelData) -> set[str]:
    """Return the names of the variables that a model of an SDK carries, without those that say how it is laid out."""
    environment = package.container.get("Environment", {}) if isinstance(package, ModelData) else {}
    return {name for name in environment if not name.startswith("SAGEMAKER_")}


def _gap(image: images.Image, package: Package | ModelData) -> str:
    if isinstance(package, ModelData):
        return ""
    return image.gap(package.torch, package.saved_as, package.python)


def _instance_type(connection: Connection) -> str:
    given = connection.settings.instance_type
    if given != LOCAL:
        return given
    if connection.is_local:
        return LOCAL_INSTANCE_TYPE
    # Nothing that costs money is chosen for anybody.
    raise ConfigurationError(
        f"An endpoint in {connection.where} needs an instance type.",
        hint="--instance-type ml.m5.large    # or --instance-type local, which costs nothing",
    )


def _tag_value(text: str) -> str:
    # The pattern and length of a tag's value, in the SageMaker API reference; a path's end tells most.
    return re.sub(r"[^\w .:/=+\-@]", "_", text)[-256:]
