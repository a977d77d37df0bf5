"""Endpoints: all at some places, and one with everything that can be known about it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sm_magics.errors import AccessDenied, BackendError
from sm_magics.hosting import Diagnosis, Endpoint, endpoints, logs, references

from . import asking, masking, rows, values
from .call import Call
from .flights import Answer
from .places import Place
from .problems import of
from .state import State

OLDEST = {True: 0.5, False: 5.0}
"""Seconds that a list of this machine, and of AWS, may be old."""

_FRESH = {True: 0.0, False: 1.0}
_PATIENCE = 3.0
"""Seconds that a list waits for one place. The others are not to wait for it."""

_BESIDE = 3
"""Endpoints whose details are asked for at a time. AWS takes about ten requests a second before it asks for fewer."""

LINES = range(1, 1001)


async def listed(call: Call) -> dict[str, Any]:
    """Return the endpoints of each place, or what keeps them from being known."""
    now = values.now()
    is_fresh = call.flag("fresh")
    there = [_at(call, place, now, is_fresh=is_fresh) for place in call.places]
    return {"now": values.moment(now), "places": list(await asyncio.gather(*there))}


async def _at(call: Call, place: Place, now: datetime, *, is_fresh: bool) -> dict[str, Any]:
    answer = await asking.shared(
        call.state,
        "endpoints",
        place,
        lambda: endpoints.listed(place.connection()),
        seconds=(_FRESH if is_fresh else OLDEST)[place.is_local],
        patience=_PATIENCE,
        at_once=is_fresh,
    )
    state, problem = told(answer)
    found: Sequence[Endpoint] = (answer.value or ()) if state != "stopped" else ()
    known = rows.known_at(call.state.known, place)
    if known.missing(found):
        await call.state.flights.ask(
            ("details", place),
            lambda: _learn(call.state, place, known, found),
            seconds=0.0,
            patience=0.0 if answer.is_waiting else _PATIENCE / 6,
        )
    removing = call.state.removals.running

    def shown() -> list[dict[str, Any]]:
        return [
            {
                **rows.row(endpoint, known.details(endpoint), known.user, root=call.root, now=now),
                "removal": removing(place.where, endpoint.name),
            }
            for endpoint in found
        ]

    return {
        "where": place.where,
        "place": place.shown,
        "state": state,
        "problem": problem,
        "asked": values.moment(answer.asked),
        "incomplete": len(known.missing(found)),
        "endpoints": await call.state.machine.run(shown),
    }


async def _learn(state: State, place: Place, known: rows.Known, found: Sequence[Endpoint]) -> None:
    """Have what is not known about endpoints asked for, some of them beside each other."""
    missing = known.missing(found)
    beside = [
        asking.on(state, place, functools.partial(known.learn, place.connection, missing[first::_BESIDE]))
        for first in range(min(_BESIDE, len(missing)))
    ]
    ended = await asyncio.gather(*beside, return_exceptions=True)
    await state.machine.run(lambda: known.keep(place.where, found))
    for error in ended:
        if error is not None:
            raise error


def told(answer: Answer) -> tuple[str, dict[str, Any] | None]:
    """Return how it is about a place, in a word, and what is wrong if something is."""
    if answer.problem is not None and answer.problem.code == "ServiceStopped":
        return "stopped", None
    if answer.is_waiting:
        return "waiting", None
    return ("problem", answer.problem.shown()) if answer.problem else ("ok", None)


async def one(call: Call) -> dict[str, Any]:
    """Return an endpoint with everything that can be known about it."""
    place, name = call.place, call.name
    found = await asking.value(call.state, ("endpoint", name), place, lambda: _looked_at(place, name, call.root))
    return {**found, "removal": call.state.removals.running(place.where, name)}


def _looked_at(place: Place, name: str, root: str) -> dict[str, Any]:
    endpoint = place.endpoint(name).fetch()
    details = rows.details_of(endpoint)
    connection = endpoint.connection
    user = rows.tag_of(connection.user)
    config, config_problem = {}, None
    try:
        config = references.ask(connection, "describe_endpoint_config", EndpointConfigName=endpoint.config_name) or {}
    except BackendError as error:
        config_problem = of(error).shown()
    tags_problem = None
    if details.tags is None:
        try:
            endpoint.tags()
        except AccessDenied as error:
            tags_problem = of(error).shown()
    now = values.now()
    return {
        **rows.row(endpoint, details, user, root=root, now=now),
        "now": values.moment(now),
        "config_name": endpoint.config_name,
        "variants": _variants(endpoint, config),
        "tags": masking.named(details.tags or {}),
        "tags_problem": tags_problem,
        "config_problem": config_problem,
        "diagnosis": diagnosed(endpoint.explain()),
    }


def _variants(endpoint: Endpoint, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the production variants: as they are, with what they were configured as."""
    asked = {variant["VariantName"]: variant for variant in config.get("ProductionVariants", ())}
    current = {variant["VariantName"]: variant for variant in endpoint.variants}
    names = list(dict.fromkeys([*current, *asked]))
    weights = {
        name: current.get(name, {}).get("CurrentWeight", asked.get(name, {}).get("InitialVariantWeight"))
        for name in names
    }
    total = sum(weight for weight in weights.values() if weight is not None)
    found = []
    for name in names:
        is_now, was_asked = current.get(name, {}), asked.get(name, {})
        images = is_now.get("DeployedImages") or [{}]
        serverless = was_asked.get("ServerlessConfig") or is_now.get("CurrentServerlessConfig")
        weight = weights[name]
        model = was_asked.get("ModelName", "")
        found.append(
            {
                "name": name,
                "model": model,
                "image": images[0].get("SpecifiedImage", ""),
                "model_data": references.model_data(endpoint.connection, model) if model else "",
                "instance_type": was_asked.get("InstanceType", ""),
                "serverless": {
                    "memory_mb": serverless.get("MemorySizeInMB"),
                    "max_concurrency": serverless.get("MaxConcurrency"),
                }
                if serverless
                else None,
                "current_instance_count": is_now.get("CurrentInstanceCount"),
                "desired_instance_count": is_now.get("DesiredInstanceCount", was_asked.get("InitialInstanceCount")),
                "weight": weight,
                "traffic": round(weight / total, 4) if weight is not None and total else None,
            }
        )
    return found


def diagnosed(found: Diagnosis | None) -> dict[str, Any] | None:
    """Return why something failed as JSON has it."""
    if found is None:
        return None
    cause = found.cause
    return {
        "text": masking.text(found.summary),
        "traceback": masking.text(found.traceback),
        "cause": masking.text(cause.what) if cause else "",
        "fix": masking.text(cause.fix) if cause else "",
        "paste": masking.text(cause.paste) if cause else "",
        "file": found.path,
        "line": found.line,
    }


async def log(call: Call) -> dict[str, Any]:
    """Return the last lines that an endpoint's containers have printed."""
    place, name, most = call.place, call.name, call.number("lines", default=100, allowed=LINES)

    def looked_up() -> dict[str, Any]:
        endpoint = place.endpoint(name).fetch()
        group = logs.group(endpoint.name)
        lines, more = logs.tail(group, endpoint.connection, most, since=endpoint.created)
        return {"group": group, "lines": [masking.text(line) for line in lines], "truncated": more}

    return await asking.value(call.state, ("log", name, most), place, looked_up)
