"""Numbers over time, kept as CloudWatch has them: per metric and minute a summary, fine enough for percentiles."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from sm_magics.local.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS metrics (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL, unit TEXT NOT NULL,
    UNIQUE (namespace, name, dimensions, unit)
);
CREATE TABLE IF NOT EXISTS points (
    metric INTEGER NOT NULL, minute INTEGER NOT NULL, count REAL NOT NULL, sum REAL NOT NULL, least REAL NOT NULL,
    most REAL NOT NULL, histogram TEXT NOT NULL, PRIMARY KEY (metric, minute)
) WITHOUT ROWID;
"""

MINUTE = 60
#: Days that CloudWatch keeps what was measured by the minute.
DAYS = 15
#: How much a bar of the histogram is wider than the one before: percentiles are off by half of it at most.
_GROWTH = math.log(1.02)
#: Summaries that are held while they cannot be written.
_MOST_HELD = 10_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metric:
    """What is measured.

    Attributes
    ----------
    dimensions
        Names and values, sorted.
    unit
        One of CloudWatch's, such as ``Count`` or ``Microseconds``.
    """

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str = "None"

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str], unit: str = "None") -> Metric:
        """Return a metric whose dimensions come in any order."""
        return cls(namespace, name, tuple(sorted(dimensions.items())), unit)


@dataclass
class Summary:
    """What was measured in some time.

    Attributes
    ----------
    histogram
        How many values each bar has; bars are as wide as the values in them are large.
    """

    count: float = 0.0
    sum: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    histogram: dict[int, float] = field(default_factory=dict)

    def add(self, value: float, count: float = 1.0) -> None:
        """Add a value, or one that was measured `count` times."""
        self.count += count
        self.sum += value * count
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        bar = _bar(value)
        self.histogram[bar] = self.histogram.get(bar, 0.0) + count

    def merge(self, other: Summary) -> None:
        """Add what another one has."""
        self.count += other.count
        self.sum += other.sum
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        for bar, count in other.histogram.items():
            self.histogram[bar] = self.histogram.get(bar, 0.0) + count

    def percentile(self, percent: float) -> float:
        """Return the value that `percent` of all values do not exceed, to a percent of itself."""
        rank = percent / 100 * self.count
        for bar in sorted(self.histogram):
            rank -= self.histogram[bar]
            if rank <= 1e-9 * self.count:
                return min(max(_middle(bar), self.least), self.most)
        return self.most


def _bar(value: float) -> int:
    """Return the number of a value's bar: 0 for 0, positive ones for positive values, negative ones for negative."""
    if not value:
        return 0
    # From the smallest number that a float holds, so that it is positive.
    number = 40_000 + math.floor(math.log(abs(value)) / _GROWTH)
    return number if value > 0 else -number


def _middle(bar: int) -> float:
    if not bar:
        return 0.0
    return math.copysign(math.exp((abs(bar) - 40_000 + 0.5) * _GROWTH), bar)


class Metrics:
    """All metrics.

    Parameters
    ----------
    schedule
        Called when something waits to be written; it has `flush` called a moment later, in the event loop.
    """

    def __init__(self, store: Store, schedule: Callable[[], None]) -> None:
        self._store = store
        self._schedule = schedule
        self._waiting: dict[tuple[Metric, int], Summary] = {}
        self._dropped = 0.0
        store.define(_SCHEMA)
        with suppress(sqlite3.Error):
            self._drop_old()

    def add(self, metric: Metric, value: float, *, count: float = 1.0, at: float | None = None) -> None:
        """Add a value, measured now or at a time in seconds since the epoch."""
        self._of(metric, at).add(value, count)

    def add_summary(self, metric: Metric, summary: Summary, *, at: float | None = None) -> None:
        """Add values that come as a summary."""
        self._of(metric, at).merge(summary)

    def _of(self, metric: Metric, at: float | None) -> Summary:
        if not self._waiting:
            self._schedule()
        key = metric, int(time.time() if at is None else at) // MINUTE * MINUTE
        summary = self._waiting.get(key)
        if summary is None:
            summary = self._waiting[key] = Summary()
        return summary

    def flush(self) -> None:
        """Write what waits. Does not raise: what cannot be written waits for the next time."""
        if not self._waiting:
            return
        try:
            with self._store.transaction():
                for (metric, minute), summary in self._waiting.items():
                    self._write(self._id(metric), minute, summary)
                if time.time() > self._dropped + 3600:
                    self._drop_old()
        except sqlite3.Error as error:
            _logger.warning("Metrics cannot be written: %s", error)
            if len(self._waiting) > _MOST_HELD:
                self._waiting.clear()
            self._schedule()
            return
        self._waiting.clear()

    def metrics(self, since: float = 0.0) -> list[Metric]:
        """Return all metrics that were measured since a time, by name."""
        self.flush()
        rows = self._store.rows(
            "SELECT * FROM metrics WHERE EXISTS (SELECT 1 FROM points WHERE metric = id AND minute >= ?) "
            "ORDER BY namespace, name, dimensions",
            since,
        )
        return [
            Metric(row["namespace"], row["name"], tuple(map(tuple, json.loads(row["dimensions"]))), row["unit"])
            for row in rows
        ]

    def series(self, metrics: Iterable[Metric], start: float, end: float, period: int) -> dict[int, Summary]:
        """Return a summary per period, by the second that it begins at; none for one in which nothing was measured."""
        self.flush()
        found: dict[int, Summary] = {}
        for metric in metrics:
            rows = self._store.rows(
                "SELECT * FROM points WHERE metric = ? AND minute >= ? AND minute < ? ORDER BY minute",
                self._id(metric), start, end,
            )  # fmt: skip
            for row in rows:
                found.setdefault(row["minute"] // period * period, Summary()).merge(_summary(row))
        return found

    def _id(self, metric: Metric) -> int:
        values = metric.namespace, metric.name, json.dumps(metric.dimensions), metric.unit
        query = "SELECT id FROM metrics WHERE namespace = ? AND name = ? AND dimensions = ? AND unit = ?"
        row = self._store.row(query, *values)
        if row:
            return int(row["id"])
        return self._store.insert(
            "INSERT INTO metrics (namespace, name, dimensions, unit) VALUES (?, ?, ?, ?)", *values
        )

    def _write(self, metric: int, minute: int, summary: Summary) -> None:
        whole = Summary()
        if row := self._store.row("SELECT * FROM points WHERE metric = ? AND minute = ?", metric, minute):
            whole = _summary(row)
        whole.merge(summary)
        self._store.run(
            "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?, ?)",
            metric, minute, whole.count, whole.sum, whole.least, whole.most, json.dumps(whole.histogram),
        )  # fmt: skip

    def _drop_old(self) -> None:
        self._dropped = time.time()
        self._store.run("DELETE FROM points WHERE minute < ?", self._dropped - DAYS * 86400)
        self._store.run("DELETE FROM metrics WHERE id NOT IN (SELECT metric FROM points)")


def _summary(row: sqlite3.Row) -> Summary:
    histogram = {int(bar): count for bar, count in json.loads(row["histogram"]).items()}
    return Summary(row["count"], row["sum"], row["least"], row["most"], histogram)
