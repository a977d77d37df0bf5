"""SageMaker's hosting operations: what each request means for models, configurations, endpoints and tags.

AWS's words for what it refuses are in ``errors``, with their sources; the wordings that stand here are unconfirmed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from sm_magics.local.protocol.errors import (
    Kind,
    bad_token,
    invalid,
    model_data_not_found,
    repeated_variant,
    unknown_variant,
    unsupported,
)
from sm_magics.local.resources import Resource, Resources
from sm_magics.local.s3.objects import Objects

from . import endpoint_configs
from .endpoints import Endpoints
from .model_data import ModelData

Operation: TypeAlias = Callable[[dict[str, Any]], "dict[str, Any] | Awaitable[dict[str, Any]]"]

#: Members of a container that ask for what an endpoint on this machine does not do. Refused rather than ignored.
_UNSUPPORTED_CONTAINER = ("ModelPackageName", "MultiModelConfig", "AdditionalModelDataSources")


class Hosting:
    """The operations by name, each from a request's members to an answer's."""

    def __init__(self, resources: Resources, endpoints: Endpoints, objects: Objects) -> None:
        self._resources = resources
        self._endpoints = endpoints
        self._objects = objects
        self.operations: Mapping[str, Operation] = {
            "CreateModel": self._create_model,
            "DescribeModel": self._describe_model,
            "ListModels": self._list_models,
            "DeleteModel": self._delete_model,
            "CreateEndpointConfig": self._create_endpoint_config,
            "DescribeEndpointConfig": self._describe_endpoint_config,
            "ListEndpointConfigs": self._list_endpoint_configs,
            "DeleteEndpointConfig": self._delete_endpoint_config,
            "CreateEndpoint": self._create_endpoint,
            "DescribeEndpoint": self._describe_endpoint,
            "ListEndpoints": self._list_endpoints,
            "UpdateEndpoint": self._update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self._update_endpoint_weights_and_capacities,
            "DeleteEndpoint": self._delete_endpoint,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
            # SageMaker SDK 2 asks for an endpoint's (Predictor.list_monitors); nothing can be scheduled here.
            "ListMonitoringSchedules": lambda _request: {"MonitoringScheduleSummaries": []},
        }

    # Models

    def _create_model(self, request: dict[str, Any]) -> dict[str, Any]:
        containers = request.get("Containers", [])
        if ("PrimaryContainer" in request) == bool(containers):
            raise invalid("Exactly one of PrimaryContainer and Containers must be provided.")
        if len(containers) > 1:
            raise unsupported("A model of more than one container")
        self._check_container(containers[0] if containers else request["PrimaryContainer"])
        return {"ModelArn": self._add(Kind.MODEL, "ModelName", request)}

    def _check_container(self, container: Mapping[str, Any]) -> None:
        for member in _UNSUPPORTED_CONTAINER:
            if member in container:
                raise unsupported(f"A container with {member}")
        if container.get("Mode") == "MultiModel":
            raise unsupported("A container of Mode MultiModel")
        if "Image" not in container:
            raise invalid("A container must have an Image.")
        if "ModelDataUrl" in container and "ModelDataSource" in container:
            raise invalid("ModelDataUrl and ModelDataSource are mutually exclusive.")
        _check_source(container.get("ModelDataSource", {}).get("S3DataSource", {}))
        data = ModelData.of(container)
        if not data.exists(self._objects):
            raise model_data_not_found(data.url)

    def _describe_model(self, request: dict[str, Any]) -> dict[str, Any]:
        model = self._resources.get(Kind.MODEL, request["ModelName"])
        return {**model.document, "ModelArn": model.arn, "CreationTime": model.created}

    def _list_models(self, request: dict[str, Any]) -> dict[str, Any]:
        models, token = self._resources.page(Kind.MODEL, "ListModels", request)
        return {"Models": [_summary("Model", model) for model in models], "NextToken": token}

    def _delete_model(self, request: dict[str, Any]) -> dict[str, Any]:
        self._resources.remove(Kind.MODEL, request["ModelName"])
        return {}

    # Endpoint configurations

    def _create_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        endpoint_configs.check(request, lambda name: self._resources.get(Kind.MODEL, name).document)
        return {"EndpointConfigArn": self._add(Kind.ENDPOINT_CONFIG, "EndpointConfigName", request)}

    def _describe_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        config = self._resources.get(Kind.ENDPOINT_CONFIG, request["EndpointConfigName"])
        return {**config.document, "EndpointConfigArn": config.arn, "CreationTime": config.created}

    def _list_endpoint_configs(self, request: dict[str, Any]) -> dict[str, Any]:
        configs, token = self._resources.page(Kind.ENDPOINT_CONFIG, "ListEndpointConfigs", request)
        return {"EndpointConfigs": [_summary("EndpointConfig", config) for config in configs], "NextToken": token}

    def _delete_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        self._resources.remove(Kind.ENDPOINT_CONFIG, request["EndpointConfigName"])
        return {}

    # Endpoints

    def _create_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = self._endpoints.create(
            request["EndpointName"],
            self._snapshot(request["EndpointConfigName"]),
            tags=request.get("Tags", []),
            deployment=_deployment(request),
        )
        return {"EndpointArn": arn}

    async def _describe_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._endpoints.describe(request["EndpointName"])

    def _list_endpoints(self, request: dict[str, Any]) -> dict[str, Any]:
        endpoints, token = self._resources.page(Kind.ENDPOINT, "ListEndpoints", request)
        summaries = [
            {
                **_summary("Endpoint", endpoint),
                "LastModifiedTime": endpoint.modified,
                "EndpointStatus": endpoint.status,
            }
            for endpoint in endpoints
        ]
        return {"Endpoints": summaries, "NextToken": token}

    def _update_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointName"]
        self._resources.get(Kind.ENDPOINT, name)
        excluded = [one["VariantPropertyType"] for one in request.get("ExcludeRetainedVariantProperties", [])]
        arn = self._endpoints.update(
            name,
            self._snapshot(request["EndpointConfigName"]),
            retain=request.get("RetainAllVariantProperties", False),
            excluded=excluded,
            deployment=_deployment(request),
            retain_deployment=request.get("RetainDeploymentConfig", False),
        )
        return {"EndpointArn": arn}

    def _update_endpoint_weights_and_capacities(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointName"]
        config = self._endpoints.snapshot(name)["config"]
        variants = {variant["VariantName"]: variant for variant in config["ProductionVariants"]}
        settings: dict[str, dict[str, Any]] = {}
        for desired in request["DesiredWeightsAndCapacities"]:
            variant = desired["VariantName"]
            if variant in settings:
                raise repeated_variant(variant)
            if variant not in variants:
                raise unknown_variant(variant, config["EndpointConfigName"])
            settings[variant] = endpoint_configs.wished(variants[variant], desired)
        return {"EndpointArn": self._endpoints.change(name, settings)}

    def _delete_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        self._endpoints.delete(request["EndpointName"])
        return {}

    def _snapshot(self, name: str) -> dict[str, Any]:
        """Return a configuration and its models as they are now: an endpoint needs neither row from then on."""
        config = self._resources.get(Kind.ENDPOINT_CONFIG, name).document
        names = [variant["ModelName"] for variant in config["ProductionVariants"]]
        models = {name: self._resources.get(Kind.MODEL, name).document for name in names}
        return {"config": config, "models": models}

    # Tags

    def _add_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        self._resources.add_tags(request["ResourceArn"], request["Tags"])
        return {"Tags": self._resources.tags(request["ResourceArn"])}

    def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        # A resource has at most 50 tags and MaxResults is at least 50: there is never a second page.
        if "NextToken" in request:
            raise bad_token()
        return {"Tags": self._resources.tags(request["ResourceArn"])}

    def _delete_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        self._resources.delete_tags(request["ResourceArn"], request["TagKeys"])
        return {}

    def _add(self, kind: Kind, member: str, request: dict[str, Any]) -> str:
        document = {name: value for name, value in request.items() if name != "Tags"}
        return self._resources.add(kind, request[member], document, tags=request.get("Tags", []))


def _summary(prefix: str, resource: Resource) -> dict[str, Any]:
    return {f"{prefix}Name": resource.name, f"{prefix}Arn": resource.arn, "CreationTime": resource.created}


def _check_source(source: Mapping[str, Any]) -> None:
    """Check an ``S3DataSource`` ("A valid key name prefix always ends with a forward slash", S3ModelDataSource)."""
    for member in ("HubAccessConfig", "ManifestS3Uri"):
        if member in source:
            raise unsupported(f"Model data with {member}")
    if source.get("S3DataType") != "S3Prefix":
        return
    if source["CompressionType"] == "Gzip":
        raise invalid("CompressionType Gzip is not supported for S3DataType S3Prefix.")
    if not source["S3Uri"].endswith("/"):
        raise invalid(f"S3Uri {source['S3Uri']} of S3DataType S3Prefix must end with a forward slash (/).")


def _deployment(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a request's ``DeploymentConfig``, which asks for one way of updating at most."""
    config: dict[str, Any] | None = request.get("DeploymentConfig")
    if config and "BlueGreenUpdatePolicy" in config and "RollingUpdatePolicy" in config:
        raise invalid("BlueGreenUpdatePolicy and RollingUpdatePolicy are mutually exclusive.")
    return config
