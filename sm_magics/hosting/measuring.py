"""What CloudWatch has measured of an endpoint lately: how many requests, how long they took, how many failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .endpoints import Endpoint

NAMESPACE = "AWS/SageMaker"
PERIOD = 60
"""Seconds of one value: SageMaker sends its metrics once a minute."""

MINUTES = 60
"""How far back is looked."""

# "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch": names, units and what they count.
_ASKED = {
    "requests": ("Invocations", "Sum"),
    "median": ("ModelLatency", "p50"),
    "slowest": ("ModelLatency", "p99"),
    "refused": ("Invocation4XXErrors", "Sum"),
    "failed": ("Invocation5XXErrors", "Sum"),
}


@dataclass(frozen=True)
class Measured:
    """One endpoint's last hour, all variants together.

    Attributes
    ----------
    requests, errors
        How many in the hour. Errors are answers 4xx and 5xx of the container.
    median, slowest
        ModelLatency in seconds: the median and the 99th percentile of the last minute that had requests; None
        where there was none.
    latencies
        The median of each minute, oldest first, None for minutes without requests; as long as the hour has minutes.
    """

    requests: int = 0
    errors: int = 0
    median: float | None = None
    slowest: float | None = None
    latencies: tuple[float | None, ...] = ()


def recent(endpoint: Endpoint, now: float | None = None) -> Measured:
    """Return what was measured of an endpoint in the last hour.

    Raises
    ------
    BackendError
        If CloudWatch refuses.
    """
    end = time.time() if now is None else now
    start = end - MINUTES * PERIOD
    variants = [str(variant["VariantName"]) for variant in endpoint.variants]
    if not variants:
        return Measured()
    connection = endpoint.connection
    queries = [
        _query(f"{key}_{number}", metric, statistic, endpoint.name, variant)
        for number, variant in enumerate(variants)
        for key, (metric, statistic) in _ASKED.items()
    ]
    found: dict[str, dict[int, float]] = {key: {} for key in _ASKED}
    with connection.calling():
        pages = connection.client("cloudwatch").get_paginator("get_metric_data")
        for page in pages.paginate(
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(start, timezone.utc),
            EndTime=datetime.fromtimestamp(end, timezone.utc),
        ):
            for result in page["MetricDataResults"]:
                key = result["Id"].rpartition("_")[0]
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                    _merge(found[key], int(moment.timestamp()) // PERIOD, value, adds=_ASKED[key][1] == "Sum")
    return _summed(found, int(end) // PERIOD)


def _query(key: str, metric: str, statistic: str, endpoint: str, variant: str) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    return {
        "Id": key,
        "MetricStat": {
            "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
            "Period": PERIOD,
            "Stat": statistic,
        },
    }


def _merge(series: dict[int, float], minute: int, value: float, *, adds: bool) -> None:
    """Add a variant's value to a minute: numbers add up; of percentiles the worse one is what may be said of both."""
    series[minute] = series.get(minute, 0.0) + value if adds else max(series.get(minute, 0.0), value)


def _summed(found: Mapping[str, Mapping[int, float]], last: int) -> Measured:
    latencies = [found["median"].get(last - back) for back in range(MINUTES - 1, -1, -1)]
    newest = max(found["median"], default=None)
    return Measured(
        requests=round(sum(found["requests"].values())),
        errors=round(sum(found["refused"].values()) + sum(found["failed"].values())),
        median=None if newest is None else found["median"][newest] / 1e6,
        slowest=None if newest is None else found["slowest"].get(newest, found["median"][newest]) / 1e6,
        latencies=tuple(None if value is None else value / 1e6 for value in latencies),
    )
