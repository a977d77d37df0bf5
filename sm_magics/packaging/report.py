"""What the proof of a package says: a table of steps, and for a failure the traceback against the cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from sm_magics.authoring import Finding

PASSED: Final = "passed"
FAILED: Final = "failed"
WARNING: Final = "warning"
SKIPPED: Final = "skipped"
Status = Literal["passed", "failed", "warning", "skipped"]


@dataclass(frozen=True)
class Step:
    """One step of the proof.

    Attributes
    ----------
    name
        Stable: ``findings``, ``extract``, ``requirements``, ``environment``, ``load``, ``call``, ``compare``,
        ``memory``, ``versions``.
    status
        ``"passed"``, ``"failed"``, ``"warning"`` where the container may do otherwise, ``"skipped"`` where it could
        not be told.
    what
        The step in words: ``loads in a clean process``.
    note
        What was seen, in a few words or one sentence. The same for the same package: no durations, no digests.
    details
        Further lines, where there are any: what differs, which requirement is not met.
    seconds
        How long it took.
    """

    name: str
    status: Status
    what: str
    note: str = ""
    details: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Frame:
    """A place in the package's own code.

    Attributes
    ----------
    path, line, function
        As the traceback has them; the path from ``code/`` on.
    text
        The line.
    section, cell_line
        The section of ``inference.py`` and the line within its cell; empty and 0 elsewhere.
    definition
        Of code that packaging took out of a cell: what it is in, as words, such as ``class Net``. Then the line is the
        cell's, too.
    execution_count, cell_id
        The cell that wrote the section, if this session ran it and the section is as the cell wrote it; 0 and empty
        otherwise. The id is empty too where the front end gives none.
    excerpt
        The lines around it, as number (within the cell where there is one) and text.
    """

    path: str
    line: int
    function: str
    text: str = ""
    section: str = ""
    cell_line: int = 0
    execution_count: int = 0
    cell_id: str = ""
    excerpt: tuple[tuple[int, str], ...] = ()
    definition: str = ""

    @property
    def is_in_cell(self) -> bool:
        """Whether the line is known as one of a cell."""
        return bool(self.section or self.definition)

    @property
    def where(self) -> str:
        """The place in words: ``section model_fn, cell [4], line 3``, or ``code/helper.py, line 12``."""
        if not self.is_in_cell:
            return f"{self.path}, line {self.line}"
        cell = f", cell [{self.execution_count}]" if self.execution_count else ""
        return f"{self.definition or f'section {self.section}'}{cell}, line {self.cell_line}"


@dataclass(frozen=True)
class Failure:
    """Why the package failed.

    Attributes
    ----------
    step
        Name of the step.
    exception
        The exception with its message, as a traceback's last line has it; a sentence where nothing was raised.
    frames
        The places in the package's own code that it went through, outermost first. The last one is to blame.
    handler
        The container's default handler that raised, such as ``input_fn``; empty otherwise.
    fix
        What to do about it, a sentence.
    paste
        Code or a command to paste; empty where there is none.
    traceback
        All of it, with the frames of the package's own code named by their cells.
    """

    step: str
    exception: str
    frames: tuple[Frame, ...] = ()
    handler: str = ""
    fix: str = ""
    paste: str = ""
    traceback: str = ""

    @property
    def frame(self) -> Frame | None:
        """The innermost place in the package's own code."""
        return self.frames[-1] if self.frames else None

    @property
    def summary(self) -> str:
        """Exception and place, in one sentence."""
        if self.frame is not None:
            return f"{self.exception} ({self.frame.function}, {self.frame.where})"
        return f"{self.exception} (the container's default {self.handler})" if self.handler else self.exception


@dataclass(frozen=True)
class Measures:
    """What was measured. It differs from run to run, so it is no part of what is saved with a notebook.

    Attributes
    ----------
    load_seconds
        From the fork of a warm process to the loaded model.
    first_seconds, call_seconds
        The first answer, and the middle of those that follow.
    memory
        Bytes that a worker holds for itself, once it has answered (USS on Linux: what no other process shares). 0
        where the system does not tell.
    """

    load_seconds: float = 0.0
    first_seconds: float = 0.0
    call_seconds: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Report:
    """The proof of a package.

    Attributes
    ----------
    name
        The package's.
    digest
        SHA-256 of the archive that was proven.
    steps
        In order; those after a failed one are missing.
    findings
        What a check of the code found, without running it.
    failure
        Why it failed; None if it did not.
    answer
        The answer to the sample, decoded; None if there was none.
    content_type, accept
        How the sample was sent and the answer asked for.
    measures
        Times and memory.
    python, torch
        The versions that it was checked under.
    log
        What the handlers printed.
    notebook
        The notebook's path, empty if unknown: what the cells' links are relative to.
    """

    name: str
    digest: str
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()
    failure: Failure | None = None
    answer: object = field(default=None, repr=False)
    content_type: str = ""
    accept: str = ""
    measures: Measures = Measures()
    python: str = ""
    torch: str = ""
    log: str = field(default="", repr=False)
    notebook: str = field(default="", repr=False)

    @property
    def passed(self) -> bool:
        """Whether no step failed."""
        return all(step.status != FAILED for step in self.steps)

    def step(self, name: str) -> Step | None:
        """Return the step of that name, None if the proof did not get there."""
        return next((step for step in self.steps if step.name == name), None)
