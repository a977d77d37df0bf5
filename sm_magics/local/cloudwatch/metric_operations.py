"""The operations of CloudWatch on metrics: what was measured is read, and anybody may add to it.

What is said of a span of time that is none was seen from GetMetricStatistics (telegraf issue 2022, for equal times) and
is in moto's ``cloudwatch/models.py``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.paging import Pages

from .metric_data import data_of
from .metrics import MINUTE, Metric, Metrics, Summary

_LISTED = 500
#: Values in one answer of GetMetricData, and data points of GetMetricStatistics (CloudWatch API reference).
_MOST_VALUES = 100_800
_MOST_POINTS = 1440
_RECENT = 3 * 3600.0
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
#: Other statistics that CloudWatch has ("CloudWatch statistics definitions").
_OTHERS = re.compile(r"(tm|wm|tc|ts|pr)\d*(\.\d+)?|(TM|WM|TC|TS|PR)\(.*\)|IQM", re.IGNORECASE)
_PERCENTILE = re.compile(r"p(100|[0-9]{1,2}(?:\.[0-9]{1,10})?)")
_STATISTICS: Mapping[str, Callable[[Summary], float]] = {
    "SampleCount": lambda summary: summary.count,
    "Average": lambda summary: summary.sum / summary.count,
    "Sum": lambda summary: summary.sum,
    "Minimum": lambda summary: summary.least,
    "Maximum": lambda summary: summary.most,
}


class CloudWatch:
    """The operations by name, each from a request's members to an answer's."""

    def __init__(self, metrics: Metrics, pages: Pages) -> None:
        self._metrics = metrics
        self._pages = pages
        self.operations: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "GetMetricData": self._get_metric_data,
            "GetMetricStatistics": self._get_metric_statistics,
            "ListMetrics": self._list_metrics,
            "PutMetricData": self._put_metric_data,
        }

    def _get_metric_data(self, request: dict[str, Any]) -> dict[str, Any]:
        start, end = request["StartTime"], request["EndTime"]
        if start > end:
            raise _invalid("The parameter EndTime must be greater than StartTime.")
        if start == end:
            raise _invalid("The parameter StartTime must not equal parameter EndTime.")
        queries = request["MetricDataQueries"]
        if len({query["Id"] for query in queries}) < len(queries):
            raise _invalid("Error in expression: the value of the field Id must be unique.")
        newest_first = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        room = min(request.get("MaxDatapoints", _MOST_VALUES), _MOST_VALUES)
        first, offset = self._position("GetMetricData", request, [0, 0])
        results: list[dict[str, Any]] = []
        token = None
        for number, query in enumerate(queries):
            _check(query, number + 1)
            values = self._values(query, start, end)
            if number < first or not query.get("ReturnData", True):
                continue
            times = sorted(values, reverse=newest_first)[offset if number == first else 0 :]
            taken, room = times[:room], room - len(times[:room])
            results.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or query["MetricStat"]["Metric"]["MetricName"],
                    "Timestamps": [float(moment) for moment in taken],
                    "Values": [values[moment] for moment in taken],
                    "StatusCode": "Complete" if len(taken) == len(times) else "PartialData",
                }
            )
            if len(taken) < len(times):
                done = len(taken) + (offset if number == first else 0)
                token = self._pages.token("GetMetricData", request, [number, done])
                break
        return {"MetricDataResults": results, "NextToken": token, "Messages": []}

    def _values(self, query: dict[str, Any], start: float, end: float) -> dict[int, float]:
        asked = query.get("MetricStat")
        if not asked:
            raise _invalid("Metric math and search expressions are not available on this machine.")
        statistic = _statistic(asked["Stat"])
        metric, period = asked["Metric"], _period(asked["Period"])
        for member in ("Namespace", "MetricName"):
            if member not in metric:  # the model requires neither (unconfirmed wording)
                raise _invalid(f"The parameter MetricDataQueries.member.MetricStat.Metric.{member} is required.")
        found = self._found(metric, asked.get("Unit"))
        series = self._metrics.series(found, start // period * period, end, period)
        return {moment: statistic(summary) for moment, summary in series.items()}

    def _get_metric_statistics(self, request: dict[str, Any]) -> dict[str, Any]:
        start, end = request["StartTime"], request["EndTime"]
        if start > end:
            raise _invalid_value("The parameter StartTime must be less than the parameter EndTime.")
        if start == end:
            raise _invalid_value("The parameter StartTime must not equal parameter EndTime.")
        period = _period(request["Period"])
        names = [*request.get("Statistics", []), *request.get("ExtendedStatistics", [])]
        if not names:
            raise ApiError("InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics")
        wanted = {name: _statistic(name) for name in names}
        if (end - start) / period > _MOST_POINTS:
            raise ApiError(
                "InvalidParameterCombination",
                f"You have requested up to {int((end - start) / period):,} datapoints, which exceeds the limit of "
                f"{_MOST_POINTS:,}. You may reduce the datapoints requested by increasing Period, or decreasing the "
                "time range.",
            )
        found = self._found(request, request.get("Unit"))
        series = self._metrics.series(found, start // period * period, end, period)
        unit = found[0].unit if found else "None"
        return {
            "Label": request["MetricName"],
            "Datapoints": [_point(moment, unit, wanted, summary) for moment, summary in series.items()],
        }

    def _list_metrics(self, request: dict[str, Any]) -> dict[str, Any]:
        since = time.time() - _RECENT if request.get("RecentlyActive") else 0.0
        wanted = [(entry["Name"], entry.get("Value")) for entry in request.get("Dimensions", [])]
        found = dict.fromkeys(
            (metric.namespace, metric.name, metric.dimensions)
            for metric in self._metrics.metrics(since)
            if metric.namespace == request.get("Namespace", metric.namespace)
            and metric.name == request.get("MetricName", metric.name)
            and all(any(_fits(have, want) for have in metric.dimensions) for want in wanted)
        )
        (start,) = self._position("ListMetrics", request, [0])
        page = list(found)[start : start + _LISTED]
        more = start + _LISTED < len(found)
        return {
            "Metrics": [
                {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                }
                for namespace, name, dimensions in page
            ],
            "NextToken": self._pages.token("ListMetrics", request, [start + _LISTED]) if more else None,
        }

    def _put_metric_data(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["Namespace"].startswith("AWS/"):
            raise _invalid_value("The value AWS/ for parameter Namespace is invalid.")
        for datum, summary in data_of(request, now=time.time()):
            dimensions = {entry["Name"]: entry["Value"] for entry in datum.get("Dimensions", [])}
            metric = Metric.of(request["Namespace"], datum["MetricName"], dimensions, datum.get("Unit", "None"))
            self._metrics.add_summary(metric, summary, at=datum.get("Timestamp"))
        return {}

    def _found(self, asked: dict[str, Any], unit: str | None) -> list[Metric]:
        dimensions = tuple(sorted((entry["Name"], entry["Value"]) for entry in asked.get("Dimensions", [])))
        return [
            metric
            for metric in self._metrics.metrics()
            if (metric.namespace, metric.name, metric.dimensions)
            == (asked["Namespace"], asked["MetricName"], dimensions)
            and unit in {None, metric.unit}
        ]

    def _position(self, operation: str, request: dict[str, Any], start: list[int]) -> list[int]:
        if "NextToken" not in request:
            return start
        position = self._pages.position(operation, request, request["NextToken"])
        if position is None:
            raise ApiError("InvalidNextToken", "The next token specified is invalid.")
        return position


def _point(
    moment: int, unit: str, wanted: Mapping[str, Callable[[Summary], float]], summary: Summary
) -> dict[str, Any]:
    values = {name: statistic(summary) for name, statistic in wanted.items()}
    extended = {name: value for name, value in values.items() if name not in _STATISTICS}
    plain = {name: value for name, value in values.items() if name in _STATISTICS}
    return {"Timestamp": float(moment), "Unit": unit, **plain, "ExtendedStatistics": extended or None}


def _period(seconds: int) -> int:
    """Return a period that what is kept by the minute can be read in."""
    if seconds in {1, 5, 10, 20, 30}:
        return MINUTE
    if seconds < MINUTE or seconds % MINUTE:
        raise _invalid_value("Period must be 1, 5, 10, 20, 30, or a multiple of 60.")
    return seconds


def _check(query: dict[str, Any], number: int) -> None:
    """Raise ``ValidationError`` for an id or a statistic that is none.

    Seen in telegraf issue 5420 and yet-another-cloudwatch-exporter issue 385.
    """
    name = f"MetricDataQueries.member.{number}"
    if not _ID.fullmatch(query["Id"]):
        raise _invalid(
            f"The value {query['Id']} for parameter {name}.Id is not matching the expected pattern "
            "^[a-z][a-zA-Z0-9_]*$."
        )
    wanted = query.get("MetricStat", {}).get("Stat", "Sum")
    if not (wanted in _STATISTICS or _PERCENTILE.fullmatch(wanted) or _OTHERS.fullmatch(wanted)):
        raise _invalid(f"The value {wanted} for parameter {name}.MetricStat.Stat is not a valid statistic.")


def _statistic(name: str) -> Callable[[Summary], float]:
    if name in _STATISTICS:
        return _STATISTICS[name]
    match = _PERCENTILE.fullmatch(name)
    if not match:
        raise _invalid(f"The statistic {name} is not available on this machine.")
    percent = float(match[1])
    return lambda summary: summary.percentile(percent)


def _fits(have: tuple[str, str], want: tuple[str, str | None]) -> bool:
    return have[0] == want[0] and want[1] in {None, have[1]}


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationError", message)


def _invalid_value(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message)
