"""The service's quotas: instances of one type that all endpoints together may have, and workers that one may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sm_magics.local.protocol.errors import ApiError, instances_exceeded

from .variants import Snapshot, variants_of

#: Each instance has at least one process of its own.
MOST_INSTANCES = 1000
#: Processes of one endpoint, on all its instances: as many as SAGEMAKER_MODEL_SERVER_WORKERS may say.
MOST_WORKERS = 1000


def require_room(wanted: Snapshot, others: Iterable[Snapshot]) -> None:
    """Raise ``ResourceLimitExceeded`` if there would be too many instances of a type, or too many workers.

    Parameters
    ----------
    wanted
        What an endpoint shall consist of.
    others
        What all other endpoints consist of.
    """
    used: Counter[str] = Counter()
    for snapshot in others:
        used += _instances(snapshot)
    for kind, count in _instances(wanted).items():
        if used[kind] + count > MOST_INSTANCES:
            raise instances_exceeded(kind, limit=MOST_INSTANCES, used=used[kind], delta=count)
    workers = sum(variant.instances * variant.workers for variant in variants_of(wanted))
    if workers > MOST_WORKERS:
        raise ApiError(
            "ResourceLimitExceeded",
            f"An endpoint on this machine has at most {MOST_WORKERS} workers; with its instances, and "
            f"SAGEMAKER_MODEL_SERVER_WORKERS for each, this one would have {workers}.",
        )


def _instances(snapshot: Snapshot) -> Counter[str]:
    """Count instances by type. Serverless variants have none."""
    count: Counter[str] = Counter()
    for variant in snapshot["config"]["ProductionVariants"]:
        if "InstanceType" in variant:
            count[variant["InstanceType"]] += variant["InitialInstanceCount"]
    return count
