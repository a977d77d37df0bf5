"""The proof of a package as a card: what failed, at which line of which cell, and what to do; then the table of steps.

What is saved with the notebook is the same for the same package: no times, no memory in bytes.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote

from sm_magics.packaging.report import FAILED, PASSED, SKIPPED, WARNING, Failure, Frame, Report, Step

from . import page
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


def parts(value: Report) -> list[Part]:
    """Return what a card says of a proof below its head: why it failed, and the steps."""
    return [*(_failure(value.failure, value.notebook) if value.failure else ()), _table(value.steps)]


def _failure(value: Failure, notebook: str) -> list[Part]:
    lines = value.exception.splitlines()
    bold = Part(f"<p><b>{page.escape(lines[0] if lines else '')}</b></p>", f"  {lines[0] if lines else ''}")
    result = [bold]
    result += [page.paragraph(line, dim=True) for line in lines[1:]]
    for frame in value.frames[:-1]:
        result.append(_place(frame, notebook))
        result.append(_listing([(frame.cell_line or frame.line, frame.text)], frame.cell_line or frame.line))
    if value.frame is not None:
        result.append(_place(value.frame, notebook))
        result.append(_listing(value.frame.excerpt, value.frame.cell_line or value.frame.line))
    elif value.handler:
        result.append(page.paragraph(f"in the container's default {value.handler}: no cell defines one", dim=True))
    if value.fix:
        result.append(page.paragraph(value.fix))
    if value.paste:
        several = "\n" in value.paste
        result.append(page.listing(value.paste.splitlines()) if several else page.paragraph("Try", code=value.paste))
    return result


def _place(frame: Frame, notebook: str) -> Part:
    """Return where a frame is; linked to its cell where the front end can follow that."""
    where = page.escape(frame.where)
    name = PurePosixPath(notebook).name
    if frame.cell_id and name.endswith(".ipynb"):
        target = page.escape(f"{quote(name)}#cell-id={quote(frame.cell_id)}")
        where = f'<a href="{target}">{where}</a>'
    function = f"<code>{page.escape(frame.function)}</code>, " if frame.function else ""
    text = f"{frame.function}, {frame.where}" if frame.function else frame.where
    return Part(f"<p>{function}{where}</p>", f"  {text}")


def _listing(lines: tuple[tuple[int, str], ...] | list[tuple[int, str]], marked: int) -> Part:
    """Return numbered lines, of which one is marked."""
    width = len(str(lines[-1][0])) if lines else 0
    html, text = [], []
    for number, line in lines:
        sign = "▸" if number == marked else " "
        drawn = f"{sign} {number:>{width}}  {line}"
        html.append(page.sign(BAD, drawn).html if number == marked else page.escape(drawn))
        text.append(f"  {drawn}".rstrip())
    return Part(f"<pre>{chr(10).join(html)}</pre>", "\n".join(text))


def _table(steps: tuple[Step, ...]) -> Part:
    rows: list[tuple[object, ...]] = []
    for step in steps:
        kind, sign = _SIGNS[step.status]
        mark = page.dim(sign) if kind == "dim" else page.sign(kind, sign)
        # Why a step failed stands above; a long note would only repeat it.
        note = "" if step.status == FAILED and step.name != "compare" else step.note
        what = Part(page.dim(step.what).html, step.what) if step.status == SKIPPED else step.what
        rows.append((mark, what, page.dim(note)))
        rows += [("", "", page.dim(detail)) for detail in step.details if detail]
    return page.table(rows)
