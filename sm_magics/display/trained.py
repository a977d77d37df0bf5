"""What a live card says of a training job, as pure functions of what is known of it and of the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sm_magics.hosting import Diagnosis
from sm_magics.hosting.outputs import Output
from sm_magics.hosting.training import TrainingJob

from . import followed, jobs, page, plots, timeline
from .page import BAD, BUSY, Part
from .timeline import AHEAD, DONE, NOW, Phase, duration

# SecondaryStatus in the SageMaker API reference; some of them only of what the job asks for.
_STAGES = ("Starting", "Downloading", "Training", "Uploading")
_ENDED = {"Completed", "Failed", "Stopped", "Interrupted", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"}
_MOST = 8
"""Metrics that are shown."""


@dataclass(frozen=True)
class Known:
    """What a card knows of its job.

    Attributes
    ----------
    series
        The values of each metric so far, oldest first.
    left
        What it left as its model; None while nobody has looked.
    trouble
        Why nothing newer is known, with what to do about it; empty where all is well.
    """

    job: TrainingJob
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    left: tuple[Output, ...] | None = None
    failure: Diagnosis | None = None
    notebook: str = ""
    trouble: tuple[str, str] = ("", "")

    @property
    def state(self) -> str:
        """How it is: one of the states of a card."""
        return jobs.STATES.get(self.job.status, BUSY)


def head(known: Known, now: datetime) -> Part:
    """Return the first line: how it is, where, and for how long."""
    job, state = known.job, known.state
    what = f"training job · {_status(job)} · {job.place}"
    sign = page.sign("dim" if job.status == "Deleted" else state, "◐" if state == BUSY else "●")
    took = _took(job, now)
    html = f'<p class="sm-head">{sign.html} <b>{page.escape(job.name)}</b> {page.dim(what).html}'
    html += f' <span class="sm-right">{page.escape(took)}</span></p>'
    return Part(html, " · ".join(filter(None, (f"{sign.text} {job.name}", what, took))))


def body(known: Known, now: datetime) -> list[Part]:
    """Return what matters now: the stages, why it failed, the metrics, what it runs on, what it left."""
    job = known.job
    parts = []
    if known.trouble[0]:
        parts.append(page.paragraph(known.trouble[0], code=known.trouble[1]))
    stages = _stages(job, now)
    parts += [timeline.draw(stages)] if stages and job.status != "Completed" else []
    if known.state == BAD:
        parts += followed.failure(known.failure, job.reason, known.notebook)
    parts += _metrics(known)
    instances = f"{job.instance_type} × {job.instance_count}"
    billed = f"{duration(job.billable_seconds)} billed" if job.billable_seconds and job.where != "local" else ""
    image = job.image.rpartition("/")[2] or job.image
    parts.append(page.paragraph(" · ".join(filter(None, (instances, image, billed))), dim=True))
    if given := jobs.hyperparameters(job):
        drawn = page.table([(page.dim(name), value) for name, value in given])
        parts.append(page.folded(f"{len(given)} hyperparameter{'' if len(given) == 1 else 's'}", drawn))
    if known.left is not None:
        parts.append(jobs.outputs(known.left))
    return parts


def news(known: Known) -> str:
    """Return how it is, in the words that a screen reader says when that changes."""
    return f"training job {known.job.name} is {_status(known.job)}"


def _status(job: TrainingJob) -> str:
    return (job.detail or job.status or "not fetched").lower()


def _took(job: TrainingJob, now: datetime) -> str:
    if job.created is None or job.status == "Deleted":
        return ""
    if job.ended is None:
        return timeline.elapsed(now - job.created)
    return f"took {duration((job.ended - job.created).total_seconds())}"


def _stages(job: TrainingJob, now: datetime) -> list[Phase]:
    """Return the stages that it has been in, the one that it is in, and those to come."""
    seen: Sequence[Mapping[str, Any]] = [
        stage for stage in job.raw.get("SecondaryStatusTransitions") or () if stage["Status"] not in _ENDED
    ]
    phases = []
    for number, stage in enumerate(seen):
        is_last = number == len(seen) - 1
        end = stage.get("EndTime") or (job.ended if not job.is_moving else None) or now
        took = duration((end - stage["StartTime"]).total_seconds())
        state = DONE
        if is_last and job.is_moving:
            state, took = NOW, timeline.elapsed(now - stage["StartTime"])
        elif is_last and job.status == "Failed":
            state = timeline.BAD
        phases.append(Phase(stage["Status"], state, took))
    if job.is_moving:
        names = [phase.name for phase in phases]
        last = max((_STAGES.index(name) for name in names if name in _STAGES), default=-1)
        phases += [Phase(name, AHEAD) for name in _STAGES[last + 1 :]]
    return phases


def _metrics(known: Known) -> list[Part]:
    """Return each metric with the line that its values make, and its last value."""
    last = {metric.name: metric.value for metric in known.job.metrics}
    names = list(dict.fromkeys([*known.series, *last]))
    rows: list[tuple[object, ...]] = []
    for name in names[:_MOST]:
        values = known.series.get(name, ())
        drawn: object = plots.sparkline(values, f"{name}, {len(values)} values") if len(values) > 1 else ""
        rows.append((name, drawn, f"{last.get(name, values[-1] if values else 0.0):.6g}"))
    parts = [page.table(rows)] if rows else []
    if len(names) > _MOST:
        parts.append(page.paragraph(f"{len(names) - _MOST} more metrics", dim=True))
    return parts
