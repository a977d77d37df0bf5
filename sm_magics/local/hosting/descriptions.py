"""What DescribeEndpoint says of an endpoint's row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm_magics.local.resources import Resource

from .variants import Snapshot, container_of

CREATING, UPDATING, DELETING = "Creating", "Updating", "Deleting"
IN_SERVICE, FAILED = "InService", "Failed"

#: Characters of a ``FailureReason`` (its shape in the service model).
_LONGEST_REASON = 1024


def document(
    snapshot: Snapshot, version_id: str, *, created: float, deployment: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what is kept about an endpoint.

    Parameters
    ----------
    created
        When the version came up, in seconds since the epoch.
    deployment
        The last ``DeploymentConfig``.
    """
    return {
        "version": version_id,
        "snapshot": snapshot,
        "deployed": created,
        "deployment": deployment,
        "pending": None,
        "reason": None,
    }


def description(row: Resource) -> dict[str, Any]:
    """Return the members of DescribeEndpoint's answer."""
    document = row.document
    snapshot, pending = document["snapshot"], document["pending"]
    config = snapshot["config"]
    described: dict[str, Any] = {
        "EndpointName": row.name,
        "EndpointArn": row.arn,
        "EndpointConfigName": config["EndpointConfigName"],
        "EndpointStatus": row.status,
        "CreationTime": row.created,
        "LastModifiedTime": row.modified,
        "FailureReason": document["reason"] and document["reason"][:_LONGEST_REASON],
        "LastDeploymentConfig": document.get("deployment"),
        "DataCaptureConfig": _data_capture(config.get("DataCaptureConfig"), serving=row.status != FAILED),
    }
    if row.status in {IN_SERVICE, UPDATING}:
        # A change of weights and capacities names no configuration: its wishes are those of the variants that are.
        desired = pending["snapshot"] if pending and "config" not in pending else snapshot
        deployed = document.get("deployed", row.created)
        described["ProductionVariants"] = _variants(snapshot, desired, deployed)
    if pending and "config" in pending:
        described["PendingDeploymentSummary"] = {
            "EndpointConfigName": pending["config"],
            "StartTime": pending["since"],
            "ProductionVariants": [
                {**_pending(variant), **_images(pending["snapshot"], variant, pending["since"])}
                for variant in pending["snapshot"]["config"]["ProductionVariants"]
            ],
        }
    return described


def _variants(snapshot: Snapshot, desired: Snapshot, deployed: float) -> list[dict[str, Any]]:
    wishes = {variant["VariantName"]: variant for variant in desired["config"]["ProductionVariants"]}
    return [
        {
            "VariantName": variant["VariantName"],
            **_images(snapshot, variant, deployed),
            **{f"Current{name}": value for name, value in _properties(variant).items()},
            **{f"Desired{name}": value for name, value in _properties(wishes[variant["VariantName"]]).items()},
            "RoutingConfig": variant.get("RoutingConfig"),
        }
        for variant in snapshot["config"]["ProductionVariants"]
    ]


def _properties(variant: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Weight": variant["InitialVariantWeight"],
        "InstanceCount": variant.get("InitialInstanceCount"),
        "ServerlessConfig": variant.get("ServerlessConfig"),
    }


def _pending(variant: Mapping[str, Any]) -> dict[str, Any]:
    desired = {f"Desired{name}": value for name, value in _properties(variant).items()}
    return {
        "VariantName": variant["VariantName"],
        **desired,
        "InstanceType": variant.get("InstanceType"),
        "VariantStatus": [{"Status": "Creating"}],
    }


def _images(snapshot: Snapshot, variant: Mapping[str, Any], when: float) -> dict[str, Any]:
    image = container_of(snapshot["models"][variant["ModelName"]])["Image"]
    return {"DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": when}]}


def _data_capture(config: Mapping[str, Any] | None, *, serving: bool) -> dict[str, Any] | None:
    if config is None:
        return None
    enabled = config.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled and serving else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
