"""Endpoints go: what goes is shown first, confirmed as it was shown, and removed in the background."""

from __future__ import annotations

from typing import Any

from sm_magics.hosting import Removal, removal

from . import asking
from .call import Call
from .problems import Problem, Refused, invalid
from .removing import listed


def _shown(plan: Removal, *, artifacts: bool) -> dict[str, Any]:
    return {
        "rows": listed(plan),
        "kept": list(plan.kept),
        "half_made": plan.is_half_made,
        "artifacts": artifacts,
    }


async def _planned(call: Call, *, artifacts: bool) -> Removal:
    place, name = call.place, call.name

    def looked_up() -> Removal:
        plan = removal.of(place.endpoint(name))
        return plan if artifacts or place.is_local else plan.keeping_data()

    return await asking.value(call.state, ("removal", name, artifacts), place, looked_up)


async def planned(call: Call) -> dict[str, Any]:
    """Return what deleting an endpoint would remove."""
    artifacts = call.flag("artifacts")
    return _shown(await _planned(call, artifacts=artifacts), artifacts=artifacts)


async def started(call: Call) -> dict[str, Any]:
    """Begin to delete an endpoint, if what would go is what was confirmed."""
    confirmed = call.body.get("confirmed")
    if not isinstance(confirmed, list):
        raise invalid("confirmed is the list of what goes, as GET removal has it.")
    place, artifacts, flights = call.place, call.flag("artifacts"), call.state.flights
    plan = await _planned(call, artifacts=artifacts)
    if listed(plan) != confirmed:
        raise Refused(
            Problem(
                409,
                "PlanChanged",
                f"What goes with {plan.endpoint.name} is not what was confirmed.",
                more={"plan": _shown(plan, artifacts=artifacts)},
            )
        )

    def when_over() -> None:
        for question in ("endpoints", ("endpoint", plan.endpoint.name), ("removal", plan.endpoint.name, artifacts)):
            flights.stale((question, place))

    return call.state.removals.start(place, plan, when_over).shown()


async def one(call: Call) -> dict[str, Any]:
    """Return how far a deletion is."""
    return call.state.removals.get(call.path["id"]).shown()


async def all_of_them(call: Call) -> dict[str, Any]:
    """Return all deletions that are known, the newest first."""
    return {"removals": [one.shown() for one in call.state.removals.newest_first()]}
