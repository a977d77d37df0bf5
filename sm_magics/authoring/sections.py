"""What the record says of the script's sections: whose each one is, and what putting a cell in changes about that."""

from __future__ import annotations

from dataclasses import replace

from sm_magics.errors import AuthoringError, FileConflictError

from .ownership import edited
from .record import Author, FileRecord, SectionRecord
from .script import PREAMBLE, SETUP, Merge, Script


def digests(entry: FileRecord, name: str) -> tuple[str, ...]:
    """Return the texts of a section that are ours."""
    return entry.sections[name].digests if name in entry.sections else ()


def earlier_section(
    entry: FileRecord, script: Script, author: Author, *, tree_names: set[str], derived: str
) -> str | None:
    """Return the section that the same cell wrote under another name, if this is that cell grown on.

    A cell that now defines something else altogether has begun something new; what it wrote before stays.
    """
    if not author.cell_id:
        return None
    for section in script.sections:
        known = entry.sections.get(section.name)
        if known is None or known.cell_id != author.cell_id or section.name == derived:
            continue
        before = set(section.defined)
        if before & tree_names or (not before and not tree_names):
            return section.name
    return None


def check_setup(entry: FileRecord, derived: str, author: Author) -> None:
    """Refuse a second cell that defines nothing: its section's name says nothing about which of the two it is."""
    known = entry.sections.get(derived)
    if derived == SETUP and known and known.cell_id and author.cell_id and known.cell_id != author.cell_id:
        raise AuthoringError(
            f"Another cell has written the section {SETUP}, and this one defines nothing that could name it.",
            hint=f"%%sm_inference NAME adds a section; %%sm_inference {SETUP} replaces that one.",
        )


def changed_by_hand(script: Script, merge: Merge, entry: FileRecord, earlier: str | None) -> FileConflictError | None:
    """Return the conflict with what a person wrote, if the merge would replace some of it."""
    losers = {*merge.taken_over.values(), merge.section.name, *([earlier] if earlier else [])}
    if PREAMBLE in losers:
        return edited(f"The {PREAMBLE.strip('()')}", script.preamble, merge.script.preamble)
    for section in script.sections:
        if section.name not in losers or section.digest in digests(entry, section.name):
            continue
        new = merge.section if section.name == earlier else merge.script.section(section.name)
        if new is None or new.source != section.source:
            return edited(f"Section {section.name}", section.source, new.source if new else "")
    return None


def after(merge: Merge, entry: FileRecord, author: Author, *, generated: bool) -> FileRecord:
    """Return the record of the script as it stands after the merge."""
    ours = {*merge.taken_over.values()}
    sections: dict[str, SectionRecord] = {}
    for section in merge.script.sections:
        known = entry.sections.get(section.name)
        if section.name == merge.section.name:
            sections[section.name] = SectionRecord(digests=(section.digest,), generated=generated).by(author)
        elif known is not None:
            if author.cell_id and known.cell_id == author.cell_id and not generated:
                # The cell has moved on to another section: nothing writes this one any more. What is made for a cell,
                # such as the names that its handlers use, stands beside what the cell itself wrote.
                known = known.by(Author())
            keep = section.name in ours or section.digest in known.digests
            sections[section.name] = replace(known, digests=(section.digest,)) if keep else known
    return FileRecord(notebook=entry.notebook, sections=sections)


def gone(entry: FileRecord, merge: Merge) -> tuple[str, ...]:
    """Return the sections that cells had written, and that the script has no longer."""
    there = {section.name for section in merge.script.sections}
    return tuple(name for name, known in entry.sections.items() if name not in there and not known.generated)


def not_run(entry: FileRecord, script: Script, author: Author) -> tuple[str, ...]:
    """Return the sections whose cell has not been run in the author's session."""
    if not author.session:
        return ()
    return tuple(
        section.name
        for section in script.sections
        if (known := entry.sections.get(section.name)) and not known.generated and known.session != author.session
    )
