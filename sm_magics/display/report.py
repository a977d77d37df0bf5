"""The proof of a package as a card: what failed, at which line of which cell, and what to do; then the table of steps.

What is saved with the notebook is the same for the same package: no times, no memory in bytes.
"""

from __future__ import annotations

from sm_magics.packaging.report import FAILED, PASSED, SKIPPED, WARNING, Failure, Report, Step

from . import cells, page, timeline
from .page import BAD, OK, WARN, Part, Shown
from .render import findings

_ESSENTIAL = ("load", "call", "compare")
_NOT = {"load": "not loaded", "call": "no answer", "compare": "not the same answer"}
_SIGNS = {PASSED: (OK, "✓"), FAILED: (BAD, "✗"), WARNING: (WARN, "!"), SKIPPED: ("dim", "·")}


def report(value: Report) -> Shown:
    """Return a proof."""
    return page.card(state(value), value.name, f"proof · {outcome(value)}", *parts(value), *findings(value.findings))


def state(value: Report) -> str:
    """Return the state of a card that shows a proof."""
    if not value.passed:
        return BAD
    return OK if all(step.status == PASSED for step in value.steps if step.name in _ESSENTIAL) else WARN


def outcome(value: Report) -> str:
    """Return how a proof ended, in a few words."""
    failed = next((step for step in value.steps if step.status == FAILED), None)
    if failed is not None:
        return f"failed · {_NOT[failed.name]}"
    left = next((step for step in value.steps if step.name in _ESSENTIAL and step.status == SKIPPED), None)
    return f"passed as far as it went · {left.note}" if left else "passed"


def parts(value: Report, *, has_times: bool = False) -> list[Part]:
    """Return what a card says of a proof below its head: why it failed, and the steps.

    Parameters
    ----------
    has_times
        Whether each step says how long it took, which is not saved with a notebook.
    """
    why = _failure(value.failure, value.notebook) if value.failure else []
    return [*why, _table(value.steps, has_times=has_times)]


def _failure(value: Failure, notebook: str) -> list[Part]:
    lines = value.exception.splitlines()
    bold = Part(f"<p><b>{page.escape(lines[0] if lines else '')}</b></p>", f"  {lines[0] if lines else ''}")
    result = [bold]
    result += [page.paragraph(line, dim=True) for line in lines[1:]]
    for frame in value.frames[:-1]:
        result.append(cells.place(frame, notebook))
        result.append(cells.excerpt([(frame.cell_line or frame.line, frame.text)], frame.cell_line or frame.line))
    if value.frame is not None:
        result.append(cells.place(value.frame, notebook))
        result.append(cells.excerpt(value.frame.excerpt, value.frame.cell_line or value.frame.line))
    elif value.handler:
        result.append(page.paragraph(f"in the container's default {value.handler}: no cell defines one", dim=True))
    if value.fix:
        result.append(page.paragraph(value.fix))
    if value.paste:
        several = "\n" in value.paste
        result.append(page.listing(value.paste.splitlines()) if several else page.paragraph("Try", code=value.paste))
    return result


def _table(steps: tuple[Step, ...], *, has_times: bool) -> Part:
    rows: list[tuple[object, ...]] = []
    for step in steps:
        kind, sign = _SIGNS[step.status]
        mark = page.dim(sign) if kind == "dim" else page.sign(kind, sign)
        # Why a step failed stands above; a long note would only repeat it.
        note = "" if step.status == FAILED and step.name != "compare" else step.note
        what = page.unbroken(page.dim(step.what) if step.status == SKIPPED else step.what)
        took = (page.whole(timeline.duration(step.seconds) if step.seconds else ""),) if has_times else ()
        rows.append((mark, what, page.dim(note), *took))
        rows += [("", "", page.dim(detail), *(("",) if has_times else ())) for detail in step.details if detail]
    return page.table(rows)
