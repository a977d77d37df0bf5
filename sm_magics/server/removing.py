"""Deletions under way: each on a thread of its own, since AWS takes minutes; a browser asks how far they are."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sm_magics import seen
from sm_magics.errors import SmMagicsError

from . import values
from .problems import INTERNAL, Problem, Refused, of

if TYPE_CHECKING:
    from sm_magics.hosting import Removal

    from .places import Place

_logger = logging.getLogger(__name__)

_MOST_RUNNING = 16
_MOST_KEPT = 20


@dataclass
class Removing:
    """One deletion, under way or over."""

    place: Place
    plan: Removal
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: datetime = field(default_factory=values.now)
    ended: datetime | None = None
    problem: Problem | None = None

    @property
    def state(self) -> str:
        """``running``, ``done`` or ``failed``."""
        if self.ended is None:
            return "running"
        return "failed" if self.problem else "done"

    def shown(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "id": self.id,
            "where": self.place.where,
            "name": self.plan.endpoint.name,
            "state": self.state,
            "endpoint_status": self.plan.endpoint.status,
            "rows": listed(self.plan),
            "started": values.moment(self.started),
            "ended": values.moment(self.ended),
            "problem": self.problem.shown() if self.problem else None,
        }


class Removals:
    """The deletions of this server, those under way and the last ones that are over."""

    def __init__(self) -> None:
        self._all: dict[str, Removing] = {}

    def running(self, where: str, name: str) -> str | None:
        """Return the id of a deletion that is under way, None if there is none."""
        return next(
            (one.id for one in self._running if (one.place.where, one.plan.endpoint.name) == (where, name)), None
        )

    @property
    def _running(self) -> list[Removing]:
        return [one for one in self._all.values() if one.ended is None]

    def start(self, place: Place, plan: Removal, when_over: Callable[[], None]) -> Removing:
        """Remove what a plan names, on a thread of its own: AWS takes minutes."""
        already = self.running(place.where, plan.endpoint.name)
        if already:
            known = self._all[already]
            raise Refused(
                Problem(
                    409,
                    "BeingRemoved",
                    f"{plan.endpoint.name} on {place.shown} is being deleted already.",
                    more={"removal": known.shown()},
                )
            )
        if len(self._running) >= _MOST_RUNNING:
            raise Refused(Problem(503, "Busy", f"{_MOST_RUNNING} endpoints are being deleted already."))
        one = Removing(place, plan)
        self._all[one.id] = one
        for old in [old for old in self._all.values() if old.ended is not None][:-_MOST_KEPT]:
            del self._all[old.id]
        threading.Thread(target=_remove, args=(one, when_over), name="sm_magics-removal", daemon=True).start()
        return one

    def get(self, identifier: str) -> Removing:
        """Return a deletion by its id."""
        try:
            return self._all[identifier]
        except KeyError:
            raise Refused(Problem(404, "RemovalNotFound", "The Jupyter server knows of no such deletion.")) from None

    def newest_first(self) -> list[Removing]:
        """Return all that are known."""
        return sorted(self._all.values(), key=lambda one: one.started, reverse=True)


def _remove(one: Removing, when_over: Callable[[], None]) -> None:
    from sm_magics.hosting import removal

    try:
        removal.remove(one.plan)
        if not one.place.is_local:
            seen.strike_out(one.plan.endpoint.where, one.plan.endpoint.name)
    except Exception as error:  # told to whoever asks
        if not isinstance(error, SmMagicsError):
            _logger.exception("Deleting %s failed.", one.plan.endpoint.name)
        one.problem = of(error) if isinstance(error, SmMagicsError) else INTERNAL
    one.ended = values.now()
    when_over()


def listed(plan: Removal) -> list[dict[str, str]]:
    """Return what goes as JSON has it."""
    return [{"kind": kind, "name": name} for kind, name in plan.rows]
