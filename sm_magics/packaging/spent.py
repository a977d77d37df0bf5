"""Code that was written for an earlier model, and that nothing uses any more."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from sm_magics.authoring import Author, CodeFolder
from sm_magics.authoring.slicing.values import OBJECTS
from sm_magics.errors import FileConflictError

from .archive import SCRIPT
from .members import code_members


def remove_spent(folder: CodeFolder, *, written: Collection[str], author: Author) -> list[str]:
    """Remove the Python files that packaging wrote, unless they belong to this model or another file names them.

    What a cell wrote, a person edited, or another notebook's packaging wrote stays.

    Parameters
    ----------
    folder
        The code.
    written
        The files that this model needs, by their path below ``code/``.
    author
        Who packages.

    Returns
    -------
    list[str]
        A sentence on each file that is gone.
    """
    kept: list[tuple[str, str]] = []
    spent: dict[str, Path] = {}
    for member in code_members(folder.path):
        relative = member.name.removeprefix("code/")
        if member.path.suffix != ".py":
            continue
        if member.name != SCRIPT and relative not in written and _is_ours(folder, member.path, author):
            spent[relative] = member.path
        else:
            kept.append((relative, _text(member.path)))
    while used := [relative for relative in spent if _is_used(_module(relative), kept)]:
        kept += [(relative, _text(spent.pop(relative))) for relative in used]
    for path in spent.values():
        path.unlink(missing_ok=True)
    return [
        f"code/{relative}, written for an earlier model, is used by nothing any more: removed." for relative in spent
    ]


def remove_spent_objects(folder: CodeFolder, *, written: Collection[str]) -> None:
    """Remove the files of objects that travelled with an earlier model: those in ``sm_objects`` that are ours."""
    place = folder.path / OBJECTS
    for path in sorted(place.rglob("*"), reverse=True) if place.is_dir() else ():
        if path.is_dir():
            with suppress(OSError):  # not empty
                path.rmdir()
        elif path.suffix != ".py" and path.relative_to(folder.path).as_posix() not in written:
            with suppress(FileConflictError):
                folder.check_may_replace(path, generated=True)
                path.unlink(missing_ok=True)


def _is_ours(folder: CodeFolder, path: Path, author: Author) -> bool:
    if path.stat().st_size == 0:
        return False  # says nothing about who wrote it
    try:
        folder.check_may_replace(path, author=author, generated=True)
    except FileConflictError:
        return False
    return True


def _is_used(module: str, kept: list[tuple[str, str]]) -> bool:
    """Return whether a file names a module, or is part of the same package."""
    word = re.compile(rf"\b{re.escape(module)}\b")
    return any((text and _module(relative) == module) or word.search(text) for relative, text in kept)


def _module(relative: str) -> str:
    return relative.partition("/")[0].removesuffix(".py")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
