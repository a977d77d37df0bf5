"""What CreateEndpointConfig takes, and what it refuses.

Where a comment or a docstring names no source, the rule is in AWS's API reference and the wording is unconfirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sm_magics.local.protocol.errors import invalid, serverless_excludes, unsupported

#: Members that ask for what an endpoint on this machine does not do. Refused rather than ignored.
_UNSUPPORTED = (
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "CrossRegionTrafficConfig",
)
_UNSUPPORTED_VARIANT = ("CoreDumpConfig", "InstancePools", "CapacityReservationConfig", "AcceleratorPartitionLayouts")
_ROUTING = {"LEAST_OUTSTANDING_REQUESTS", "RANDOM"}
#: Members of a variant that say something about instances, which a serverless one has not.
_OF_INSTANCES = (
    "InstanceType",
    "InitialInstanceCount",
    "AcceleratorType",
    "VolumeSizeInGB",
    "RoutingConfig",
    "ManagedInstanceScaling",
    "EnableSSMAccess",
    "InferenceAmiVersion",
)
_STEP = 1024


def check(request: dict[str, Any], model: Callable[[str], Mapping[str, Any]]) -> None:
    """Check a request and fill in what it leaves to AWS.

    Parameters
    ----------
    model
        Returns the request that made a model, or raises ``ValidationException``.

    Raises
    ------
    ApiError
        ``ValidationException``.
    """
    for member in _UNSUPPORTED:
        if member in request:
            raise unsupported(f"An endpoint configuration with {member}")
    variants = request["ProductionVariants"]
    if len({variant["VariantName"] for variant in variants}) < len(variants):
        raise invalid("Production variant names must be unique within an endpoint configuration.")
    if request.get("EnableNetworkIsolation") or "VpcConfig" in request:
        # Of terraform-provider-aws pull request 48738: the API takes them for inference components only.
        raise invalid("VpcConfig and EnableNetworkIsolation are only supported for inference component endpoints.")
    for variant in variants:
        if "ModelName" not in variant:
            raise unsupported("A production variant without ModelName, for inference components,")
        _check_variant(variant)
        found = model(variant["ModelName"])
        if "ServerlessConfig" in variant:
            _check_serverless(variant, request, found)
        variant.setdefault("InitialVariantWeight", 1.0)


def _check_variant(variant: Mapping[str, Any]) -> None:
    for member in _UNSUPPORTED_VARIANT:
        if member in variant:
            raise unsupported(f"A production variant with {member}")
    if "ManagedInstanceScaling" in variant:
        # Seen in terraform-provider-aws pull request 45926.
        raise invalid("ManagedInstanceScaling is only supported for inference component endpoints.")
    strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy", "RANDOM")
    if strategy not in _ROUTING:
        raise unsupported(f"RoutingStrategy {strategy}")
    if "ServerlessConfig" not in variant:
        for member in ("InstanceType", "InitialInstanceCount"):
            if member not in variant:
                raise invalid(f"{member} is required for production variant {variant['VariantName']}.")


def _check_serverless(variant: Mapping[str, Any], request: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Check a serverless variant.

    The sizes are those of ``ProductionVariantServerlessConfig`` (AWS API reference); the exclusions those of "Deploy
    models with Amazon SageMaker Serverless Inference" (Developer Guide).
    """
    for member in _OF_INSTANCES:
        if member in variant:
            raise serverless_excludes(member)
    if len(request["ProductionVariants"]) > 1:
        raise serverless_excludes("More than one production variant")
    if request.get("DataCaptureConfig", {}).get("EnableCapture", "DataCaptureConfig" in request):
        raise serverless_excludes("DataCaptureConfig")
    if "VpcConfig" in model:
        raise serverless_excludes("VpcConfig")
    if model.get("EnableNetworkIsolation"):
        raise serverless_excludes("EnableNetworkIsolation")
    config = variant["ServerlessConfig"]
    if config["MemorySizeInMB"] % _STEP:
        raise invalid(
            f"MemorySizeInMB {config['MemorySizeInMB']} is not valid: valid values are in 1 GB increments: 1024 MB, "
            "2048 MB, 3072 MB, 4096 MB, 5120 MB, or 6144 MB."
        )
    check_concurrency(config)


def check_concurrency(config: Mapping[str, Any]) -> None:
    """Raise ``ValidationException`` if a serverless configuration provisions more than it allows."""
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise invalid(
            f"ProvisionedConcurrency {config['ProvisionedConcurrency']} should be less than or equal to MaxConcurrency "
            f"{config['MaxConcurrency']}."
        )


def wished(variant: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a ``DesiredWeightAndCapacity`` asks for.

    Parameters
    ----------
    variant
        The variant as it is.

    Raises
    ------
    ApiError
        ``ValidationException`` if it cannot have them (unconfirmed wordings).
    """
    settings: dict[str, Any] = {}
    serverless = variant.get("ServerlessConfig")
    if "DesiredWeight" in desired:
        settings["InitialVariantWeight"] = desired["DesiredWeight"]
    if "DesiredInstanceCount" in desired:
        if serverless:
            raise serverless_excludes("DesiredInstanceCount")
        if not desired["DesiredInstanceCount"]:
            raise invalid("DesiredInstanceCount 0 is only supported for asynchronous endpoints.")
        settings["InitialInstanceCount"] = desired["DesiredInstanceCount"]
    if "ServerlessUpdateConfig" in desired:
        if not serverless:
            raise invalid(f"Production variant {variant['VariantName']} is not serverless.")
        settings["ServerlessConfig"] = {**serverless, **desired["ServerlessUpdateConfig"]}
        check_concurrency(settings["ServerlessConfig"])
    return settings
