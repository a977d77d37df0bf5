"""``requirements.txt`` as pip reads it: its lines, and what each asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_COMMENT = re.compile(r"(^|\s+)#.*$")  # pip's own rule: a comment begins a line or follows a blank
_OPTION = re.compile(r"\s(?:--hash|--config-settings?|--global-option)[= ]\S+")
_INCLUDE = re.compile(r"(?:-r|--requirement)[= ]?\s*(.+)")
_EDITABLE = re.compile(r"(?:-e|--editable)[= ]?\s*(.+)")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz")
_SCHEME = re.compile(r"(?:[a-z0-9]+\+)?(?:https?|git|ssh|s3|ftp)(?:\+[a-z]+)?://|git@")


@dataclass(frozen=True)
class Line:
    """One line that asks for something.

    Attributes
    ----------
    number
        Its number, from 1; of several that a backslash joins, the first one's.
    text
        Without its comment.
    requirement
        What it asks for by name, if it does.
    path
        The place on a file system that it installs from or reads, if it does.
    error
        Why pip cannot read it, if it cannot.
    """

    number: int
    text: str
    requirement: Requirement | None = None
    path: str = ""
    error: str = ""

    @property
    def name(self) -> str:
        """The normalized name of the distribution; empty where the line names none."""
        return canonicalize_name(self.requirement.name) if self.requirement else ""


@dataclass(frozen=True)
class RequirementsFile:
    """The lines of a file that ask for something, and whether pip is sent to another index than PyPI."""

    lines: tuple[Line, ...] = ()
    has_index: bool = False


def read_requirements(text: str) -> RequirementsFile:
    """Read the text of a requirements file. Files that it includes are not followed."""
    lines: list[Line] = []
    has_index = False
    for number, raw in _logical(text.removeprefix("\ufeff")):
        line = _COMMENT.sub("", raw).strip()
        if not line:
            continue
        if include := _INCLUDE.fullmatch(line):
            lines.append(Line(number, line, path=include[1].strip()))
        elif editable := _EDITABLE.fullmatch(line):
            place = editable[1].strip()
            lines.append(Line(number, line, path="" if _SCHEME.match(place) else place))
        elif line.startswith("-"):
            has_index = has_index or bool(re.match(r"-i\b|-f\b|--(extra-)?index-url|--find-links", line))
        else:
            lines.append(_read(number, line))
    return RequirementsFile(tuple(lines), has_index)


def _read(number: int, line: str) -> Line:
    text = _OPTION.sub("", line).strip()
    if _SCHEME.match(text):
        return Line(number, line)
    bare = re.sub(r"\[[\w, -]*\]$", "", text)
    place = Line(number, line, path=bare.removeprefix("file://"))
    if text.startswith((".", "/", "~", "file:")):
        return place
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        if "/" in bare or "\\" in bare or bare.endswith(_ARCHIVES):
            return place
        return Line(number, line, error=str(error).partition("\n")[0].rstrip("."))
    url = requirement.url or ""
    if not url and text.endswith(_ARCHIVES):  # a file's name can read like a project's
        return place
    return Line(number, line, requirement, path=url.removeprefix("file://") if url.startswith("file:") else "")


def _logical(text: str) -> list[tuple[int, str]]:
    """Return the lines with those joined that end with a backslash, as pip does."""
    found: list[tuple[int, str]] = []
    open_line = False
    for number, line in enumerate(text.splitlines(), start=1):
        continued = line.endswith("\\") and not line.lstrip().startswith("#")
        part = line[:-1] if continued else line
        if open_line:
            first, before = found[-1]
            found[-1] = (first, f"{before} {part}")
        else:
            found.append((number, part))
        open_line = continued
    return found


def exists_in_package(place: str, code: Path) -> bool:
    """Return whether a place that a line names would be in the container: in ``code/``, or in the model directory."""
    inside = place.removeprefix("/opt/ml/model/code/").removeprefix("/opt/ml/model/")
    if inside.startswith(("/", "~")) or re.match(r"[A-Za-z]:\\", inside):
        return False
    return (code / inside).exists() or (code.parent / inside).exists()
