"""What a check of ``code/`` finds: one value for each mistake, saying what the container would have done with it.

The codes are stable. ``docs/findings.md`` says of each what it is about, what happens, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .source import lines_of

CODES = {
    "SM101": "A file does not parse",
    "SM102": "A handler takes the wrong number of arguments",
    "SM103": "A handler takes arguments that cannot be passed by position",
    "SM104": "A handler is a coroutine",
    "SM105": "transform_fn stands beside the handlers that it replaces",
    "SM106": "A handler is not a function",
    "SM107": "A name that is nearly a handler's",
    "SM108": "model_fn returns no model",
    "SM109": "Syntax that the image's Python does not know",
    "SM111": "An undefined name",
    "SM121": "torch.load without map_location",
    "SM122": "torch.load of a pickled module",
    "SM123": "A call that needs a GPU",
    "SM131": "A file hides a module that the container needs",
    "SM132": "The script imports itself",
    "SM133": "A file that a module of the container hides",
    "SM141": "An import that nothing provides",
    "SM142": "A requirement without a version",
    "SM143": "A requirement that needs another torch",
    "SM144": "A requirement that needs another Python",
    "SM145": "A module that the image's Python no longer has",
    "SM146": "A local package with a compiled part",
    "SM151": "A requirement that pip cannot read",
    "SM152": "A requirement from this machine",
    "SM153": "A version that PyPI does not have",
    "SM154": "A requirement in another version than the notebook's",
    "SM161": "A path of a training job",
    "SM162": "The model's place as a fixed path",
    "SM163": "A path of this machine",
    "SM171": "Network isolation with requirements",
}
"""Every code, and what it is about in a few words."""

_SILENCED = re.compile(r"#\s*noqa:\s*([A-Z]+[0-9]+(?:[\s,]+[A-Z]+[0-9]+)*)")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or probably wrong, with the files in ``code/``.

    Attributes
    ----------
    code
        Stable, such as ``SM102``.
    severity
        ``"error"`` where the container would fail, ``"warning"`` where it may.
    message
        One sentence: what it is, and what would have happened in the container.
    fix
        What to do about it.
    path
        The file, relative to the model directory: ``code/inference.py``.
    line
        Line in that file, from 1; 0 where the finding is about the file as a whole.
    section
        The section of ``inference.py`` that the line belongs to, empty elsewhere.
    cell_line
        The line within the cell that wrote the section, from 1; 0 outside sections.
    quoted
        The text of that line.
    """

    code: str
    severity: Literal["error", "warning"]
    message: str
    fix: str
    path: str = "code/inference.py"
    line: int = 0
    section: str = ""
    cell_line: int = 0
    quoted: str = ""

    @property
    def place(self) -> str:
        """The file, and the line where there is one: ``code/inference.py:3``."""
        return f"{self.path}:{self.line}" if self.line else self.path


def is_silenced(finding: Finding, source: str) -> bool:
    """Return whether the finding's line in ``source`` says ``# noqa: CODE``.

    A bare ``# noqa`` silences nothing: what is to be ignored is named.
    """
    lines = lines_of(source)
    if not 0 < finding.line <= len(lines):
        return False
    found = _SILENCED.search(lines[finding.line - 1])
    return found is not None and finding.code in re.split(r"[\s,]+", found[1])


def not_silenced(findings: Iterable[Finding], source: str) -> tuple[Finding, ...]:
    """Return the findings that `is_silenced` does not hold for, in order of their lines."""
    kept = [finding for finding in findings if not is_silenced(finding, source)]
    return tuple(sorted(kept, key=lambda finding: (finding.path, finding.line, finding.code, finding.message)))
