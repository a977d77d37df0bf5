"""A training job and a doctor's findings as they are saved with the notebook: values to HTML and text.

What is saved stays true when it runs again: no durations, no digests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sm_magics.hosting.doctor import Check
from sm_magics.hosting.outputs import Output
from sm_magics.hosting.training import TrainingJob

from . import page, render
from .page import BAD, BUSY, OK, WARN, Part, Shown

STATES = {"Completed": OK, "Failed": BAD, "Stopped": WARN}
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
    state = STATES.get(value.status, BUSY)
    status = (value.detail or value.status or "not fetched").lower()
    rows: list[tuple[object, object]] = []
    rows += [(page.dim("metric"), f"{metric.name} = {metric.value:.6g}") for metric in value.metrics[:_MOST]]
    given = hyperparameters(value)
    rows += [(page.dim("hyperparameter"), f"{name} = {one}") for name, one in given[:_MOST]]
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
        parts.append(outputs(left))
    if value.status == "Completed":
        parts.append(page.paragraph("Deploy what it trained:", code=f"%sm_deploy {value.name}"))
    elif value.is_moving:
        parts.append(page.paragraph("Wait for it:", code=f"%sm_attach {value.name} --wait"))
    return page.card(state, value.name, f"training job · {status} · {value.place}", *parts)


def hyperparameters(value: TrainingJob) -> list[tuple[str, str]]:
    """Return what the script was given; what its name says to be a secret is hidden."""
    return [(name, _masked(name, one)) for name, one in value.hyperparameters.items()]


def outputs(left: Sequence[Output]) -> Part:
    """Return the files that a job left as its model."""
    lines = [(page.code(one.name), page.size(one.size), _kind(one)) for one in left[:_MOST]]
    if len(left) > _MOST:
        lines.append((page.dim(f"… {len(left) - _MOST} more"), "", ""))
    return page.table(lines)


def _kind(value: Output) -> object:
    return page.dim(value.saved.kind if value.saved else "")


def _masked(name: str, value: object) -> str:
    """Return a hyperparameter's value, hidden where its name says that it is a secret."""
    if any(word in name.lower() for word in _SECRET):
        return "••••"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def checks(values: Sequence[Check]) -> Shown:
    """Return what the doctor found: what works, and what to do about what doesn't."""
    signs = {"ok": (OK, "✓"), "warning": (WARN, "!"), "failed": (BAD, "✗"), "skipped": ("dim", "·")}
    parts: list[Part] = []
    rows: list[tuple[object, ...]] = []
    for one in values:
        kind, sign = signs[one.status]
        rows.append(
            (page.dim(sign) if kind == "dim" else page.sign(kind, sign), page.unbroken(one.name), page.dim(one.what))
        )
    parts.append(page.table(rows))
    for one in values:
        if one.fix:
            parts.append(page.paragraph(f"{one.name}:", code="" if "\n" in one.fix else one.fix))
            parts += [page.listing(one.fix.splitlines())] if "\n" in one.fix else []
    bad = sum(one.status == "failed" for one in values)
    state = BAD if bad else WARN if any(one.status == "warning" for one in values) else OK
    outcome = "everything works" if state == OK else f"{bad} of {len(values)} do not work" if bad else "works"
    return page.card(state, "doctor", outcome, *parts)
