"""What a check of ``code/`` finds: one value for each mistake, saying what the container would have done with it.

Codes are stable and grouped by what they are about:

====== =========================================================================
SM101  the file does not parse
SM102  a handler takes another number of arguments than it is called with
SM103  a handler takes arguments that cannot be passed by position
SM104  a handler is a coroutine, which nobody awaits
SM105  ``transform_fn`` stands beside ``input_fn``, ``predict_fn`` or ``output_fn``
SM106  a handler is not a function
SM107  a name that is nearly a handler's, and so is never called
SM108  ``model_fn`` returns no model, and what handles requests needs one
SM111  a name that is not defined in ``code/``
SM121  ``torch.load`` without ``map_location``
SM131  a file in ``code/`` hides a module that the container needs
SM132  ``inference`` is imported, which is the script itself
====== =========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

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
    """

    code: str
    severity: Literal["error", "warning"]
    message: str
    fix: str
    path: str = "code/inference.py"
    line: int = 0
    section: str = ""
    cell_line: int = 0


def not_silenced(findings: Iterable[Finding], source: str) -> tuple[Finding, ...]:
    """Return the findings whose line in ``source`` does not say ``# noqa: CODE``, in order of their lines.

    A bare ``# noqa`` silences nothing: what is to be ignored is named.
    """
    lines = source.splitlines()

    def silenced(finding: Finding) -> bool:
        if not 0 < finding.line <= len(lines):
            return False
        found = _SILENCED.search(lines[finding.line - 1])
        return found is not None and finding.code in re.split(r"[\s,]+", found[1])

    kept = [finding for finding in findings if not silenced(finding)]
    return tuple(sorted(kept, key=lambda finding: (finding.path, finding.line, finding.code, finding.message)))
