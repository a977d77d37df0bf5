"""Everything that is checked of ``code/`` without running it, put together."""

from __future__ import annotations

import tokenize
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .checks.files import check_layout, check_module, unreadable
from .checks.reach import reached
from .checks.requirements import REQUIREMENTS, check_imports, check_requirements
from .contract import check_contract
from .findings import Finding, is_silenced
from .image import Image
from .needs.dependencies import Dependencies
from .needs.requirements_file import RequirementsFile
from .percent import locate
from .source import lines_of

SCRIPT = "code/inference.py"
"""The script, relative to the model directory."""


def check_code(
    code: Path, image: Image | None, needed: Dependencies, own: RequirementsFile | None, files: Iterable[str] = ()
) -> tuple[Finding, ...]:
    """Return what is wrong with ``code/``: the contract, names, loads, paths, modules, requirements.

    Only what the container would import is looked at: the script, the files that it imports in turn, and those that
    hide a module of the container's own.

    Parameters
    ----------
    code
        The folder.
    image
        The image that is to run it, None where its contents are not known.
    needed
        What it needs beyond the image.
    own
        The requirements file, if a person or a cell wrote it.
    files
        Files that are imported without an import statement, relative to the folder.
    """
    paths = sorted(path for path in code.rglob("*.py") if path.is_file() and not _is_hidden(path, code))
    names = [path.relative_to(code).as_posix() for path in paths]
    layout = check_layout([f"code/{name}" for name in names])
    met = reached(code, [*files, *(finding.path.removeprefix("code/") for finding in layout)])
    found: list[Finding] = [*layout, *check_imports(needed, own, image)]
    texts: dict[str, str] = {}
    for path, name in zip(paths, names, strict=True):
        if name not in met:
            continue
        try:
            with tokenize.open(path) as file:  # as Python reads it: in the encoding that it declares
                text = file.read()
        except (OSError, UnicodeDecodeError, SyntaxError) as error:
            found.append(unreadable(f"code/{name}", error))
            continue
        texts[f"code/{name}"] = text
        found += check_module(text, f"code/{name}", image)
        if f"code/{name}" == SCRIPT:
            found += check_contract(text)
    if own:
        found += check_requirements(own, code, image)
        texts[REQUIREMENTS] = (code.parent / REQUIREMENTS).read_text(encoding="utf-8", errors="replace")
    heard = (one for one in found if not is_silenced(one, texts.get(one.path, "")))
    placed = [_located(one, texts.get(one.path, "")) for one in dict.fromkeys(heard)]
    return tuple(sorted(placed, key=lambda one: (one.path != SCRIPT, one.path, one.line, one.code, one.message)))


def _is_hidden(path: Path, code: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(code).parts)


def _located(finding: Finding, text: str) -> Finding:
    """Return the finding with its line quoted and, for the script, the cell that it is in."""
    lines = lines_of(text)
    quoted = lines[finding.line - 1].strip() if 0 < finding.line <= len(lines) else ""
    section, line = locate(text, finding.line) if finding.path == SCRIPT else ("", 0)
    return replace(finding, section=section, cell_line=line, quoted=quoted)
