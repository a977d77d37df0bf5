"""Metrics that handlers report through ``context.metrics``: each becomes a line of the log, as in the container.

Same names, checks and lines as ``ts/metrics/metric_cache_abstract.py``, ``metric_cache_yaml_impl.py`` and
``caching_metric.py`` of TorchServe 0.12.0.
"""

from __future__ import annotations

import enum
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_UNITS = {
    "ms": "Milliseconds",
    "s": "Seconds",
    "percent": "Percent",
    "count": "Count",
    "MB": "Megabytes",
    "GB": "Gigabytes",
    "kB": "Kilobytes",
    "B": "Bytes",
    "": "unit",
}
_log = logging.getLogger(__name__)


class MetricTypes(enum.Enum):
    """What a metric's values mean."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Dimension(NamedTuple):
    """What a metric's value is about."""

    name: str
    value: object

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"


class MetricsCacheKeyError(KeyError):
    """There is no such metric."""


class MetricsCacheTypeError(TypeError):
    """An argument is of the wrong type."""


class MetricsCacheValueError(ValueError):
    """A unit is not one of those that fit."""


@dataclass
class Metric:
    """One metric; see `Metrics.add_metric_to_cache`."""

    metric_name: str
    unit: str
    dimension_names: Sequence[str]
    metric_type: MetricTypes

    def add_or_update(self, value: float, dimension_values: Sequence[object] = (), request_id: str = "") -> None:
        """Log a value, or why it is none."""
        dimensions = ",".join(map(str, map(Dimension, self.dimension_names, dimension_values)))
        if len(dimension_values) != len(self.dimension_names):
            wrong = (
                f"Dimension values: {list(dimension_values)} should correspond to Dimension names: "
                f"{list(self.dimension_names)}"
            )
        elif self.metric_type is MetricTypes.COUNTER and value < 0:
            wrong = "Counter metric update value cannot be negative"
        else:
            line = (
                f"[METRICS]{self.metric_name}.{self.unit}:{value}|#{dimensions}|#type:{self.metric_type.name}"
                f"|#hostname:{socket.gethostname()},{int(time.time())}"
            )
            _log.info("%s", f"{line},{request_id}" if request_id else line)
            return
        _log.error(
            "[METRICS]Failed to update metric with name:%s and dimensions: %s with value: %s: %s",
            *(self.metric_name, dimensions, value, wrong),
        )


class Metrics:
    """All metrics of one worker.

    Parameters
    ----------
    model_name
        Added to each metric as the dimension ``ModelName``.

    Attributes
    ----------
    request_ids
        Of the request being answered. Metrics get it as their last part.
    """

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self.request_ids: dict[int, str] = {}
        self._known: dict[tuple[MetricTypes, str], Metric] = {}

    def add_metric(  # noqa: PLR0917 - the order of TorchServe
        self,
        name: str,
        value: float,
        unit: str,
        idx: int | None = None,
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None:
        """Report a value in any unit."""
        self._add(name, value, unit, idx, dimensions, metric_type)

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: Sequence[Dimension] = ()
    ) -> None:
        """Report how much to add to a counter."""
        self._add(name, value, "count", idx, dimensions, MetricTypes.COUNTER)

    def add_time(  # noqa: PLR0917 - the order of TorchServe
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Report a time, in ms or s."""
        if unit not in {"ms", "s"}:
            raise MetricsCacheValueError("the unit for a timed metric should be one of ['ms', 's']")
        self._add(name, value, unit, idx, dimensions, metric_type)

    def add_size(  # noqa: PLR0917 - the order of TorchServe
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Report a size, in B, kB, MB or GB."""
        if unit not in {"B", "kB", "MB", "GB"}:
            raise ValueError("The unit for size based metric is one of ['MB','kB', 'GB', 'B']")
        self._add(name, value, unit, idx, dimensions, metric_type)

    def add_percent(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Report a percentage."""
        self._add(name, value, "percent", idx, dimensions, metric_type)

    def add_error(self, name: str, value: float, dimensions: Sequence[Dimension] = ()) -> None:
        """Report errors. They belong to no request."""
        with_level = _with(dimensions, Dimension("Level", "Error"))
        self._find_or_add(name, "", with_level, MetricTypes.COUNTER).add_or_update(
            value, [dimension.value for dimension in with_level]
        )

    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str,
        dimension_names: Sequence[str] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> Metric:
        """Return a new metric, to report values with ``add_or_update``."""
        for argument, value, kind in (("metric_name", metric_name, str), ("unit", unit, str)):
            if not isinstance(value, kind):
                raise MetricsCacheTypeError(f"`{argument}` must be a str")
        if not isinstance(metric_type, MetricTypes):
            raise MetricsCacheTypeError("`metric_type` must be a MetricTypes enum")
        metric = Metric(metric_name, _UNITS.get(unit, unit), list(dimension_names), metric_type)
        self._known[metric_type, metric_name] = metric
        return metric

    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> Metric:
        """Return a metric that was added; `MetricsCacheKeyError` if there is none."""
        try:
            return self._known[metric_type, metric_name]
        except KeyError:
            raise MetricsCacheKeyError(
                f"Metric of type '{metric_type}' and name '{metric_name}' doesn't exist"
            ) from None

    def _add(  # noqa: PLR0917 - as those that call it
        self, name: str, value: float, unit: str, idx: int | None, dimensions: Sequence[Dimension], kind: MetricTypes
    ) -> None:
        complete = _with(dimensions, Dimension("ModelName", self.model_name), Dimension("Level", "Model"))
        ids = self.request_ids
        request_id = ids[idx] if idx is not None and idx in ids else ",".join(ids.values())
        metric = self._find_or_add(name, unit, complete, kind)
        metric.add_or_update(value, [dimension.value for dimension in complete], request_id)

    def _find_or_add(self, name: str, unit: str, dimensions: Sequence[Dimension], kind: MetricTypes) -> Metric:
        known = self._known.get((kind, name))
        return known or self.add_metric_to_cache(name, unit, [dimension.name for dimension in dimensions], kind)


def _with(dimensions: Sequence[Dimension], *defaults: Dimension) -> list[Dimension]:
    names = {dimension.name for dimension in dimensions}
    return [*dimensions, *(default for default in defaults if default.name not in names)]
