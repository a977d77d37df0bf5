"""Training jobs: the newest at some places, and one with what it measured and why it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sm_magics.hosting import TrainingJob, logs, training

from . import asking, endpoints, masking, values
from .call import Call
from .places import Place

_MOST = 50
_OLDEST = {True: 0.5, False: 15.0}
_FRESH = {True: 0.0, False: 1.0}
_PATIENCE = 3.0


async def listed(call: Call) -> dict[str, Any]:
    """Return the newest training jobs of each place, or what keeps them from being known."""
    is_fresh = call.flag("fresh")
    there = [_at(call, place, is_fresh=is_fresh) for place in call.places]
    return {"now": values.moment(values.now()), "places": list(await asyncio.gather(*there))}


async def _at(call: Call, place: Place, *, is_fresh: bool) -> dict[str, Any]:
    answer = await asking.shared(
        call.state,
        "training-jobs",
        place,
        lambda: training.listed(place.connection(), _MOST),
        seconds=(_FRESH if is_fresh else _OLDEST)[place.is_local],
        patience=_PATIENCE,
        at_once=is_fresh,
    )
    state, problem = endpoints.told(answer)
    jobs: Sequence[TrainingJob] = (answer.value or ()) if state != "stopped" else ()
    return {
        "where": place.where,
        "place": place.shown,
        "state": state,
        "problem": problem,
        "asked": values.moment(answer.asked),
        "jobs": [_row(job) for job in jobs],
    }


def _row(job: TrainingJob) -> dict[str, Any]:
    return {
        "where": job.where,
        "place": job.place,
        "name": job.name,
        "arn": job.raw.get("TrainingJobArn", ""),
        "status": job.status,
        "moving": job.is_moving,
        "created": values.moment(job.created),
        "modified": values.moment(job.raw.get("LastModifiedTime")),
        "ended": values.moment(job.ended),
    }


async def one(call: Call) -> dict[str, Any]:
    """Return a training job with everything that can be known about it."""
    place, name = call.place, call.name
    return await asking.value(call.state, ("training-job", name), place, lambda: _looked_at(place, name))


def _looked_at(place: Place, name: str) -> dict[str, Any]:
    job = place.training_job(name).fetch()
    region = "" if place.is_local else f" --region {place.where}"
    return {
        **_row(job),
        "now": values.moment(values.now()),
        "detail": job.detail,
        "reason": masking.text(job.reason),
        "started": values.moment(job.started),
        "billable_seconds": job.billable_seconds,
        "image": job.image,
        "instance_type": job.instance_type,
        "instance_count": job.instance_count,
        "model_uri": job.model_uri,
        "program": job.program,
        "hyperparameters": masking.named(job.hyperparameters),
        "metrics": [
            {"name": metric.name, "value": values.number(metric.value), "when": values.moment(metric.when)}
            for metric in job.metrics
        ],
        "diagnosis": endpoints.diagnosed(job.explain()),
        "attach": f"%sm_attach {job.name}{region}",
    }


async def log(call: Call) -> dict[str, Any]:
    """Return the last lines that a training job's containers have printed."""
    place, name = call.place, call.name
    most = call.number("lines", default=100, allowed=endpoints.LINES)

    def looked_up() -> dict[str, Any]:
        job = place.training_job(name).fetch()
        lines, more = logs.tail(training.LOG_GROUP, job.connection, most, prefix=f"{job.name}/")
        return {"group": training.LOG_GROUP, "lines": [masking.text(line) for line in lines], "truncated": more}

    return await asking.value(call.state, ("training-log", name, most), place, looked_up)
