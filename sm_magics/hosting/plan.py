"""The exact requests of a deployment, before any of them is sent."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sm_magics.errors import ConfigurationError, DeploymentError
from sm_magics.packaging import Package
from sm_magics.settings import LOCAL

from . import artifacts, images
from .connection import Connection

VARIANT = "AllTraffic"
"""The production variant's name, as the SageMaker SDK has it."""

ENDPOINT_TAG = "sm-magics:endpoint"
"""Says which endpoint a model or a configuration was made for: it may exist before the endpoint, or after it."""

LOCAL_INSTANCE_TYPE = "ml.m5.large"
"""What stands in a local endpoint's configuration: AWS's API knows no instance type ``local``."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # EndpointName in the SageMaker API reference
_NAME_LENGTH = 63


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
class DeploymentPlan:
    """What deploying a package to an endpoint will send.

    Attributes
    ----------
    endpoint_name, model_name, config_name
        The last two carry the digest of what they hold, so that nothing collides.
    upload
        The S3 URI of the model data.
    image
        The container image, with its versions.
    create_model, create_endpoint_config, create_endpoint
        The three requests, as boto3 takes them.
    """

    endpoint_name: str
    model_name: str
    config_name: str
    upload: str
    image: images.Image
    create_model: dict[str, Any]
    create_endpoint_config: dict[str, Any]
    create_endpoint: dict[str, Any]

    @property
    def update_endpoint(self) -> dict[str, Any]:
        """The request that brings an existing endpoint to this plan's configuration."""
        return {"EndpointName": self.endpoint_name, "EndpointConfigName": self.config_name}

    @property
    def tags(self) -> list[dict[str, str]]:
        """The tags that everything created carries."""
        tags: list[dict[str, str]] = self.create_endpoint["Tags"]
        return tags


def make(
    package: Package,
    endpoint_name: str,
    connection: Connection,
    *,
    origin: Origin,
    initial_instance_count: int = 1,
    env: Mapping[str, str] | None = None,
) -> DeploymentPlan:
    """Return the plan for a package and an endpoint's name. Sends nothing but STS GetCallerIdentity.

    Raises
    ------
    DeploymentError
        If SageMaker would refuse the name.
    ConfigurationError
        If no image, instance type or role can be told.
    """
    check_name(endpoint_name)
    settings = connection.settings
    image = images.choose(package.torch, settings, connection.region)
    tagged = {**origin.tags(), ENDPOINT_TAG: endpoint_name}
    tags = [{"Key": key, "Value": value} for key, value in sorted(tagged.items())]
    uri = artifacts.location(package, connection)
    # Finished model data needs these two: without an entry point the SageMaker SDK leaves the program empty.
    environment = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_REGION": connection.region,
        **(env or {}),
    }
    if connection.is_local:
        environment["SM_MAGICS_PYTHON"] = sys.executable
    container = {"Image": image.uri, "ModelDataUrl": uri, "Environment": environment}
    model_name = _named(endpoint_name, package.digest[:8], {**container, "ExecutionRoleArn": connection.role})
    variant = {
        "VariantName": VARIANT,
        "ModelName": model_name,
        "InstanceType": _instance_type(connection),
        "InitialInstanceCount": initial_instance_count,
        "InitialVariantWeight": 1.0,
    }
    config_name = _named(endpoint_name, package.digest[:8], variant)
    return DeploymentPlan(
        endpoint_name=endpoint_name,
        model_name=model_name,
        config_name=config_name,
        upload=uri,
        image=image,
        create_model={
            "ModelName": model_name,
            "PrimaryContainer": container,
            "ExecutionRoleArn": connection.role,
            "Tags": tags,
        },
        create_endpoint_config={"EndpointConfigName": config_name, "ProductionVariants": [variant], "Tags": tags},
        create_endpoint={"EndpointName": endpoint_name, "EndpointConfigName": config_name, "Tags": tags},
    )


def check_name(name: str) -> str:
    """Return the name if SageMaker takes it.

    Raises
    ------
    DeploymentError
        If not, with a name that it would take.
    """
    if is_name(name):
        return name
    raise DeploymentError(
        f"SageMaker takes no endpoint name {name!r}: up to {_NAME_LENGTH} letters, digits and hyphens, "
        "with a letter or digit at both ends.",
        hint=f"--endpoint-name {suggest_name(name) or 'my-endpoint'}",
    )


def is_name(name: str) -> bool:
    """Return whether SageMaker takes a name for an endpoint."""
    return _NAME.fullmatch(name) is not None


def suggest_name(*words: str) -> str:
    """Return a name that SageMaker takes, made of these words; empty if nothing is left of them."""
    slug = "-".join(re.sub(r"[^a-zA-Z0-9]+", "-", word).strip("-") for word in words)
    return re.sub(r"-+", "-", slug).strip("-")[:_NAME_LENGTH].strip("-")


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


def _named(endpoint_name: str, package: str, content: Mapping[str, Any]) -> str:
    """Return a name for a model or a configuration: whose it is, which package, and the digest of its content."""
    # The endpoint's name counts as content: of a long one only the beginning stands in the name.
    text = json.dumps([endpoint_name, content], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{stem(endpoint_name)}-{package}-{digest}"


def stem(endpoint_name: str) -> str:
    """Return what the names of an endpoint's models and configurations begin with."""
    return endpoint_name[: _NAME_LENGTH - 18].rstrip("-")


def _tag_value(text: str) -> str:
    # The pattern and length of a tag's value, in the SageMaker API reference; a path's end tells most.
    return re.sub(r"[^\w .:/=+\-@]", "_", text)[-256:]
