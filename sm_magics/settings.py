"""One value that says where things go: a flag, else ``%config``, else the environment, else Studio, else a default."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .errors import ConfigurationError

LOCAL = "local"
"""The region, and the instance type, that mean SageMaker on this machine."""

STUDIO_METADATA = Path("/opt/ml/metadata/resource-metadata.json")
"""Where SageMaker Studio says who the notebook runs as (AWS documentation, "Studio resource metadata")."""


@dataclass(frozen=True)
class Settings:
    """Everything about a deployment that is not the model.

    Attributes
    ----------
    instance_type
        ``local`` or an instance type such as ``ml.m5.large``.
    region
        ``local``, the name of an AWS region, or empty: then the instance type decides, and for AWS the
        environment or the profile.
    role
        ARN of the execution role, for AWS.
    bucket
        Name of the S3 bucket for model data. Empty: ``sagemaker-REGION-ACCOUNT``, as the SageMaker SDK has it.
    profile
        AWS profile's name.
    user
        Who deploys, where Studio says it. Empty: whoever the credentials belong to.
    framework_version, py_version, image_uri
        Override what is chosen from the notebook's torch and Python.
    kms_key
        ARN or id of the key that encrypts the uploaded model data, the instances' volumes and captured data.
    subnets, security_group_ids
        Ids separated by commas: the VPC that the containers are reached from and reach out into.
    enable_network_isolation
        Whether the containers reach no network at all.
    """

    instance_type: str = LOCAL
    region: str = ""
    role: str = ""
    bucket: str = ""
    profile: str = ""
    user: str = ""
    framework_version: str = ""
    py_version: str = ""
    image_uri: str = ""
    kms_key: str = ""
    subnets: str = ""
    security_group_ids: str = ""
    enable_network_isolation: bool = False

    @property
    def where(self) -> str:
        """The region: ``local``, an AWS region's name, or empty for AWS's own default."""
        if self.region:
            return self.region
        return LOCAL if self.instance_type == LOCAL else ""

    @property
    def vpc_config(self) -> dict[str, list[str]]:
        """``VpcConfig`` as CreateModel takes it, empty without a VPC.

        Raises
        ------
        ConfigurationError
            If only one half of it is given.
        """
        subnets, groups = _listed(self.subnets), _listed(self.security_group_ids)
        if not subnets and not groups:
            return {}
        if not subnets or not groups:
            given, missing = ("--subnets", "--security-group-ids") if subnets else ("--security-group-ids", "--subnets")
            raise ConfigurationError(
                f"A VPC takes both subnets and security groups; {given} is given alone.",
                hint=f"{missing} {'sg-…' if subnets else 'subnet-…'}    # several are separated by commas",
            )
        return {"SecurityGroupIds": groups, "Subnets": subnets}

    def override(self, **values: Any) -> Settings:
        """Return these settings with those of `values` that say anything (not None, empty or False) in their place."""
        return replace(self, **{name: _read(name, value) for name, value in values.items() if _says(name, value)})


def _says(name: str, value: Any) -> bool:
    return value not in (None, "", False) and _read(name, value) not in ("", False)


def _read(name: str, value: Any) -> Any:
    """Return a setting's value in its type: an environment variable is a string."""
    if name == "enable_network_isolation" and isinstance(value, str):
        return value.strip().lower() in {"1", "true", "yes", "on"}
    return value


def _listed(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def resolve(
    flags: Mapping[str, Any],
    configured: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    studio: Path = STUDIO_METADATA,
) -> Settings:
    """Return the settings that hold, each taken from the first that says anything about it.

    Parameters
    ----------
    flags
        What this command says. Names that are no setting are passed over.
    configured
        What ``%config SmMagics`` says.
    environ
        Variables ``SM_MAGICS_ROLE``, ``SM_MAGICS_BUCKET``, … ; the process's own unless given.
    studio
        The file in which SageMaker Studio names its execution role.
    """
    names = [field.name for field in fields(Settings)]
    environ = os.environ if environ is None else environ
    layers: list[Mapping[str, Any]] = [
        _studio(studio),
        {name: environ.get(f"SM_MAGICS_{name.upper()}") for name in names},
        configured or {},
        flags,
    ]
    settings = Settings()
    for layer in layers:
        settings = settings.override(**{name: layer[name] for name in names if name in layer})
    # An instance type given now decides where, over a region that was only configured.
    if flags.get("instance_type") and not flags.get("region"):
        is_local = flags["instance_type"] == LOCAL
        if is_local or settings.region == LOCAL:
            settings = replace(settings, region=LOCAL if is_local else "")
    return settings


def _studio(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(metadata, dict):
        return {}
    said = {key: value for key, value in metadata.items() if isinstance(value, str)}
    who = [said.get(key, "") for key in ("DomainId", "UserProfileName", "SpaceName")]
    return {"role": said.get("ExecutionRoleArn", ""), "user": "/".join(filter(None, who))}
