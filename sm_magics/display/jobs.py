"""A training job, a table of endpoints with what they cost, and a doctor's findings: values to HTML and text.

What is saved with the notebook stays true when it runs again: no durations, no digests. A table of endpoints is of
its moment, and says so by showing ages and costs only of what is in AWS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sm_magics.hosting import Endpoint
from sm_magics.hosting.cost import Cost
from sm_magics.hosting.doctor import Check
from sm_magics.hosting.outputs import Output
from sm_magics.hosting.training import TrainingJob

from . import page, render
from .page import BAD, BUSY, OK, WARN, Part, Shown

_STATES = {"Completed": OK, "Failed": BAD, "Stopped": WARN}
_MOST = 12
"""Rows of a table at the most."""

_WIDEST = 80
_SECRET = ("key", "token", "secret", "password", "credential")


def training_job(value: TrainingJob, left: Sequence[Output] | None = None) -> Shown:
    """Return a training job.

    Parameters
    ----------
    left
        What it left as its model, where that was looked at.
    """
    state = _STATES.get(value.status, BUSY)
    status = (value.detail or value.status or "not fetched").lower()
    rows: list[tuple[object, object]] = []
    rows += [(page.dim("metric"), f"{metric.name} = {metric.value:.6g}") for metric in value.metrics[:_MOST]]
    given = list(value.hyperparameters.items())
    rows += [(page.dim("hyperparameter"), f"{name} = {_masked(name, one)}") for name, one in given[:_MOST]]
    if len(given) > _MOST:
        rows.append((page.dim("hyperparameter"), f"… {len(given) - _MOST} more"))
    instances = f"{value.instance_count} × " if value.instance_count > 1 else ""
    rows.append((page.dim("instance"), f"{instances}{value.instance_type}"))
    rows.append((page.dim("image"), value.image.rpartition("/")[2] or value.image))
    parts = [page.table(rows)]
    if value.status == "Failed":
        found = value.explain()
        parts = [*(render.explained(found) if found else [page.paragraph(value.reason)]), *parts]
    if left:
        lines = [(page.code(one.name), page.size(one.size), _kind(one)) for one in left[:_MOST]]
        if len(left) > _MOST:
            lines.append((page.dim(f"… {len(left) - _MOST} more"), "", ""))
        parts.append(page.table(lines))
    if value.status == "Completed":
        parts.append(page.paragraph("Deploy what it trained:", code=f"%sm_deploy {value.name}"))
    elif value.is_moving:
        parts.append(page.paragraph("Wait for it:", code=f"%sm_attach {value.name} --wait"))
    return page.card(state, value.name, f"training job · {status} · {value.place}", *parts)


def _kind(value: Output) -> object:
    return page.dim(value.saved.kind if value.saved else "")


def _masked(name: str, value: object) -> str:
    """Return a hyperparameter's value, hidden where its name says that it is a secret."""
    if any(word in name.lower() for word in _SECRET):
        return "••••"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def endpoints(
    values: Sequence[Endpoint],
    places: Sequence[str],
    costs: Mapping[tuple[str, str], Cost],
    *,
    now: datetime,
    unreachable: Mapping[str, str] | None = None,
) -> Shown:
    """Return a table of all endpoints, with what those in AWS cost.

    Parameters
    ----------
    costs
        By place and name; of those in AWS.
    unreachable
        Places that did not answer, and why.
    """
    warnings = [page.paragraph(f"{place}: {why}") for place, why in (unreachable or {}).items()]
    if not costs:
        shown = render.endpoints(values, places)
        if not warnings:
            return shown
        extra = page.card(WARN, "endpoints", f"{len(warnings)} places did not answer", *warnings)
        return Shown(f"{shown.html}{extra.html}", f"{shown.text}\n{extra.text}")
    rows = []
    for value in values:
        cost = costs.get((value.where, value.name), Cost())
        rows.append(
            (
                page.sign(render.state_of(value.status), "●"),
                value.name,
                render.status_word(value.status),
                value.place,
                page.dim(age(value.created, now) if value.where != "local" else ""),
                page.dim(cost.instance_types),
                *(("", "") if value.where == "local" else (_money(cost.per_hour), _money(cost.so_far))),
            )
        )
    header = ("", "name", "status", "where", "age", "instances", "$ an hour", "$ so far")
    known = [cost.per_hour for cost in costs.values() if cost.per_hour is not None]
    unknown = len(costs) - len(known)
    said = f"In AWS they cost {_money(sum(known, Decimal(0)))} $ an hour" if known else "What they cost is not known"
    if known and unknown:
        said += f", and {unknown} of them cost what is not known"
    notes = [page.paragraph(f"{said}.", dim=True)]
    reasons = dict.fromkeys(cost.unknown for cost in costs.values() if cost.unknown)
    notes += [page.paragraph(f"Not known: {reason}.", dim=True) for reason in reasons]
    if known:
        notes.append(page.paragraph("So far: as if the instances had been the same since they were created.", dim=True))
    state = OK if all(value.status == "InService" for value in values) else BUSY
    count = f"{len(values)} on {' and '.join(places)}"
    return page.card(state, "endpoints", count, page.table(rows, header), *notes, *warnings)


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago something was, in its largest unit: ``3 d``, ``5 h``, ``12 min``."""
    if since is None:
        return ""
    minutes = max(0, int((now - since).total_seconds() // 60))
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes >= size:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"


def _money(value: Decimal | None) -> str:
    if value is None:
        return "?"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def checks(values: Sequence[Check]) -> Shown:
    """Return what the doctor found: what works, and what to do about what doesn't."""
    signs = {"ok": (OK, "✓"), "warning": (WARN, "!"), "failed": (BAD, "✗"), "skipped": ("dim", "·")}
    parts: list[Part] = []
    rows: list[tuple[object, ...]] = []
    for one in values:
        kind, sign = signs[one.status]
        rows.append((page.dim(sign) if kind == "dim" else page.sign(kind, sign), one.name, page.dim(one.what)))
    parts.append(page.table(rows))
    for one in values:
        if one.fix:
            parts.append(page.paragraph(f"{one.name}:", code="" if "\n" in one.fix else one.fix))
            parts += [page.listing(one.fix.splitlines())] if "\n" in one.fix else []
    bad = sum(one.status == "failed" for one in values)
    state = BAD if bad else WARN if any(one.status == "warning" for one in values) else OK
    outcome = "everything works" if state == OK else f"{bad} of {len(values)} do not work" if bad else "works"
    return page.card(state, "doctor", outcome, *parts)
