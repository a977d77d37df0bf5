"""What a live card says of an endpoint, as pure functions of what is known of it and of the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sm_magics.hosting import Diagnosis, Endpoint
from sm_magics.hosting.composition import Variant
from sm_magics.hosting.cost import Cost
from sm_magics.hosting.measuring import Measured

from . import page, plots, render, timeline
from .page import BAD, BUSY, OK, WARN, Part
from .timeline import AHEAD, DONE, NOW, Phase, duration

LOCAL = "local"
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
    trouble
        Why nothing newer is known, with what to do about it; empty where all is well.
    """

    endpoint: Endpoint
    before: tuple[Phase, ...] = ()
    variants: tuple[Variant, ...] = ()
    measured: Measured = field(default_factory=Measured)
    cost: Cost = field(default_factory=Cost)
    failure: Diagnosis | None = None
    trouble: tuple[str, str] = ("", "")

    @property
    def state(self) -> str:
        """How it is: one of the states of a card."""
        if self.endpoint.is_rolled_back:
            return WARN
        return _STATES.get(self.endpoint.status, BUSY)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.endpoint.status in {"Failed", "Deleted"}


def head(known: Known, now: datetime) -> Part:
    """Return the first line: how it is, where, and since when."""
    endpoint = known.endpoint
    what = " · ".join([render.status_word(endpoint.status) or "asked for", endpoint.place])
    state = "dim" if endpoint.status == "Deleted" else known.state
    sign = page.sign(state, "◐" if state == BUSY else "●")
    since = _since(known, now)
    html = f'<p class="sm-head">{sign.html} <b>{page.escape(endpoint.name)}</b> {page.dim(what).html}'
    html += f' <span class="sm-right">{page.escape(since)}</span></p>'
    return Part(html, f"{sign.text} {endpoint.name} · {what}" + (f" · {since}" if since else ""))


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
        parts += failure(known.failure, endpoint.reason) if known.state in {BAD, WARN} else []
    if known.variants and (endpoint.where != LOCAL or len(known.variants) > 1):
        parts.append(_made_of(known.variants, is_local=endpoint.where == LOCAL))
    return parts + [page.paragraph(note) for note in endpoint.notes]


def failure(found: Diagnosis | None, reason: str) -> list[Part]:
    """Return why something failed: the exception and the user's own line first, the traceback folded."""
    if found is None:
        return [page.paragraph(reason)] if reason else []
    where = f" {page.dim(found.where).html}" if found.where else ""
    first = Part(f"<p><b>{page.escape(found.exception)}</b>{where}</p>", f"  {found.summary}")
    lines = found.traceback.splitlines()
    start = lines.index(found.exception) + 1 if found.exception in lines else len(lines)
    more = [page.paragraph(line.strip()) for line in lines[start : start + _MESSAGE] if line.strip()]
    if found.text_line:
        more.append(page.listing([found.text_line]))
    if found.cause is not None:
        more += [page.paragraph(found.cause.what)] if found.cause.what not in {"", found.exception} else []
        several = "\n" in found.cause.paste
        more += [page.paragraph(found.cause.fix, code="" if several else found.cause.paste)] if found.cause.fix else []
        more += [page.listing(found.cause.paste.splitlines())] if several else []
    if not found.traceback:
        return [first, *more]
    return [first, *more, page.folded("Traceback", page.listing(found.traceback.splitlines()))]


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
    return [*before, Phase(starting, timeline.BAD if note else NOW, note), Phase("In service", AHEAD)]


def _service(known: Known) -> list[Part]:
    measured, endpoint = known.measured, known.endpoint
    instances = sum(int(variant.get("CurrentInstanceCount", 0)) for variant in endpoint.variants)
    pairs = [("workers" if endpoint.where == LOCAL else "instances", str(instances))]
    pairs += [("requests, 1 h", f"{measured.requests:,}"), ("errors", f"{measured.errors:,}")]
    if measured.median is not None and measured.slowest is not None:
        pairs.insert(1, ("p50 / p99", f"{duration(measured.median)} / {duration(measured.slowest)}"))
    if endpoint.where != LOCAL and known.cost.per_hour is not None:
        pairs.append(("an hour", f"${known.cost.per_hour:,.2f}"))
        pairs += [("so far", f"${known.cost.so_far:,.2f}")] if known.cost.so_far is not None else []
    parts = [figures(pairs)]
    if sum(value is not None for value in measured.latencies) > 1:
        parts.append(plots.sparkline(measured.latencies, "Model latency, the last hour"))
    return parts


def _made_of(variants: Sequence[Variant], *, is_local: bool) -> Part:
    """Return what it runs on: instance type and image; each variant with its share where there are several."""
    lines = []
    for variant in variants:
        share = f"{variant.name} {variant.weight:.0%}" if len(variants) > 1 else ""
        count = f"{variant.instance_type} × {variant.instance_count}" if variant.instance_count else "serverless"
        image = variant.versions or variant.image.rpartition("/")[2]
        # On this machine instance type and image are labels: models run in the Python that deployed them.
        lines.append(" · ".join(filter(None, (share,) if is_local else (share, count, image))))
    parts = [page.paragraph(line, dim=True) for line in lines]
    return Part("".join(part.html for part in parts), "\n".join(part.text for part in parts))
