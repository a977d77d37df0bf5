"""How things stand before any endpoint is asked for: versions, this machine, AWS and whose credentials there are."""

from __future__ import annotations

import importlib.metadata
from contextlib import suppress
from typing import Any

from sm_magics.errors import SmMagicsError
from sm_magics.hosting import machine, places
from sm_magics.settings import LOCAL, resolve

from . import asking, values
from .call import Call
from .flights import AT_ONCE, Answer
from .places import Place
from .problems import Problem, of

_OLDEST = 60.0
"""Seconds for which it is known whose credentials they are."""

_PATIENCE = 3.0

_WORDS = {
    "NoCredentials": "absent",
    "NoProfile": "absent",
    "ExpiredToken": "expired",
    "AccessDenied": "denied",
    "UnknownCaller": "denied",
    "ServiceUnavailable": "unreachable",
    "Timeout": "unreachable",
}


async def status(call: Call) -> dict[str, Any]:
    """Return how things stand."""
    is_asked = call.flag("aws", default=True)
    region = call.aws
    here = await call.state.machine.run(_here)
    return {
        "version": call.state.version,
        "now": values.moment(values.now()),
        **here,
        "aws": await _aws(call, region) if is_asked else None,
    }


def _here() -> dict[str, Any]:
    return {"installed": installed(), "local": _machine()}


def installed() -> str:
    """Return the version of sm_magics on the disk: another one than runs here, after an upgrade."""
    try:
        return importlib.metadata.version("sm-magics")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _machine() -> dict[str, Any]:
    address = machine.running()
    return {
        "running": address is not None,
        "version": address.version if address else None,
        "region": address.region if address else None,
    }


async def _aws(call: Call, given: Place) -> dict[str, Any]:
    try:
        region = await call.state.machine.run(given.named)
    except SmMagicsError as error:
        return _told(given, Answer(problem=of(error)))
    is_fresh = call.flag("fresh")
    answer = await asking.shared(
        call.state,
        "identity",
        region,
        lambda: _caller(region),
        seconds=AT_ONCE if is_fresh else _OLDEST,
        patience=_PATIENCE,
        at_once=is_fresh,
    )
    return _told(region, answer)


def _told(region: Place, answer: Answer) -> dict[str, Any]:
    found = answer.value if answer.problem is None and answer.value else {}
    return {
        "region": region.where or None,
        "profile": region.settings.profile,
        "credentials": "waiting" if answer.is_waiting else _word(answer.problem),
        "account": found.get("account"),
        "user": found.get("user"),
        "problem": answer.problem.shown() if answer.problem and not answer.is_waiting else None,
    }


def _word(problem: Problem | None) -> str:
    return _WORDS.get(problem.code, "unknown") if problem else "ok"


def _caller(region: Place) -> dict[str, str]:
    connection = region.connection()
    with connection.calling():
        caller = connection.client("sts").get_caller_identity()
    return {
        "account": str(caller["Account"]),
        "user": connection.settings.user or str(caller["Arn"]),
    }


async def settings(call: Call) -> dict[str, Any]:
    """Return what holds without a browser's own settings, and what these can be set to."""
    return await call.state.machine.run(lambda: _settings(call.state.version))


def _settings(version: str) -> dict[str, Any]:
    known = resolve({})
    region = known.region
    profiles: tuple[str, ...] = ()
    with suppress(SmMagicsError):  # the status says so
        region = region or Place("").named().where
    with suppress(SmMagicsError):
        profiles = places.profiles()
    return {
        "version": version,
        "region": region,
        "profile": known.profile,
        "instance_type": known.instance_type,
        "role": known.role,
        "bucket": known.bucket,
        "user": known.user,
        "regions": list(places.regions()),
        "profiles": list(profiles),
    }


async def start(call: Call) -> dict[str, Any]:
    """Start SageMaker on this machine, and return how it runs."""
    here = Place(LOCAL)

    def started() -> dict[str, Any]:
        machine.ensure_running()
        return _machine()

    answer = await asking.value(call.state, "start", here, started)
    call.state.flights.stale(("endpoints", here))
    call.state.flights.stale(("training-jobs", here))
    return answer
