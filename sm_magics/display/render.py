"""What each value looks like: pure functions from a value to HTML and text, the one source of what is seen.

What they return is saved with the notebook and compared by nbval: it reads as an event that stays true, without
durations, digests or times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sm_magics.authoring import Finding, Written
from sm_magics.authoring.written import Taken
from sm_magics.hosting import Diagnosis, Endpoint, Removal, diagnosis
from sm_magics.packaging import Package, Report
from sm_magics.progress import Event, StatusChanged, StatusUnknown

from . import page, style, timeline
from .page import BAD, BUSY, OK, WARN, Part, Shown
from .timeline import Phase

_STATES = {"InService": OK, "Failed": BAD, "UpdateRollbackFailed": BAD, "OutOfService": BAD}
_WORDS = {
    "InService": "in service",
    "Creating": "being created",
    "Updating": "being updated",
    "SystemUpdating": "being updated by SageMaker",
    "RollingBack": "rolling back",
    "Deleting": "being deleted",
    "Deleted": "deleted",
    "Failed": "failed",
}
USUAL_HANDLERS = ("model_fn", "input_fn", "predict_fn", "output_fn")


def written(value: Written) -> Shown:
    """Return what a cell wrote into ``code/``: which handlers are defined, which are the container's, findings."""
    errors = [finding for finding in value.findings if finding.severity == "error"]
    state = BAD if errors else WARN if value.findings else OK
    # Not whether it was new, replaced or the same: what is saved with the notebook stays true when it runs again.
    what = f"section {value.section}" if value.section else "written"
    if value.removed:
        what += " removed"
    parts: list[Part] = []
    if value.handlers:
        parts.append(_handlers(value))
    parts += [
        page.paragraph(f"{name} is taken over from section {section}.") for name, section in value.taken_over.items()
    ]
    if value.dropped:
        parts.append(page.paragraph(f"No cell defines {', '.join(value.dropped)} any more."))
    parts += [_taken(value.taken)] if value.taken is not None else []
    parts += findings(value.findings, here=value.section)
    return page.card(state, f"code/{value.path.name}" if value.section else _inside_code(value), what, *parts)


def _taken(value: Taken) -> Part:
    """Return what was taken along from the notebook."""
    said = []
    if value.defined:
        said.append(f"{', '.join(value.defined)} as source")
    if value.imported:
        said.append(f"the import{'s' if len(value.imported) > 1 else ''} of {', '.join(value.imported)}")
    if value.files:
        said.append(f"{', '.join(value.files)} as {'files' if len(value.files) > 1 else 'a file'} in the package")
    if not said:
        return page.paragraph("The handlers use nothing of the notebook.")
    return page.paragraph(f"From the notebook, in section {value.section}: {'; '.join(said)}.")


def _inside_code(value: Written) -> str:
    parts = value.path.parts
    start = len(parts) - 1 - parts[::-1].index("code") if "code" in parts else len(parts) - 1
    return "/".join(parts[start:])


def _handlers(value: Written) -> Part:
    """Return a table of the handlers: those that are defined, and those that the container's defaults stand in for.

    What an earlier session left in the file does not count: running the notebook again shows the same again.
    """
    left = {*value.stale, *value.generated}
    defined = {name: section for name, section in value.handlers.items() if section and section not in left}
    usual = ("model_fn", "transform_fn") if "transform_fn" in defined else USUAL_HANDLERS
    names = [name for name in value.handlers if name in defined or name in usual]
    rows = []
    for name in names:
        if name in defined:
            where = "this cell" if defined[name] == value.section else f"section {defined[name]}"
            rows.append((page.sign(OK, "✓"), page.code(name), page.dim(where)))
        else:
            default = "written by %sm_package" if name == "model_fn" else "the container's default"
            rows.append((page.dim("·"), page.code(name), page.dim(f"{default}, unless a cell defines it")))
    return page.table(rows)


def findings(values: Sequence[Finding], here: str = "") -> list[Part]:
    """Return findings, each with what would happen in the container, the line that it is about, and what to do.

    Parameters
    ----------
    here
        The section that the running cell wrote: lines of it are the cell's own.
    """
    parts, told = [], set()
    for finding in values:
        state, sign = (BAD, "✗") if finding.severity == "error" else (WARN, "!")
        where = _place(finding, here)
        mark = page.sign(state, f"{sign} {finding.code}")
        html = f"<p>{mark.html} {page.escape(finding.message)} <span class='sm-dim'>{page.escape(where)}</span></p>"
        parts.append(Part(html, f"  {mark.text} {finding.message} ({where})"))
        if finding.quoted:
            parts.append(page.listing([finding.quoted]))
        fix, _, cell = finding.fix.partition("\n")
        if cell and finding.fix in told:  # one cell that mends several
            parts.append(page.paragraph("Fix: the same."))
        elif fix:
            parts.append(page.paragraph(f"Fix: {fix}"))
            parts += [page.listing(cell.splitlines())] if cell else []
        told.add(finding.fix)
    return parts


def _place(finding: Finding, here: str) -> str:
    """Return where a finding is: by the cell where one wrote the line, else by the file."""
    if finding.section:
        cell = "this cell" if finding.section == here else f"section {finding.section}"
        return f"{cell}, line {finding.cell_line}"
    return f"{finding.path} line {finding.line}" if finding.line else finding.path


def package(value: Package, stale: Sequence[str] = (), proof: Report | None = None) -> Shown:
    """Return a package as the tree of its archive, the sections in it that this session has not run, and its proof."""
    from . import report

    lines = tree(value)
    notes = [page.paragraph(note) for note in value.notes]
    if stale:
        notes.append(page.paragraph(f"In inference.py, but not run in this session: {', '.join(stale)}."))
    what = f"package · {page.size(value.size)}"
    if proof is None:
        return page.card(OK, value.name, what, page.listing(lines), *notes)
    what += f" · proof {report.outcome(proof)}"
    return page.card(report.state(proof), value.name, what, page.listing(lines), *notes, *report.parts(proof))


def tree(value: Package) -> list[str]:
    """Return the files of an archive as a tree, in lines."""
    rows = [(file.name.split("/"), page.size(file.size), file.note) for file in value.files]
    return page.columns([[value.path.name, "", ""], *_tree(rows)])


def _tree(rows: Sequence[tuple[list[str], str, str]]) -> list[list[str]]:
    """Return rows of a tree drawn with lines: files of a folder stand below the folder's own row."""
    lines: list[list[str]] = []

    def draw(entries: Sequence[tuple[list[str], str, str]], indent: str) -> None:
        names = list(dict.fromkeys(path[0] for path, _, _ in entries))
        for index, name in enumerate(names):
            last = index == len(names) - 1
            branch, below = ("└── ", "    ") if last else ("├── ", "│   ")
            inside = [(path[1:], size, note) for path, size, note in entries if path[0] == name and len(path) > 1]
            if inside:
                lines.append([f"{indent}{branch}{name}/", "", ""])
                draw(inside, indent + below)
            for path, size, note in entries:
                if path == [name]:
                    lines.append([f"{indent}{branch}{name}", size, note])

    draw(rows, "")
    return lines


def state_of(status: str) -> str:
    """Return the state of a card that shows an endpoint of a status."""
    return _STATES.get(status, BUSY)


def status_word(status: str) -> str:
    """Return SageMaker's word for a status as it is shown to people."""
    return _WORDS.get(status, status)


def event(name: str, value: Event, phases: Sequence[Phase] = ()) -> Shown:
    """Return how far work has come. Shown while it goes on, never saved.

    Parameters
    ----------
    phases
        What has been done so far, the one that goes on last.
    """
    line = [timeline.draw(phases)] if phases else []
    if isinstance(value, StatusChanged):
        what = " · ".join(filter(None, (status_word(value.status), value.detail)))
        return page.card(BUSY, value.name, what, *line, style=style.LIVE)
    if isinstance(value, StatusUnknown):
        why = page.paragraph(value.why, code=value.hint)
        return page.card(WARN, value.name, "not known at the moment", *line, why, style=style.LIVE)
    if not value.total:
        return page.card(BUSY, name, f"{value.phase} {value.note}".rstrip(), *line, style=style.LIVE)
    return page.card(BUSY, name, f"{value.phase} · {timeline.pace(value, 0.0)}", *line, style=style.LIVE)


def endpoint(value: Endpoint, failure: Diagnosis | None = None) -> Shown:
    """Return an endpoint: how it is, why it failed where that is known, and what can be done next."""
    state = _STATES.get(value.status, BUSY)
    status = _WORDS.get(value.status, value.status)
    parts = []
    if value.status == "Deleted":
        return page.card(BUSY, value.name, f"{status} · {value.place}")
    if value.is_rolled_back:
        state = WARN
        parts.append(page.paragraph("The last update failed; it serves what it served before."))
        parts += _why(value, failure)
    elif value.outcome and value.status == "InService":
        state = WARN if value.verified is False else state
        deed = {"created": "Created.", "updated": "Updated in place.", "unchanged": "Already serving this package."}
        parts.append(page.paragraph(f"{deed[value.outcome]} Call it:", code=f"%sm_predict -e {value.name} …"))
    elif state == BUSY:
        if value.outcome:
            status = "deployment started"
        parts.append(page.paragraph("Follow it:", code=f"%sm_status {value.name}"))
    elif state == BAD:
        parts += _why(value, failure)
    if not value.outcome and value.variants and value.status == "InService":
        parts.append(page.table([_variant(variant) for variant in value.variants]))
    parts += [page.paragraph(note) for note in value.notes]
    return page.card(state, value.name, f"{status} · {value.place}", *parts)


def _why(value: Endpoint, failure: Diagnosis | None) -> list[Part]:
    if failure is None:
        return [page.paragraph(value.reason), page.paragraph("See why:", code=f"%sm_logs {value.name}")]
    return [*explained(failure), page.paragraph("The log:", code=f"%sm_logs {value.name}")]


def explained(value: Diagnosis) -> list[Part]:
    """Return why something failed, the cause, and what mends it."""
    parts = [page.paragraph(value.summary)]
    if value.path:
        parts.append(page.listing(value.traceback.splitlines()))
    if value.cause is not None:
        parts += [page.paragraph(value.cause.what)] if value.cause.what not in {"", value.exception} else []
        several = "\n" in value.cause.paste
        parts.append(page.paragraph(value.cause.fix, code="" if several else value.cause.paste))
        parts += [page.listing(value.cause.paste.splitlines())] if several else []
    return parts


def _variant(variant: dict[str, object]) -> tuple[object, ...]:
    if "CurrentServerlessConfig" in variant:
        return variant.get("VariantName", ""), "serverless"
    count = variant.get("CurrentInstanceCount", 0)
    return variant.get("VariantName", ""), f"{count} instance{'' if count == 1 else 's'}"


def removal_plan(value: Removal) -> Shown:
    """Return what deleting an endpoint would remove, by name."""
    kept = [page.paragraph(f"Kept: {line}.") for line in value.kept]
    rows = [(page.dim(kind), name) for kind, name in value.rows]
    what = "what was left of it" if value.is_half_made else ""
    what = " · ".join(filter(None, (what, "would be deleted", value.endpoint.place)))
    return page.card(WARN, value.endpoint.name, what, page.table(rows), *kept)


def removal(value: Removal) -> Shown:
    """Return what was removed with an endpoint. Names that carry digests are counted, not shown."""
    counts = [
        ("endpoint", int(not value.is_half_made)),
        ("endpoint configuration", len(value.configs)),
        ("model", len(value.models)),
    ]
    gone = [kind if number == 1 else f"{number} {kind}s" for kind, number in counts if number]
    gone += ["model data"] if value.objects else []
    kept = [page.paragraph(f"Kept: {line}.") for line in value.kept]
    what = "what was left of it deleted" if value.is_half_made else "deleted"
    said = page.paragraph(f"Gone: {', '.join(gone)}.")
    return page.card(OK, value.endpoint.name, f"{what} · {value.endpoint.place}", said, *kept)


def log(
    name: str,
    place: str,
    lines: Sequence[str],
    tail: int = 0,
    located: Callable[[Diagnosis], Diagnosis | None] = lambda found: found,
) -> Shown:
    """Return an endpoint's log: the last traceback first, then the lines, the last `tail` of them if that is not 0.

    Parameters
    ----------
    located
        Returns what went wrong with its place in the notebook.
    """
    what = f"log · {place}"
    if not lines:
        return page.card(BUSY, name, what, page.paragraph("It has printed nothing yet.", dim=True))
    read = diagnosis.read(lines)
    read = located(read) if read else None
    why = explained(read) if read else []
    shown = diagnosis.summarized(lines)[-tail:]
    last = "The last line" if tail == 1 else f"The last {tail} lines"
    said = f"{last}; -n 0 shows all:" if 0 < tail < len(lines) else "The log:" if read else ""
    earlier = [page.paragraph(said, dim=True)] if said else []
    return page.card(BAD if read else OK, name, what, *why, *earlier, page.listing(shown))
