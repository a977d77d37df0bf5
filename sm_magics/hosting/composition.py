"""What an endpoint is made of: for each production variant its instances, its model and the model's image."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import references
from .endpoints import Endpoint

_VERSIONS = re.compile(r":(?P<torch>\d+(?:\.\d+)+)-\w+-py(?P<major>\d)(?P<minor>\d+)")


@dataclass(frozen=True)
class Variant:
    """One production variant, as its endpoint configuration asked for it.

    Attributes
    ----------
    instance_type, instance_count
        Empty and 0 for a serverless one.
    weight
        Its share of the traffic, from 0 to 1.
    image
        The container image's URI; empty where the model is gone.
    """

    name: str
    instance_type: str = ""
    instance_count: int = 0
    weight: float = 1.0
    image: str = ""

    @property
    def versions(self) -> str:
        """The image's torch and Python, where its tag tells them as SageMaker's own images do."""
        found = _VERSIONS.search(self.image)
        return f"torch {found['torch']} · Python {found['major']}.{found['minor']}" if found else ""


def of(endpoint: Endpoint) -> tuple[Variant, ...]:
    """Return what an endpoint's configuration asks for. Empty where the configuration is gone.

    Raises
    ------
    BackendError
        If SageMaker refuses.
    """
    if not endpoint.config_name:
        endpoint.fetch()
    connection = endpoint.connection
    config = references.ask(connection, "describe_endpoint_config", EndpointConfigName=endpoint.config_name)
    if config is None:
        return ()
    variants = config["ProductionVariants"]
    weights = sum(variant.get("InitialVariantWeight", 1.0) for variant in variants) or 1.0
    found = []
    for variant in variants:
        name = variant.get("ModelName", "")
        model = references.ask(connection, "describe_model", ModelName=name) if name else None
        containers = [model.get("PrimaryContainer", {}), *model.get("Containers", [])] if model else []
        found.append(
            Variant(
                variant["VariantName"],
                variant.get("InstanceType", ""),
                variant.get("InitialInstanceCount", 0),
                variant.get("InitialVariantWeight", 1.0) / weights,
                next((container["Image"] for container in containers if container.get("Image")), ""),
            )
        )
    return tuple(found)
