"""Models, endpoint configurations, endpoints and their tags, as rows.

Names differ from one another regardless of case, since ARNs have them in lower case; they keep the case they were given
("the name is case-insensitive in CreateEndpoint, but the case is preserved and must be matched in InvokeEndpoint", AWS
API reference, CreateEndpoint).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .account import Account
from .protocol.errors import Kind, already_exists, bad_token, invalid, not_found
from .protocol.paging import Pages
from .store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    kind TEXT, name TEXT COLLATE NOCASE, arn TEXT NOT NULL UNIQUE, created REAL NOT NULL, modified REAL NOT NULL,
    status TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (kind, name)
);
CREATE INDEX IF NOT EXISTS resources_created ON resources (kind, created, name);
CREATE TABLE IF NOT EXISTS tags (arn TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (arn, key)) WITHOUT ROWID;
"""

_ARN_PART = {
    Kind.MODEL: "model",
    Kind.ENDPOINT_CONFIG: "endpoint-config",
    Kind.ENDPOINT: "endpoint",
    Kind.TRAINING_JOB: "training-job",
}
_COLUMN = {"Name": "name", "CreationTime": "created", "Status": "status"}
_FILTERS = {
    "NameContains": "instr(name, ?)",
    # "Greater than or equal to", and "before" (ListEndpoints, AWS API reference), of what answers say: milliseconds.
    "CreationTimeAfter": "created >= ? - 0.0005",
    "CreationTimeBefore": "created < ? - 0.0005",
    "LastModifiedTimeAfter": "modified >= ? - 0.0005",
    "LastModifiedTimeBefore": "modified < ? - 0.0005",
    "StatusEquals": "status = ?",
}
_MOST_TAGS = 50


@dataclass(frozen=True)
class Resource:
    """One row.

    Attributes
    ----------
    created, modified
        Seconds since the epoch.
    status
        Empty for what has none.
    text
        What its owner keeps about it, as JSON.
    """

    kind: Kind
    name: str
    arn: str
    created: float
    modified: float
    status: str
    text: str

    @cached_property
    def document(self) -> dict[str, Any]:
        """What its owner keeps about it. Lists, and requests to an endpoint, have no need to read it."""
        document: dict[str, Any] = json.loads(self.text)
        return document


class Resources:
    """All resources of SageMaker hosting."""

    def __init__(self, store: Store, account: Account, pages: Pages) -> None:
        self._store = store
        self._account = account
        self._pages = pages
        store.define(_SCHEMA)

    def arn(self, kind: Kind, name: str) -> str:
        """Return the ARN that a resource of that name has, or would have."""
        return self._account.sagemaker_arn(_ARN_PART[kind], name)

    def add(
        self, kind: Kind, name: str, document: Mapping[str, Any], *, tags: Iterable[Mapping[str, str]], status: str = ""
    ) -> str:
        """Add a resource; return its ARN.

        Raises
        ------
        ApiError
            If the name is taken.
        """
        arn = self.arn(kind, name)
        if self.find(kind, name):
            raise already_exists(kind, arn)
        now = time.time()
        with self._store.transaction():
            self._store.run(
                "INSERT INTO resources VALUES (?, ?, ?, ?, ?, ?, ?)",
                kind.name, name, arn, now, now, status, json.dumps(document),
            )  # fmt: skip
            self._set_tags(arn, tags)
        return arn

    def find(self, kind: Kind, name: str) -> Resource | None:
        """Return a resource, or None."""
        row = self._store.row("SELECT * FROM resources WHERE kind = ? AND name = ?", kind.name, name)
        return _resource(row) if row else None

    def get(self, kind: Kind, name: str) -> Resource:
        """Return a resource, or raise ``ValidationException``."""
        found = self.find(kind, name)
        if found is None:
            raise not_found(kind, self.arn(kind, name))
        return found

    def all(self, kind: Kind) -> list[Resource]:
        """Return all resources of a kind."""
        return [_resource(row) for row in self._store.rows("SELECT * FROM resources WHERE kind = ?", kind.name)]

    def change(self, kind: Kind, name: str, *, status: str, document: Mapping[str, Any]) -> None:
        """Replace what is kept about a resource."""
        self._store.run(
            "UPDATE resources SET status = ?, document = ?, modified = ? WHERE kind = ? AND name = ?",
            status, json.dumps(document), time.time(), kind.name, name,
        )  # fmt: skip

    def remove(self, kind: Kind, name: str) -> None:
        """Remove a resource and its tags, or raise ``ValidationException``."""
        arn = self.get(kind, name).arn
        with self._store.transaction():
            self._store.run("DELETE FROM tags WHERE arn = ?", arn)
            self._store.run("DELETE FROM resources WHERE arn = ?", arn)

    def page(self, kind: Kind, operation: str, parameters: dict[str, Any]) -> tuple[list[Resource], str | None]:
        """Return one page of a List operation and the token of the next.

        Raises
        ------
        ApiError
            If the token is not one of this query's.
        """
        column = _COLUMN[parameters.get("SortBy", "CreationTime")]
        order, beyond = ("ASC", ">") if parameters.get("SortOrder") == "Ascending" else ("DESC", "<")
        conditions, values = ["kind = ?"], [kind.name]
        for member, condition in _FILTERS.items():
            if member in parameters:
                conditions.append(condition)
                values.append(parameters[member])
        if token := parameters.get("NextToken"):
            position = self._pages.position(operation, parameters, token)
            if position is None:
                raise bad_token()
            conditions.append(f"({column}, name) {beyond} (?, ?)")
            values.extend(position)
        limit = parameters.get("MaxResults", 10)
        query = (
            f"SELECT * FROM resources WHERE {' AND '.join(conditions)} "  # noqa: S608 - columns from the tables above
            f"ORDER BY {column} {order}, name {order} LIMIT ?"
        )
        rows = self._store.rows(query, *values, limit + 1)
        following = None
        if len(rows) > limit:
            last = rows[limit - 1]
            following = self._pages.token(operation, parameters, [last[column], last["name"]])
        return [_resource(row) for row in rows[:limit]], following

    def tags(self, arn: str) -> list[dict[str, str]]:
        """Return a resource's tags by key, or raise ``ValidationException``."""
        self._require(arn)
        rows = self._store.rows("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", arn)
        return [{"Key": row["key"], "Value": row["value"]} for row in rows]

    def add_tags(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        """Add tags, replacing those of the same keys."""
        self._require(arn)
        with self._store.transaction():
            self._set_tags(arn, tags)
            if len(self.tags(arn)) > _MOST_TAGS:
                raise invalid(f"The number of tags of {arn} would exceed {_MOST_TAGS}.")

    def delete_tags(self, arn: str, keys: Iterable[str]) -> None:
        """Remove tags; those that are not there are passed over."""
        self._require(arn)
        keys = list(keys)
        _require_own(keys)
        self._store.run_many("DELETE FROM tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys])

    def _set_tags(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        rows = [(arn, tag["Key"], tag["Value"]) for tag in tags]
        keys = [key for _, key, _ in rows]
        _require_own(keys)
        if len(set(keys)) < len(keys):
            # Unconfirmed wording ("Tag keys must be unique per resource", AddTags, AWS API reference).
            raise invalid("Duplicate tag keys found.")
        self._store.run_many("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)

    def _require(self, arn: str) -> None:
        if self._store.row("SELECT 1 FROM resources WHERE arn = ?", arn) is None:
            kinds = {part: kind for kind, part in _ARN_PART.items()}
            part = arn.rpartition(":")[2].partition("/")[0]
            raise not_found(kinds[part], arn) if part in kinds else invalid(f'Could not find resource "{arn}".')


def _resource(row: Any) -> Resource:
    return Resource(
        Kind[row["kind"]], row["name"], row["arn"], row["created"], row["modified"], row["status"],
        row["document"],
    )  # fmt: skip


def _require_own(keys: Iterable[str]) -> None:
    """Raise ``ValidationException`` for a tag that only AWS may set or remove (sagemaker-python-sdk issue 1301)."""
    for key in keys:
        if key.lower().startswith("aws:"):
            raise invalid(f"System prefix 'aws:' reserved for AWS usage in tag key: {key}")
