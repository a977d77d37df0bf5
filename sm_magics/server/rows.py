"""An endpoint as one row: what the list of a place says of it, and what is known about it beyond that.

A list costs one request for a hundred endpoints. What it does not say (instances, price, tags, reason) costs three or
four for each of them, so it is asked once for each state that an endpoint is in, the newest endpoints first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sm_magics import seen
from sm_magics.errors import AccessDenied, EndpointNotFound, SmMagicsError
from sm_magics.hosting import Connection, Endpoint, Origin, cost
from sm_magics.settings import LOCAL

from . import masking, values
from .places import Place

_ROUND = 5.0
"""Seconds in which details are asked for at a time; whoever asks again has the rest asked for."""

_RETRY = 300.0
"""Seconds after which what AWS would not tell is asked for again."""

_PRICE_RETRY = 1800.0
"""Seconds after which a price that was refused is asked for again: most who may not ask never may."""

_USER, _MAKER, _NOTEBOOK = "sm-magics:user", "sm-magics:created-by", "sm-magics:notebook"


@dataclass(frozen=True)
class Details:
    """What is known about one state of an endpoint; None where AWS does not tell."""

    reason: str
    cost: cost.Cost
    instance_count: int | None
    tags: dict[str, str] | None
    when: float = field(default_factory=time.monotonic)

    @property
    def is_lasting(self) -> bool:
        """Whether nothing is missing that might be had later."""
        is_whole = self.tags is not None and (self.cost.per_hour is not None or self.cost.instance_types != "")
        retry = _RETRY if not is_whole else _PRICE_RETRY if self.cost.is_refused else float("inf")
        return time.monotonic() - self.when < retry


class Known:
    """What is known about the endpoints of one place."""

    def __init__(self) -> None:
        self._details: dict[tuple[object, ...], Details] = {}
        self._noted: dict[str, tuple[float, str]] = {}
        self.user: str | None = None

    def details(self, endpoint: Endpoint) -> Details | None:
        """Return what is known about an endpoint in the state that it is in."""
        found = self._details.get(_state(endpoint))
        return found if found is not None and found.is_lasting else None

    def missing(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """Return those that nothing is known about yet."""
        return [endpoint for endpoint in endpoints if self.details(endpoint) is None]

    def learn(self, connect: Callable[[], Connection], endpoints: Sequence[Endpoint], seconds: float = _ROUND) -> None:
        """Ask about endpoints, for some seconds and about one of them at least. Blocks."""
        until = time.monotonic() + seconds
        with suppress(SmMagicsError):  # without it nothing is known to be one's own
            self.user = self.user or tag_of(connect().user)
        for endpoint in endpoints:
            with suppress(EndpointNotFound):  # gone meanwhile, as the next list says
                self._details[_state(endpoint)] = details_of(endpoint)
            if time.monotonic() > until:
                break

    def keep(self, where: str, endpoints: Sequence[Endpoint]) -> None:
        """Forget all but these, and note what they cost, so that a notebook can say so without asking."""
        current = {_state(endpoint) for endpoint in endpoints}
        self._details = {state: details for state, details in self._details.items() if state in current}
        if where != LOCAL:
            self._note(where, endpoints)

    def _note(self, where: str, endpoints: Sequence[Endpoint]) -> None:
        alive: dict[str, tuple[float, str]] = {}
        for endpoint in endpoints:
            if endpoint.created is not None and endpoint.status != "Deleting":
                details = self.details(endpoint)
                price = str(details.cost.per_hour or "") if details else ""
                alive[endpoint.name] = endpoint.created.timestamp(), price
        if alive != self._noted:
            seen.only(where, {name: created for name, (created, _) in alive.items()})
            for name, (created, price) in alive.items():
                if price:
                    seen.note(where, name, created, price)
            self._noted = alive


def _state(endpoint: Endpoint) -> tuple[object, ...]:
    return endpoint.arn, endpoint.created, endpoint.modified, endpoint.status


def tag_of(user: str) -> str:
    """Return a user as tags name them."""
    return Origin(user=user).tags().get(_USER, "")


def details_of(endpoint: Endpoint) -> Details:
    """Return what is to be known about an endpoint; it is fetched. Blocks."""
    endpoint = Endpoint(endpoint.name, endpoint.where, settings=endpoint.settings).fetch()
    counts = [
        variant.get("CurrentInstanceCount") or variant.get("DesiredInstanceCount") for variant in endpoint.variants
    ]
    tags = None
    with suppress(AccessDenied):
        tags = dict(endpoint.tags())
    known = [int(count) for count in counts if count is not None]
    return Details(endpoint.reason, cost.of(endpoint), sum(known) if known else None, tags)


def row(endpoint: Endpoint, details: Details | None, user: str | None, *, root: str, now: datetime) -> dict[str, Any]:
    """Return an endpoint as JSON has it. Looks at the disk whether its notebook is there."""
    tags = details.tags if details else None
    notebook = tags.get(_NOTEBOOK, "") if tags is not None else None
    price = details.cost if details else cost.Cost()
    is_ours = tags.get(_MAKER) == "sm_magics" if tags is not None else None
    return {
        "where": endpoint.where,
        "place": endpoint.place,
        "name": endpoint.name,
        "arn": endpoint.arn,
        "status": endpoint.status,
        "moving": endpoint.is_moving,
        "created": values.moment(endpoint.created),
        "modified": values.moment(endpoint.modified),
        "reason": masking.text(details.reason) if details else None,
        "instance_type": price.instance_types if details else None,
        "instance_count": details.instance_count if details else None,
        "cost_per_hour": values.dollars(price.per_hour),
        # Whole cents: what grows all the time would have each row drawn again with each answer.
        "cost_so_far": values.dollars(so_far(price.per_hour, endpoint.created, now), digits=2),
        "cost_unknown": masking.text(price.unknown),
        "mine": is_ours and tags.get(_USER) == user if tags is not None and user is not None else None,
        "made_here": is_ours,
        "notebook": notebook,
        "notebook_path": values.below(root, notebook) if notebook else None,
    }


def so_far(per_hour: Decimal | None, created: datetime | None, now: datetime) -> Decimal | None:
    """Return what an endpoint has cost since it was created, as if it had always been as it is."""
    if per_hour is None or created is None:
        return None
    return per_hour * Decimal(max(0.0, (now - created).total_seconds())) / 3600


def known_at(known: dict[Place, Known], place: Place) -> Known:
    """Return what is known about the endpoints of a place."""
    return known.setdefault(place, Known())
