"""``code/requirements.txt``, which the container installs before it serves.

Here it is compared with what the interpreter has, before anything is loaded. Run as
``python -m sm_magics.serving.requirements FILE`` it prints what that interpreter lacks, one requirement a line.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # half of the time that the server takes to start, and most models ask for nothing
    from packaging.requirements import Requirement

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTION = re.compile(r"\s+--?[a-z].*$")  # of one requirement, such as --hash
_INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s+|=|(?=\S))(.+)")


class Unmet(NamedTuple):
    """A requirement that the interpreter does not meet, and why."""

    requirement: str
    found: str

    def __str__(self) -> str:
        return f"{self.requirement}  ({self.found})"


class RequirementsFailed(Exception):  # noqa: N818 - what happened
    """The requirements are not met, or could not be installed. The message says which, and what to do."""


def check(file: Path, python: str) -> None:
    """Compare the file with what an interpreter has.

    Lines that only pip understands (a path, a URL, an option) are passed over.

    Raises
    ------
    RequirementsFailed
        If something is missing or of another version.
    """
    if python == sys.executable:
        unmet = [str(requirement) for requirement in find_unmet(file)]
    else:
        command = [python, "-m", "sm_magics.serving.requirements", str(file)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise RequirementsFailed(f"{python} could not compare {file} with what it has: {''.join(last)}")
        unmet = done.stdout.splitlines()
    if unmet:
        raise RequirementsFailed(
            f"{file} asks for what {python} does not have:\n"
            + "".join(f"    {line}\n" for line in unmet)
            + f"Install it:  {shlex.join([python, '-m', 'pip', 'install', '-r', str(file)])}\n"
            "or start the server with --requirements install, which does so in an environment beside that one."
        )


def find_unmet(file: Path) -> list[Unmet]:
    """Return what this interpreter lacks of what the file asks for."""
    unmet: dict[str, Unmet] = {}
    for requirement in _requirements(file, set()):
        for missing in _unmet(requirement, ""):
            unmet.setdefault(missing.requirement, missing)
    return list(unmet.values())


def _unmet(requirement: Requirement, extra: str) -> Iterator[Unmet]:
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement

    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return
    try:
        found = distribution(requirement.name)
    except PackageNotFoundError:
        yield Unmet(_shown(requirement), "not installed")
        return
    if not requirement.specifier.contains(found.version, prereleases=True):
        yield Unmet(_shown(requirement), f"{found.version} is installed")
    for wanted in requirement.extras:
        for text in found.requires or ():
            if (part := Requirement(text)).marker is not None and not part.marker.evaluate({"extra": ""}):
                yield from _unmet(part, wanted)


def _shown(requirement: Requirement) -> str:
    return str(requirement).partition(";")[0].strip()


def _requirements(file: Path, seen: set[Path]) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    seen.add(file.resolve())
    text = re.sub(r"\\\r?\n", "", file.read_text(encoding="utf-8-sig", errors="replace"))
    for line in (_COMMENT.sub("", line).strip() for line in text.splitlines()):
        include = _INCLUDE.fullmatch(line)
        if include:
            other = file.parent / include[1].strip()
            if other.is_file() and other.resolve() not in seen:
                yield from _requirements(other, seen)
        elif line and not line.startswith("-"):
            try:
                yield Requirement(_OPTION.sub("", line))
            except InvalidRequirement:
                continue  # a path or a URL, which pip alone can compare


if __name__ == "__main__":
    for line in find_unmet(Path(sys.argv[1])):
        print(line)  # noqa: T201 - the answer
