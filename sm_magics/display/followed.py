"""What a live card says of an endpoint, as pure functions of what is known of it and of the time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sm_magics.hosting import Diagnosis, Endpoint
from sm_magics.hosting.composition import Variant
from sm_magics.hosting.cost import Cost
from sm_magics.hosting.measuring import Measured

from . import cells, page, plots, render, timeline
from .page import BAD, BUSY, OK, WARN, Part, Shown
from .timeline import AHEAD, DONE, NOW, Phase, duration

LOCAL = "local"
_VERSIONS = re.compile(r"torch (?P<torch>\S+) · Python (?P<python>\S+)")
_STATES = {"InService": OK, "Failed": BAD, "UpdateRollbackFailed": BAD, "OutOfService": BAD}
_MESSAGE = 3
"""Lines of an exception's message that are shown besides the first one; the traceback has them all."""

_STARTING = {
    "Creating": "Starting",
    "Updating": "Updating",
    "SystemUpdating": "Updating",
    "RollingBack": "Rolling back",
}


@dataclass(frozen=True)
class Known:
    """What a card knows of its endpoint.

    Attributes
    ----------
    before
        The phases of the deployment until SageMaker was asked for the endpoint.
    usual
        Seconds between which most of its kind took from here to come up; None where none was seen.
    ours
        The kernel's own torch and Python, as versions; empty where unknown.
    notebook
        The notebook's path, for links to its cells; empty where unknown.
    trouble
        Why nothing newer is known, with what to do about it; empty where all is well.
    """

    endpoint: Endpoint
    before: tuple[Phase, ...] = ()
    variants: tuple[Variant, ...] = ()
    measured: Measured = field(default_factory=Measured)
    cost: Cost = field(default_factory=Cost)
    failure: Diagnosis | None = None
    usual: tuple[float, float] | None = None
    ours: tuple[str, str] = ("", "")
    notebook: str = ""
    trouble: tuple[str, str] = ("", "")

    @property
    def kind(self) -> str:
        """What decides how long it takes to come up: what it runs on."""
        return ", ".join(sorted({variant.instance_type or "serverless" for variant in self.variants}))

    @property
    def state(self) -> str:
        """How it is: one of the states of a card."""
        if self.endpoint.is_rolled_back or self.endpoint.verified is False:
            return WARN
        return _STATES.get(self.endpoint.status, BUSY)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.endpoint.status in {"Failed", "Deleted"}


def head(known: Known, now: datetime) -> Part:
    """Return the first line: how it is, where, and since when."""
    endpoint = known.endpoint
    status = render.status_word(endpoint.status) or "asked for"
    if endpoint.is_in_service and endpoint.verified is not None:
        status += ", verified" if endpoint.verified else ", not verified"
    what = f"{status} · {endpoint.place}"
    state = "dim" if endpoint.status == "Deleted" else known.state
    sign = page.sign(state, "◐" if state == BUSY else "●")
    since = _since(known, now)
    html = f'<p class="sm-head">{sign.html} <b>{page.escape(endpoint.name)}</b> {page.dim(what).html}'
    html += f' <span class="sm-right">{page.escape(since)}</span></p>'
    return Part(html, f"{sign.text} {endpoint.name} · {what}" + (f" · {since}" if since else ""))


def news(known: Known) -> str:
    """Return how it is, in the words that a screen reader says when that changes."""
    endpoint = known.endpoint
    said = f"{endpoint.name} is {render.status_word(endpoint.status) or 'asked for'}"
    if known.trouble[0]:
        return f"{endpoint.name}: {known.trouble[0]}"
    return f"{said}: {known.failure.exception}" if known.failure and known.state == BAD else said


def body(known: Known) -> list[Part]:
    """Return what matters now: the phases while it comes up, why it failed, how it does while it is in service."""
    endpoint = known.endpoint
    parts = []
    if known.trouble[0]:
        parts.append(page.paragraph(known.trouble[0], code=known.trouble[1]))
    if endpoint.status == "Deleted":
        return parts
    if endpoint.is_rolled_back:
        parts.append(page.paragraph("The last update failed; it serves what it served before."))
    if endpoint.status == "InService" and not endpoint.is_rolled_back:
        parts += _service(known)
    else:
        parts.append(timeline.draw(_phases(known)))
        parts += failure(known.failure, endpoint.reason, known.notebook) if known.state in {BAD, WARN} else []
    parts += _made_of(known)
    return parts + [page.paragraph(note) for note in endpoint.notes]


def failure(found: Diagnosis | None, reason: str, notebook: str = "") -> list[Part]:
    """Return why something failed: the exception and the user's own line first, the traceback folded."""
    if found is None:
        return [page.paragraph(reason)] if reason else []
    frame = found.frame
    where = f" {page.dim(found.where).html}" if found.where and frame is None else ""
    parts = [Part(f"<p><b>{page.escape(found.exception)}</b>{where}</p>", f"  {found.summary}")]
    lines = found.traceback.splitlines()
    start = lines.index(found.exception) + 1 if found.exception in lines else len(lines)
    parts += [page.paragraph(line.strip()) for line in lines[start : start + _MESSAGE] if line.strip()]
    if frame is not None:
        parts += [cells.place(frame, notebook), cells.excerpt(frame.excerpt, frame.cell_line or frame.line)]
    elif found.text_line:
        parts.append(page.listing([found.text_line]))
    if found.cause is not None:
        parts += [page.paragraph(found.cause.what)] if found.cause.what not in {"", found.exception} else []
        several = "\n" in found.cause.paste
        if found.cause.fix:
            parts.append(page.paragraph(found.cause.fix, code="" if several else found.cause.paste))
        parts += [page.listing(found.cause.paste.splitlines())] if several else []
    if found.traceback:
        parts.append(page.folded("Traceback", page.listing(found.traceback.splitlines())))
    return parts


def refusal(endpoint: Endpoint, found: Diagnosis, notebook: str) -> Shown:
    """Return why an endpoint's handlers raised, as it is saved with the notebook: at the line of the cell."""
    return page.card(BAD, endpoint.name, f"raised · {endpoint.place}", *failure(found, "", notebook))


def figures(pairs: Sequence[tuple[str, str]]) -> Part:
    """Return numbers with what they are above them."""
    cells = "".join(f"<div><dt>{page.escape(name)}</dt><dd>{page.escape(value)}</dd></div>" for name, value in pairs)
    return Part(f"<dl>{cells}</dl>", "  " + " · ".join(f"{value} {name}" for name, value in pairs))


def _since(known: Known, now: datetime) -> str:
    endpoint = known.endpoint
    if endpoint.created is None or endpoint.status == "Deleted":
        return ""
    began = endpoint.created if endpoint.status == "Creating" else endpoint.modified or endpoint.created
    if endpoint.status == "InService":
        return f"up {timeline.elapsed(now - endpoint.created)}"
    if endpoint.status == "Failed":
        return f"after {duration((began - endpoint.created).total_seconds())}"
    return timeline.elapsed(now - began)


def _phases(known: Known) -> list[Phase]:
    status, state = known.endpoint.status, known.state
    starting = _STARTING.get(status, "Starting" if state == BAD else status)
    before = list(known.before) or [Phase("Create", DONE)]
    note = ""
    if state in {BAD, WARN}:
        note = f"{known.failure.function} raised" if known.failure and known.failure.function else "failed"
        starting = "Updating" if state == WARN else starting
        return [*before, Phase(starting, timeline.BAD, note), Phase("In service", AHEAD)]
    if status == "Creating" and known.usual is not None:
        note = usually(*known.usual)
    return [*before, Phase(starting, NOW, note), Phase("In service", AHEAD)]


def _service(known: Known) -> list[Part]:
    measured, endpoint = known.measured, known.endpoint
    pairs = [_capacity(endpoint), ("requests, 1 h", f"{measured.requests:,}"), ("errors", f"{measured.errors:,}")]
    if measured.median is not None and measured.slowest is not None:
        pairs.insert(1, ("p50 / p99", f"{duration(measured.median)} / {duration(measured.slowest)}"))
    if endpoint.where != LOCAL and known.cost.per_hour is not None:
        pairs.append(("an hour", f"${known.cost.per_hour:,.2f}"))
        pairs += [("so far", f"${known.cost.so_far:,.2f}")] if known.cost.so_far is not None else []
    parts = [figures(pairs)]
    if sum(value is not None for value in measured.latencies) > 1:
        parts.append(plots.sparkline(measured.latencies, "Model latency, the last hour"))
    return parts


def _capacity(endpoint: Endpoint) -> tuple[str, str]:
    """Return on how many it runs; a serverless one has no instances, and a limit instead."""
    variants = endpoint.variants
    if endpoint.where == LOCAL:
        return "workers", str(sum(int(one.get("CurrentInstanceCount", 1)) for one in variants))
    limits = [one["CurrentServerlessConfig"] for one in variants if one.get("CurrentServerlessConfig")]
    if limits:
        return "max concurrency", str(sum(int(one.get("MaxConcurrency", 0)) for one in limits))
    return "instances", str(sum(int(one.get("CurrentInstanceCount", 0)) for one in variants))


def usually(least: float, most: float) -> str:
    """Return between which times something takes: ``usually 4 min to 6 min``, ``usually 0.4 s``."""
    first, last = timeline.about(least), timeline.about(most)
    return f"usually {first}" if first == last else f"usually {first} to {last}"


def _made_of(known: Known) -> list[Part]:
    """Return what it runs on: the variants with their traffic where there are several, instances, image, versions."""
    is_local, variants = known.endpoint.where == LOCAL, known.variants
    if not variants:
        return []
    # What SageMaker says now outranks what the configuration asked for: weights may have been changed since.
    live = {str(one.get("VariantName")): one for one in known.endpoint.variants}
    weights = {one.name: float(live.get(one.name, {}).get("CurrentWeight", one.weight)) for one in variants}
    total = sum(weights.values()) or 1.0
    rows = []
    for one in variants:
        count = int(live.get(one.name, {}).get("CurrentInstanceCount", one.instance_count))
        runs_on = f"{one.instance_type} × {count}" if one.instance_type else "serverless"
        share = weights[one.name] / total
        cells = [one.name, page.bar(share, 80), f"{share:.0%}"] if len(variants) > 1 else []
        # On this machine instance type and image are labels: models run in the Python that deployed them.
        if not is_local:
            cells += [page.dim(runs_on), page.dim(one.versions or one.image.rpartition("/")[2])]
        if cells:
            rows.append(cells)
    parts = [page.table(rows)] if rows else []
    return parts + _skew(known)


def _skew(known: Known) -> list[Part]:
    """Return how the image's torch and Python differ from the notebook's, unless a note of the deployment says so."""
    torch, python = known.ours
    if known.endpoint.where == LOCAL:
        return []
    theirs = next((one.versions for one in known.variants if one.versions), "")
    found = _VERSIONS.fullmatch(theirs)
    if found is None or not (torch or python):
        return []
    noted = " ".join(known.endpoint.notes)
    differs = [
        f"{name} {ours}"
        for name, ours, other in (("torch", torch, found["torch"]), ("Python", python, found["python"]))
        if ours and ours.split(".")[:2] != other.split(".")[:2] and f"notebook has {name} {ours}" not in noted
    ]
    return [page.paragraph(f"The notebook has {' · '.join(differs)}.", dim=True)] if differs else []
