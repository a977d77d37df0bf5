"""What PutMetricData brings: checked as a whole before any of it is kept.

Values lie between -2^360 and 2^360 and are none of the special ones, times no more than two weeks ago and two hours
ahead (PutMetricData and MetricDatum, CloudWatch API reference). Messages about values and times were seen in public
reports (moto issue 3880, cloud-custodian issue 2559), those about what excludes what are in moto's
``cloudwatch/models.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sm_magics.local.protocol.errors import ApiError

from .metrics import Summary

_LARGEST = 2.0**360
_PAST, _AHEAD = 14 * 86400.0, 2 * 3600.0


def data_of(request: dict[str, Any], *, now: float) -> list[tuple[dict[str, Any], Summary]]:
    """Return each datum of a request with its values.

    Raises
    ------
    ApiError
        ``InvalidParameterValue`` or ``InvalidParameterCombination`` for the first that cannot be kept.
    """
    named = [(f"MetricData.member.{number}", datum) for number, datum in enumerate(request.get("MetricData", []), 1)]
    for place, entity in enumerate(request.get("EntityMetricData", []), 1):
        for number, datum in enumerate(entity.get("MetricData", []), 1):
            named.append((f"EntityMetricData.member.{place}.MetricData.member.{number}", datum))
    return [(datum, _summary(name, datum, now)) for name, datum in named]


def _summary(name: str, datum: dict[str, Any], now: float) -> Summary:
    if not now - _PAST <= datum.get("Timestamp", now) <= now + _AHEAD:
        raise _invalid(f"The parameter {name}.Timestamp must specify a time within the past two weeks.")
    if given := datum.get("StatisticValues"):
        if "Value" in datum:
            raise ApiError(
                "InvalidParameterCombination",
                f"The parameters {name}.Value and {name}.StatisticValues are mutually exclusive and you have "
                "specified both.",
            )
        return _of_statistics(name, given)
    if "Value" in datum and "Values" in datum:
        raise _invalid(
            f"The parameters {name}.Value and {name}.Values are mutually exclusive and you have specified both."
        )
    values = datum.get("Values", [datum["Value"]] if "Value" in datum else [])
    counts = datum.get("Counts", [1.0] * len(values))
    if not values:
        raise ApiError(
            "InvalidParameterCombination",
            f"One of the parameters {name}.Value, Values and StatisticValues is required.",
        )
    if len(values) != len(counts):
        raise _invalid(f"The parameters {name}.Values and {name}.Counts must be of the same size.")
    _check(f"{name}.{'Values' if 'Values' in datum else 'Value'}", values)
    _check(f"{name}.Counts", counts)
    summary = Summary()
    for value, count in zip(values, counts, strict=True):
        summary.add(value, count)
    return summary


def _of_statistics(name: str, given: dict[str, float]) -> Summary:
    for member, value in given.items():
        _check(f"{name}.StatisticValues.{member}", [value])
    summary = Summary()
    middle = given["Sum"] / given["SampleCount"] if given["SampleCount"] else 0.0
    summary.add(middle, given["SampleCount"])
    summary.sum, summary.least, summary.most = given["Sum"], given["Minimum"], given["Maximum"]
    return summary


def _check(name: str, values: Iterable[float]) -> None:
    for value in values:
        if not -_LARGEST <= value <= _LARGEST:
            written = str(value) if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity"
            raise _invalid(f"The value {written} for parameter {name} is invalid.")


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message)
