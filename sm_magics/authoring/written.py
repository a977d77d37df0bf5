"""What writing one cell into ``code/`` did, for who shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .findings import Finding


@dataclass(frozen=True)
class Written:
    """What writing one cell did.

    Attributes
    ----------
    path
        The file.
    section
        The section of ``inference.py``, empty for another file.
    defined
        Names that the cell defines.
    handlers
        Every handler of the contract, and the section that defines it; empty for the container's default.
        `script.PREAMBLE` stands for text that no cell wrote. Empty as a whole for another file.
    replaced, unchanged
        Whether the section or file was there before; whether it already had this very text.
    taken_over
        Names that another section defined until now, and which one.
    dropped
        Names that the section defined before and that nothing defines any more.
    removed
        Whether the section is gone: the cell had no code.
    stale
        Sections whose cell has not been run in this session, those among them that went with the file.
    generated
        Sections that packaging wrote.
    findings
        What is wrong with ``code/`` now; for another file than the script, with that file. Packaging checks later.
    taken
        With what the handlers use of the notebook: None where that was not asked for.
    copy
        Where the file that was replaced by force is kept.
    """

    path: Path
    section: str = ""
    defined: tuple[str, ...] = ()
    handlers: Mapping[str, str] = field(default_factory=dict)
    replaced: bool = False
    unchanged: bool = False
    taken_over: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    removed: bool = False
    stale: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    taken: Taken | None = None
    copy: Path | None = None


@dataclass(frozen=True)
class Taken:
    """What was taken along from the notebook.

    Attributes
    ----------
    section
        The section of ``inference.py`` that has it.
    defined, imported
        Names that the section defines and imports, in its order: what the handlers use, and what that needs.
    files
        Variables that travel as files in the package.
    """

    section: str
    defined: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
