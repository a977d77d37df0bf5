"""Who refers to what: models and configurations at a place, and what each of them uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sm_magics.errors import AccessDenied, BackendError, EndpointNotFound

from . import created as record
from . import faults
from .connection import Connection

_MOST_LOOKED_AT = 300
"""Up to how many models and configurations of others are looked at, one request each. With more, model data stays."""


@dataclass(frozen=True)
class Others:
    """What all other models and configurations at a place refer to.

    Attributes
    ----------
    models
        Model names, each with the configuration that refers to it.
    data
        S3 URIs of model data, each with the model that refers to it.
    unknown
        Why that is not known, empty where it is.
    """

    models: Mapping[str, str]
    data: Mapping[str, str]
    unknown: str = ""

    @classmethod
    def at(cls, connection: Connection, *, but_configs: Collection[str], but_models: Collection[str]) -> Others:
        """Look at all models and configurations but those that are about to go themselves."""
        configs = [name for name in names(connection, "EndpointConfig") if name not in but_configs]
        models = [name for name in names(connection, "Model") if name not in but_models]
        if len(configs) + len(models) > _MOST_LOOKED_AT:
            return cls({}, {}, f"there are {len(configs) + len(models)} models and configurations that might use it")
        used: dict[str, str] = {}
        for config in configs:
            described = ask(connection, "describe_endpoint_config", EndpointConfigName=config) or {}
            used |= {variant["ModelName"]: config for variant in described.get("ProductionVariants", ())}
        return cls(used, {model_data(connection, model): model for model in models})

    def user_of_model(self, name: str) -> str:
        """Return who else uses a model, as words; empty if nobody does."""
        return f"the configuration {self.models[name]} uses it too" if name in self.models else ""

    def user_of_data(self, uri: str) -> str:
        """Return who else uses model data, as words; empty if nobody does."""
        return self.unknown or (f"the model {self.data[uri]} uses it too" if uri in self.data else "")


def names(connection: Connection, kind: str, **request: str) -> dict[str, str]:
    """Return the names and ARNs of all models, or of all configurations."""
    operation = {"Model": "list_models", "EndpointConfig": "list_endpoint_configs"}[kind]
    with connection.calling():
        pages = connection.client("sagemaker").get_paginator(operation).paginate(**request)
        return {row[f"{kind}Name"]: row[f"{kind}Arn"] for page in pages for row in page[f"{kind}s"]}


def model_data(connection: Connection, model_name: str) -> str:
    """Return the S3 URI of a model's data, empty if it has none or is gone."""
    model = ask(connection, "describe_model", ModelName=model_name) or {}
    return str(model.get("PrimaryContainer", {}).get("ModelDataUrl", ""))


def ask(connection: Connection, operation: str, **request: str) -> dict[str, Any] | None:
    """Return the answer of one operation, None where what it is about does not exist."""
    try:
        with connection.calling():
            answer: dict[str, Any] = getattr(connection.client("sagemaker"), operation)(**request)
            return answer
    except (BackendError, EndpointNotFound) as error:
        if faults.is_missing(error):
            return None
        raise


def tags(connection: Connection, arn: str, created: datetime | None = None) -> Mapping[str, str]:
    """Return the tags of a model, a configuration or an endpoint; those recorded here where it could carry none.

    Parameters
    ----------
    created
        When the endpoint of this ARN was created.
    """
    recorded = record.tags(arn, created)
    try:
        with connection.calling():
            pages = connection.client("sagemaker").get_paginator("list_tags").paginate(ResourceArn=arn)
            return {**recorded, **{tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}}
    except AccessDenied:
        if recorded:
            return recorded
        raise
