"""A package as a card that is seen while its kernel lives: with times, the digest, and the cells that its code is from.

None of that would stay true in a saved notebook; what is saved is `render.package`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sm_magics.authoring import Author, CodeFolder
from sm_magics.authoring.record import Record
from sm_magics.packaging import Package, Report
from sm_magics.packaging.archive import SCRIPT

from . import cells, page, render, report, timeline, widgets
from .page import OK, Part, Shown

_REQUIREMENTS = "code/requirements.txt"
_MOST = 12
"""Requirements that are listed."""


@dataclass(frozen=True)
class Source:
    """A section of the inference script, and the cell that wrote it.

    Attributes
    ----------
    defined
        The names that it defines.
    cell
        The cell's execution number, if this session ran it; else 0.
    cell_id
        Empty if unknown.
    is_generated
        Whether packaging wrote it, from no cell.
    """

    section: str
    defined: tuple[str, ...]
    cell: int = 0
    cell_id: str = ""
    is_generated: bool = False


def sources(package: Package, author: Author) -> list[Source]:
    """Return the sections of a package's inference script, with the cells of this session that wrote them."""
    script = CodeFolder(package.model_dir).read_script()
    file = Record.read(package.model_dir).files.get(SCRIPT)
    if script is None or file is None:
        return []
    found = []
    for section in script.sections:
        known = file.sections.get(section.name)
        if known is None or section.digest not in known.digests:
            found.append(Source(section.name, section.defined))
            continue
        is_ours = bool(known.session) and known.session == author.session
        cell = (known.execution_count, known.cell_id) if is_ours else (0, "")
        found.append(Source(section.name, section.defined, *cell, is_generated=known.generated))
    return found


def requirements(package: Package) -> tuple[str, ...] | None:
    """Return what is installed beside the image; None where the package says nothing of it."""
    if _REQUIREMENTS not in {file.name for file in package.files}:
        return None
    try:
        lines = (package.model_dir / _REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def package(
    value: Package,
    *,
    proof: Report | None = None,
    stale: Sequence[str] = (),
    written: Sequence[Source] = (),
    needed: Sequence[str] | None = None,
    notebook: str = "",
    seconds: float | None = None,
) -> list[Part]:
    """Return the pieces of the card.

    Parameters
    ----------
    stale
        Sections that this session has not run.
    written
        Where the script's sections come from.
    needed
        What is installed beside the image.
    seconds
        How long packaging and proving took.
    """
    state = OK if proof is None else report.state(proof)
    what = f"package · {page.size(value.size)}" + (f" · proof {report.outcome(proof)}" if proof is not None else "")
    sign = page.sign(state, page.SIGN[state])
    took = "" if seconds is None else timeline.duration(seconds)
    head = f'<p class="sm-head">{sign.html} <b>{page.escape(value.name)}</b> {page.dim(what).html}'
    head += f' <span class="sm-right">{page.escape(took)}</span></p>'
    parts = [Part(head, f"{sign.text} {value.name} · {what}"), page.listing(render.tree(value))]
    parts += [page.paragraph(note) for note in value.notes]
    if stale:
        parts.append(page.paragraph(f"In inference.py, but not run in this session: {', '.join(stale)}."))
    parts += report.parts(proof, has_times=True) if proof is not None else []
    parts += render.findings(proof.findings) if proof is not None else []
    rows: list[tuple[str, str | Part]] = [_row(one, notebook) for one in written]
    if needed is not None:
        many = f" and {len(needed) - _MOST} more" if len(needed) > _MOST else ""
        listed = ", ".join(needed[:_MOST]) + many
        rows.append(("installed beside the image", listed or page.dim("nothing")))
    rows.append(("digest", page.code(value.digest[:16])))
    versions = " · ".join(f"{name} {one}" for name, one in (("torch", value.torch), ("Python", value.python)) if one)
    if versions:
        rows.append(("packaged under", versions))
    parts.append(page.folded("Where it comes from", page.table([(page.dim(name), one) for name, one in rows])))
    return parts


def _row(source: Source, notebook: str) -> tuple[str, str | Part]:
    """Return a section of the script: what is in it, and which cell wrote it."""
    names = ", ".join(source.defined) or source.section
    if source.is_generated:
        return names, page.dim("written by %sm_package")
    if not source.cell:
        return names, Part(f"section {page.escape(source.section)}", f"section {source.section}")
    return names, cells.link(f"cell [{source.cell}]", source.cell_id, notebook)


class PackageCard(widgets.Card):
    """The card. Nothing in it changes: it is alive so that it is not saved."""

    def __init__(self, shown: Shown, parts: Sequence[Part]) -> None:
        body = widgets.Html()
        body.show(*parts)
        super().__init__(shown, (body.widget,))
