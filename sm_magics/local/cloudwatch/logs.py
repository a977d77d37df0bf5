"""What the workers print, kept as CloudWatch Logs has it: groups of streams of events."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sm_magics.local.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, log_group TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
    UNIQUE (log_group, name)
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, time INTEGER NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_stream ON events (stream, id);
"""

#: Events kept per stream; the oldest go first. A handler that prints in a loop must not fill the disk.
KEPT = 100_000
#: The longest event, in characters (CloudWatch Logs' own limit is 256 KB).
LONGEST = 256 * 1024
#: Characters of lines that are held while they cannot be written; the oldest go first.
MOST_HELD = 16 << 20
#: Bytes of the database from which the oldest events of all streams go.
MOST_STORED = 256 << 20
#: Characters written (and some for each line) after which these limits are looked at again.
TRIM_EVERY = 8 << 20
_OVERHEAD = 50
#: Days that a stream is kept to which nothing is written; looked at when the service starts.
DAYS = 30

_logger = logging.getLogger(__name__)


def milliseconds() -> int:
    """Return the time as CloudWatch Logs counts it: whole milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Stream:
    """One log stream.

    Attributes
    ----------
    first, last
        Times of its first and last event, in milliseconds; None while it has none.
    """

    id: int
    group: str
    name: str
    created: int
    first: int | None
    last: int | None


@dataclass(frozen=True)
class Event:
    """One line. Ids grow with time."""

    id: int
    stream: str
    time: int
    message: str


class Logs:
    """All log groups.

    Parameters
    ----------
    schedule
        Called when lines wait to be written; it has `flush` called a moment later, in the event loop.
    """

    def __init__(self, store: Store, schedule: Callable[[], None]) -> None:
        self._store = store
        self._schedule = schedule
        self._waiting: deque[tuple[int, int, str]] = deque()
        self._since_trim = 0
        self._failing = False
        store.define(_SCHEMA)
        with suppress(sqlite3.Error):
            self._drop_old()
            self._trim()

    def writer(self, group: str, stream: str) -> Callable[[str], None]:
        """Make a stream, if it is not there, and return what appends a line to it (from any thread)."""
        self._store.run(
            "INSERT OR IGNORE INTO streams (log_group, name, created) VALUES (?, ?, ?)", group, stream, milliseconds()
        )
        row = self._store.row("SELECT id FROM streams WHERE log_group = ? AND name = ?", group, stream)
        number: int = row["id"] if row else 0

        def append(line: str) -> None:
            first = not self._waiting
            # SQLite keeps Unicode: half of a surrogate pair is none.
            text = line[:LONGEST].encode("utf-8", "replace").decode()
            self._waiting.append((number, milliseconds(), text))
            if first:
                self._schedule()

        return append

    def flush(self) -> None:
        """Write what waits. Reading does it first, and so does who is about to say that an endpoint failed.

        Does not raise: what cannot be written, to a full disk for example, waits for the next time.
        """
        lines = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        if not lines:
            return
        try:
            self._store.run_many("INSERT INTO events (stream, time, message) VALUES (?, ?, ?)", lines)
        except sqlite3.Error as error:
            if not self._failing:
                _logger.error("Lines of logs cannot be written: %s", error)  # noqa: TRY400 - SQLite says it all
            self._failing = True
            self._hold(lines)
            self._schedule()
            return
        self._failing = False
        self._since_trim += sum(len(text) + _OVERHEAD for _, _, text in lines)
        if self._since_trim >= TRIM_EVERY:
            self._since_trim = 0
            with suppress(sqlite3.Error):
                self._trim()

    def _hold(self, lines: list[tuple[int, int, str]]) -> None:
        room = MOST_HELD
        for line in reversed(lines):
            room -= len(line[2])
            if room < 0:
                break
            self._waiting.appendleft(line)

    def _drop_old(self) -> None:
        """Drop streams of versions long gone. Nobody writes to a stream when the service starts."""
        oldest = milliseconds() - DAYS * 86_400_000
        with self._store.transaction():
            self._store.run(
                "DELETE FROM streams WHERE max(created, coalesce("
                "(SELECT time FROM events WHERE stream = streams.id ORDER BY id DESC LIMIT 1), 0)) < ?",
                oldest,
            )
            self._store.run("DELETE FROM events WHERE stream NOT IN (SELECT id FROM streams)")

    def _trim(self) -> None:
        for row in self._store.rows("SELECT id FROM streams"):
            self._store.run(
                "DELETE FROM events WHERE stream = ?1 AND id <= "
                "(SELECT id FROM events WHERE stream = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                row["id"], KEPT,
            )  # fmt: skip
        while self._store.size() > MOST_STORED:
            first, last = self._store.rows("SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)")[0]
            if first is None:
                break
            self._store.run("DELETE FROM events WHERE id <= ?", first + (last - first) // 8)

    def groups(self) -> list[tuple[str, int, int]]:
        """Return each group's name, time of creation and stored bytes, by name."""
        self.flush()
        rows = self._store.rows(
            "SELECT log_group, min(created), (SELECT coalesce(sum(length(message) + 26), 0) FROM events JOIN streams "
            "AS of ON of.id = stream WHERE of.log_group = streams.log_group) "
            "FROM streams GROUP BY log_group ORDER BY log_group"
        )
        return [tuple(row) for row in rows]

    def streams(self, group: str) -> list[Stream]:
        """Return a group's streams by name; none if there is no such group."""
        self.flush()
        rows = self._store.rows(
            "SELECT id, log_group, name, created, "
            "(SELECT time FROM events WHERE stream = streams.id ORDER BY id LIMIT 1), "
            "(SELECT time FROM events WHERE stream = streams.id ORDER BY id DESC LIMIT 1) "
            "FROM streams WHERE log_group = ? ORDER BY name",
            group,
        )
        return [Stream(*row) for row in rows]

    def events(
        self,
        streams: list[Stream],
        *,
        start: int | None = None,
        end: int | None = None,
        after: int = 0,
        before: int | None = None,
        latest: bool = False,
        limit: int = 10_000,
    ) -> list[Event]:
        """Return up to `limit` events in the order they came.

        Parameters
        ----------
        start, end
            Times from, and up to but not including, in milliseconds.
        after, before
            Ids to stay between.
        latest
            The last `limit` events of those that fit, instead of the first.
        """
        self.flush()
        names = {stream.id: stream.name for stream in streams}
        conditions, values = [f"stream IN ({','.join('?' * len(names))})", "id > ?"], [*names, after]
        for condition, value in (("time >= ?", start), ("time < ?", end), ("id < ?", before)):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        query = f"SELECT id, stream, time, message FROM events WHERE {' AND '.join(conditions)} "  # noqa: S608 - no input
        rows = self._store.rows(query + f"ORDER BY id {'DESC' if latest else 'ASC'} LIMIT ?", *values, limit)
        found = [Event(row["id"], names[row["stream"]], row["time"], row["message"]) for row in rows]
        return found[::-1] if latest else found
