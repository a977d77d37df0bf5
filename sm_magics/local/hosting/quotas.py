"""The service's only quota: instances of one type that all endpoints together may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sm_magics.local.protocol.errors import instances_exceeded

from .variants import Snapshot

#: Each instance has at least one process of its own.
MOST_INSTANCES = 1000


def require_room(wanted: Snapshot, others: Iterable[Snapshot]) -> None:
    """Raise ``ResourceLimitExceeded`` if there would be too many instances of a type.

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


def _instances(snapshot: Snapshot) -> Counter[str]:
    """Count instances by type. Serverless variants have none."""
    count: Counter[str] = Counter()
    for variant in snapshot["config"]["ProductionVariants"]:
        if "InstanceType" in variant:
            count[variant["InstanceType"]] += variant["InitialInstanceCount"]
    return count
