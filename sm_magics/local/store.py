"""The service's memory: one SQLite file in its state directory.

Write-ahead logging, one connection, used from the event loop only: a statement takes tens of microseconds, and nothing
is lost or half-written when the process is killed. Each module that keeps something brings its own tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SCHEMA = "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL)"


class Store:
    """A database file.

    Parameters
    ----------
    path
        Made if it is not there, readable by this user alone.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._depth = 0
        self.define(_SCHEMA)

    def define(self, schema: str) -> None:
        """Make tables that are not there yet."""
        self._connection.executescript(schema)

    def widen(self, table: str, **columns: str) -> None:
        """Add columns that a table of an earlier version has not, each with its type and default."""
        there = {row["name"] for row in self.rows(f"PRAGMA table_info({table})")}
        for name, definition in columns.items():
            if name not in there:
                self.define(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")

    def run(self, statement: str, *values: Any, **named: Any) -> int:
        """Execute a statement; return how many rows it changed."""
        return self._connection.execute(statement, named or values).rowcount

    def insert(self, statement: str, *values: Any) -> int:
        """Execute an INSERT; return the new row's id."""
        return self._connection.execute(statement, values).lastrowid or 0

    def run_many(self, statement: str, rows: Iterator[tuple[Any, ...]] | list[tuple[Any, ...]]) -> None:
        """Execute a statement for each row, all or none."""
        with self.transaction():
            self._connection.executemany(statement, rows)

    def rows(self, query: str, *values: Any, **named: Any) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        return self._connection.execute(query, named or values).fetchall()

    def row(self, query: str, *values: Any, **named: Any) -> sqlite3.Row | None:
        """Return the first row of a query."""
        found: sqlite3.Row | None = self._connection.execute(query, named or values).fetchone()
        return found

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside happen entirely or not at all. May be nested."""
        if self._depth:
            yield
            return
        self._depth += 1
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        else:
            self._connection.execute("COMMIT")
        finally:
            self._depth -= 1

    def size(self) -> int:
        """Return how many bytes all that is kept takes in the file. What was deleted leaves room in it for the next."""
        query = (
            "SELECT (page_count - freelist_count) * page_size "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
        return int(self.rows(query)[0][0])

    def state(self) -> Mapping[str, str]:
        """Return all that was kept with `keep`."""
        return {row["key"]: row["value"] for row in self.rows("SELECT key, value FROM state")}

    def keep(self, key: str, value: str) -> None:
        """Keep a value under a name."""
        self.run("INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
