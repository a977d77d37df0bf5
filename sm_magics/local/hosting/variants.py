"""A production variant of an endpoint: what its configuration and its model say.

An endpoint keeps a snapshot of its configuration and models. What may change later without a new configuration (a
variant's weight, its instances, a serverless variant's concurrency) is changed in that snapshot, so that it says what
is, not what once was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sm_magics.serving.settings import cores

#: ``config``: the request that made the endpoint configuration; ``models``: those that made its models, by name.
Snapshot: TypeAlias = Mapping[str, Any]

#: ``VariantPropertyType`` in UpdateEndpoint, and what it is called in an endpoint configuration.
PROPERTIES = {"DesiredInstanceCount": "InitialInstanceCount", "DesiredWeight": "InitialVariantWeight"}


@dataclass(frozen=True)
class Variant:
    """A production variant with its container.

    Attributes
    ----------
    settings
        The variant as the endpoint configuration has it.
    container
        The container as the model has it.
    """

    settings: Mapping[str, Any]
    container: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The variant's name."""
        return str(self.settings["VariantName"])

    @property
    def weight(self) -> float:
        """How much of the traffic it gets, relative to the others."""
        return float(self.settings["InitialVariantWeight"])

    @property
    def hostname(self) -> str:
        """What AWS's messages call the container."""
        return str(self.container.get("ContainerHostname", "primary"))

    @property
    def repository(self) -> str:
        """The container image's repository: its name without registry, tag and digest."""
        return str(self.container["Image"]).rpartition("/")[2].partition("@")[0].partition(":")[0]

    @property
    def serverless(self) -> Mapping[str, Any] | None:
        """Its ``ServerlessConfig``, None for one that runs on instances."""
        found: Mapping[str, Any] | None = self.settings.get("ServerlessConfig")
        return found

    @property
    def instances(self) -> int:
        """How many instances it runs on. A serverless one counts as one."""
        return int(self.settings.get("InitialInstanceCount", 1))

    @property
    def workers(self) -> int:
        """Worker processes of one instance.

        A serverless variant has one for each request that it may process at a time, as far as there are cores.
        """
        wanted = self.container.get("Environment", {}).get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
        if wanted.isdecimal() and int(wanted) > 0:
            return int(wanted)
        return min(self.serverless["MaxConcurrency"], cores()) if self.serverless else 1

    @property
    def concurrency(self) -> int | None:
        """Requests that it processes at a time before it turns more away; None for no such limit."""
        return int(self.serverless["MaxConcurrency"]) if self.serverless else None


def variants_of(snapshot: Snapshot) -> list[Variant]:
    """Return a snapshot's production variants."""
    return [
        Variant(settings, container_of(snapshot["models"][settings["ModelName"]]))
        for settings in snapshot["config"]["ProductionVariants"]
    ]


def container_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a model's only container."""
    container: Mapping[str, Any] = model.get("PrimaryContainer") or model["Containers"][0]
    return container


def changed(snapshot: Snapshot, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a snapshot with other settings for some variants, by their names."""
    config = snapshot["config"]
    variants = [{**variant, **settings.get(variant["VariantName"], {})} for variant in config["ProductionVariants"]]
    return {**snapshot, "config": {**config, "ProductionVariants": variants}}


def retained(new: Snapshot, old: Snapshot, *, excluded: Collection[str]) -> dict[str, Any]:
    """Return a new snapshot whose variants keep the properties that those of the same name have now.

    Parameters
    ----------
    excluded
        ``VariantPropertyType`` of those that the new snapshot decides.
    """
    members = [member for name, member in PROPERTIES.items() if name not in excluded]
    kept = {
        variant["VariantName"]: {member: variant[member] for member in members if member in variant}
        for variant in old["config"]["ProductionVariants"]
        if "ServerlessConfig" not in variant
    }
    serverless = {v["VariantName"] for v in new["config"]["ProductionVariants"] if "ServerlessConfig" in v}
    return changed(new, {name: settings for name, settings in kept.items() if name not in serverless})
