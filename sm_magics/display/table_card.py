"""A live table of endpoints: one request for each place and round, however many rows there are."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from decimal import Decimal

import ipywidgets

from sm_magics.hosting import Endpoint, cost, endpoints, watching
from sm_magics.hosting.connection import Connection
from sm_magics.hosting.cost import Cost
from sm_magics.progress import Listener

from . import page, render, table, widgets
from .clock import Clock, clock
from .live_card import LiveCard
from .page import Part, Shown
from .table import LOCAL, Listed

_MOST_PRICED = 50
"""Endpoints that are asked what they run on, two requests each."""

_AGED = 10.0
"""Seconds after which ages are written anew."""


@dataclass
class Listing:
    """All endpoints of one place, watched as one thing: its status is what any of them changes."""

    connection: Connection
    endpoints: tuple[Endpoint, ...] = ()
    name: str = "endpoints"
    where: str = ""
    status: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        self._note(self.endpoints)

    def _note(self, found: Sequence[Endpoint]) -> None:
        self.where, self.endpoints = self.connection.where, tuple(found)
        self.status = " ".join(f"{one.name}:{one.status}:{one.modified}" for one in found)

    @property
    def is_moving(self) -> bool:
        """Whether one of them is on its way."""
        return any(one.is_moving for one in self.endpoints)

    def fetch(self) -> Listing:
        """Ask SageMaker for all of them."""
        self._note(endpoints.listed(self.connection))
        return self

    def watch(self, listener: Listener) -> watching.Watch:
        """Have a listener told whenever one of them has another status, one comes or one goes."""
        return watching.watch(self, listener)


class EndpointsTable(LiveCard):
    """The table.

    Parameters
    ----------
    known
        What was found, as it is saved.
    connections
        To the places that answered.
    """

    def __init__(self, known: Listed, connections: Sequence[Connection], shown: Shown, *, ticks: Clock = clock) -> None:
        self._sorts = {
            name: widgets.button(name, f"Sort by {name}", functools.partial(self._sort, name)) for name in table.COLUMNS
        }
        self._priced = {
            (one.where, one.name, one.modified): known.costs[one.where, one.name]
            for one in known.endpoints
            if (one.where, one.name) in known.costs
        }
        self._places = [connection.where for connection in connections]  # in their order, which stays
        super().__init__(known, shown, ticks=ticks)
        self._actions.add_class("sm-sorts")
        self.follow(*(Listing(connection, self._of(connection.where)) for connection in connections))

    @property
    def known(self) -> Listed:
        """What it knows."""
        known: Listed = self._known
        return known

    def pieces(self) -> Sequence[ipywidgets.Widget]:
        """Return the pieces: the buttons that name the columns stand above them."""
        return (self._head.widget, self._actions, self._body.widget)

    def _sort(self, name: str) -> None:
        order = self.known.order.by(name)
        for column, one in self._sorts.items():
            one.description = table.heading(column, order)
        self.learn(order=order)
        self.say(f"Sorted by {name}, {'descending' if order.is_reversed else 'ascending'}")

    def _of(self, where: str) -> tuple[Endpoint, ...]:
        return tuple(one for one in self.known.endpoints if one.where == where)

    def changed(self, seen: Listing) -> None:
        """Learn what there is at one place."""
        with self._lock:
            found = {where: self._of(where) for where in self._places} | {seen.where: seen.endpoints}
            self.learn(endpoints=tuple(one for where in self._places for one in found[where]), trouble=("", ""))
        self._clock.add(self)

    def look_up(self, now: float) -> float:  # noqa: ARG002 - ages go by the clock on the wall
        """Look up what is not known of their cost, and let the ages go on."""
        moment = datetime.now(timezone.utc)
        costs: dict[tuple[str, str], Cost] = {}
        for one in [one for one in self.known.endpoints if one.where != LOCAL][:_MOST_PRICED]:
            key = (one.where, one.name, one.modified)
            if key not in self._priced:
                self._priced[key] = cost.of(replace(one))
            costs[one.where, one.name] = _until(self._priced[key], one.created, moment)
        self.learn(costs=costs)
        return _AGED

    def head(self, now: datetime) -> Part:  # noqa: ARG002 - it has no age itself
        """Return how many there are, and where."""
        state, what = table.summary(self.known)
        sign = page.sign(state, "◐" if state == page.BUSY else "●")
        html = f'<p class="sm-head">{sign.html} <b>endpoints</b> {page.dim(what).html}</p>'
        return Part(html, f"{sign.text} endpoints · {what}")

    def body(self) -> list[Part]:
        """Return the rows."""
        return table.parts(self.known, datetime.now(timezone.utc), is_live=True)

    def buttons(self) -> Sequence[ipywidgets.Widget]:
        """Return the names of the columns."""
        for kind, fits in (("sm-many", self.known.is_in_aws), ("sm-few", not self.known.is_in_aws)):
            (self._actions.add_class if fits else self._actions.remove_class)(kind)
        return [self._sorts[name] for name in self.known.columns] if self.known.endpoints else []

    def news(self) -> str:
        """Return how many are how, to be said."""
        statuses = Counter(render.status_word(one.status) for one in self.known.endpoints)
        return "endpoints: " + (", ".join(f"{count} {word}" for word, count in statuses.items()) or "none")


def _until(price: Cost, created: datetime | None, now: datetime) -> Cost:
    """Return a cost as it is at a later time: what an hour costs stays the same as long as the endpoint does."""
    if price.per_hour is None or created is None:
        return price
    return replace(price, so_far=price.per_hour * Decimal(max(0.0, (now - created).total_seconds()) / 3600))
