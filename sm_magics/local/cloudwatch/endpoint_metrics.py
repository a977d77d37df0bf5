"""What SageMaker measures of endpoints: ``AWS/SageMaker`` by ``EndpointName`` and ``VariantName``.

Names, units and meanings are those of "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch".
"""

from __future__ import annotations

import time
from functools import lru_cache

from .metrics import Metric, Metrics

NAMESPACE = "AWS/SageMaker"


class EndpointMetrics:
    """What the runtime calls for each request, some microseconds each."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def invoked(self, endpoint: str, variant: str, *, status: int, model: float, overhead: float) -> None:
        """Count a request that a container was asked.

        Parameters
        ----------
        status
            The container's HTTP status; 0 if it gave none in time.
        model
            Seconds from the request to the container until its answer, or the answer's first piece.
        overhead
            Seconds that the service took besides.
        """
        failed = status == 0 or status >= 500  # noqa: PLR2004
        refused = 400 <= status < 500  # noqa: PLR2004
        values = (1.0, model * 1e6, overhead * 1e6, float(refused), float(failed), float(refused or failed))
        now = time.time()
        for metric, value in zip(_of_each_request(endpoint, variant), values, strict=True):
            self._metrics.add(metric, value, at=now)

    def set_up(self, endpoint: str, variant: str, seconds: float) -> None:
        """Note how long a serverless endpoint took to start its workers."""
        self._metrics.add(_metric(endpoint, variant, "ModelSetupTime", "Microseconds"), seconds * 1e6)


@lru_cache(maxsize=4096)
def _of_each_request(endpoint: str, variant: str) -> tuple[Metric, ...]:
    latencies = [_metric(endpoint, variant, name, "Microseconds") for name in ("ModelLatency", "OverheadLatency")]
    # Counts are published without a unit.
    errors = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
    return _metric(endpoint, variant, "Invocations"), *latencies, *(_metric(endpoint, variant, name) for name in errors)


def _metric(endpoint: str, variant: str, name: str, unit: str = "None") -> Metric:
    return Metric.of(NAMESPACE, name, {"EndpointName": endpoint, "VariantName": variant}, unit)
