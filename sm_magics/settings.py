"""One value that says where things go: a flag, else ``%config``, else the environment, else Studio, else a default."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

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

    @property
    def where(self) -> str:
        """The region: ``local``, an AWS region's name, or empty for AWS's own default."""
        if self.region:
            return self.region
        return LOCAL if self.instance_type == LOCAL else ""

    def override(self, **values: Any) -> Settings:
        """Return these settings with those of `values` that are neither None nor empty in their place."""
        return replace(self, **{name: value for name, value in values.items() if value not in (None, "")})


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
