"""How a training job's metrics went: each value that the expressions of its ``MetricDefinitions`` find in its log.

DescribeTrainingJob has the last value of each, and CloudWatch one a minute; the log has all, at any time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from .training import TrainingJob

_WIDEST = 1000
"""Characters of a line that are looked at: of what somebody else's expression does with more, no card waits."""

_MOST = 50_000
"""Lines that are looked at, the last ones."""


def of(job: TrainingJob, lines: Sequence[str]) -> Mapping[str, tuple[float, ...]]:
    """Return the values of each metric, oldest first; of metrics without any, nothing.

    Parameters
    ----------
    lines
        The job's log.
    """
    found: dict[str, tuple[float, ...]] = {}
    for definition in job.raw.get("AlgorithmSpecification", {}).get("MetricDefinitions") or ():
        try:
            expression = re.compile(definition["Regex"])
        except re.error:  # AWS takes what Python does not
            continue
        values = tuple(value for line in lines[-_MOST:] for value in _values(expression, line[:_WIDEST]))
        if values:
            found[definition["Name"]] = values
    return found


def _values(expression: re.Pattern[str], line: str) -> list[float]:
    """Return what the first group matches, as numbers."""
    values = []
    for match in expression.finditer(line):
        try:
            value = float(match.group(1))
        except (IndexError, TypeError, ValueError):
            continue
        values += [value] if math.isfinite(value) else []
    return values
