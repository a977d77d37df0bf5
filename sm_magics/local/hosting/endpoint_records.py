"""What is recorded about endpoints, and who waits for a transition to end."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sm_magics.local.protocol.errors import Kind, already_exists, in_progress, invalid
from sm_magics.local.protocol.wire import MAY_HOLD
from sm_magics.local.resources import Resource, Resources

from .descriptions import CREATING, DELETING, IN_SERVICE, UPDATING, description

TRANSITIONS = {CREATING, UPDATING, DELETING}
#: How long and how often DescribeEndpoint waits for a transition to end before it answers, so that a client that polls
#: every half minute sees the end at once. Not more often: progress displays poll too.
_HOLD = 5.0
_HOLDS = 2
#: Seconds until the end of a transition that could not be recorded is recorded again.
_RETRY = 1.0

_logger = logging.getLogger(__name__)


@dataclass
class _Change:
    """Set when the record changes next; `holds` more times DescribeEndpoint waits for that."""

    happened: asyncio.Event = field(default_factory=asyncio.Event)
    holds: int = _HOLDS


class EndpointRecords:
    """The rows of endpoints."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._changes: dict[str, _Change] = {}
        # Each request to an endpoint asks for its status.
        self._statuses = {row.name: row.status for row in self.all()}

    def add(self, name: str, document: Mapping[str, Any], *, tags: Iterable[Mapping[str, str]]) -> str:
        """Record an endpoint that is being created; return its ARN."""
        arn = self._resources.add(Kind.ENDPOINT, name, document, tags=tags, status=CREATING)
        self._statuses[name] = CREATING
        return arn

    def require_none(self, name: str) -> None:
        """Raise ``ValidationException`` if there is an endpoint of that name."""
        if self._resources.find(Kind.ENDPOINT, name):
            raise already_exists(Kind.ENDPOINT, self._resources.arn(Kind.ENDPOINT, name))

    def all(self) -> list[Resource]:
        """Return all endpoints."""
        return self._resources.all(Kind.ENDPOINT)

    def find(self, name: str) -> Resource | None:
        """Return an endpoint, or None."""
        return self._resources.find(Kind.ENDPOINT, name)

    def get(self, name: str) -> Resource:
        """Return an endpoint, or raise ``ValidationException``."""
        return self._resources.get(Kind.ENDPOINT, name)

    def status(self, name: str) -> str:
        """Return an endpoint's status, empty if there is none of that name. Names are told apart by case here."""
        return self._statuses.get(name, "")

    def settled(self, name: str) -> Resource:
        """Return an endpoint that is in no transition, or raise ``ValidationException``."""
        row = self.get(name)
        if row.status in TRANSITIONS:
            raise in_progress(row.arn)
        return row

    def in_service(self, name: str) -> Resource:
        """Return an endpoint that is in service, or raise ``ValidationException``."""
        row = self.settled(name)
        if row.status != IN_SERVICE:
            # Unconfirmed wording. "DeleteEndpoint is the only operation that can be performed on a failed endpoint"
            # (EndpointSummary, AWS API reference).
            raise invalid(f'Cannot update endpoint "{row.arn}" in status {row.status}.')
        return row

    async def describe(self, name: str) -> dict[str, Any]:
        """Return DescribeEndpoint's answer, waiting a little for a transition to end.

        Raises
        ------
        ApiError
            If there is no such endpoint (any more).
        """
        row = self.get(name)
        if row.status in TRANSITIONS and MAY_HOLD.get():
            change = self._changes.setdefault(row.name, _Change())
            if change.holds > 0:
                change.holds -= 1
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(change.happened.wait(), _HOLD)
                row = self.get(name)
        return description(row)

    def set(self, row: Resource, status: str, document: Mapping[str, Any]) -> None:
        """Record a status and what else is known."""
        self._resources.change(Kind.ENDPOINT, row.name, status=status, document=document)
        self._statuses[row.name] = status
        self._tell(row.name)

    async def settle(self, name: str, status: str, **changes: Any) -> None:
        """Record the end of a transition, however long the disk is full."""
        while not self._recorded(name, status, changes):  # noqa: ASYNC110 - no event says that the disk has room
            await asyncio.sleep(_RETRY)

    def remove(self, name: str) -> None:
        """Remove an endpoint, named in its own case."""
        self._resources.remove(Kind.ENDPOINT, name)
        del self._statuses[name]
        self._tell(name)

    def _recorded(self, name: str, status: str, changes: Mapping[str, Any]) -> bool:
        try:
            row = self.get(name)
            self.set(row, status, {**row.document, "pending": None, "reason": None, **changes})
        except sqlite3.Error:
            _logger.exception("That endpoint %s is %s cannot be recorded yet", name, status)
            return False
        return True

    def _tell(self, name: str) -> None:
        if change := self._changes.pop(name, None):
            change.happened.set()
