"""The user's own modules beside the notebook: those that code in the archive imports, and that no requirement gives."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sm_magics.authoring import own_file
from sm_magics.authoring.source import read_module
from sm_magics.errors import InferenceScriptError

from .loaded import differing


@dataclass(frozen=True)
class OwnFiles:
    """Modules of the user's own.

    Attributes
    ----------
    sources
        The text of each file, by its path below ``code/``.
    notes
        Sentences on the files that stay behind because they are not Python, and on those that changed after import.
    """

    sources: Mapping[str, str]
    notes: tuple[str, ...] = ()


def own_files(modules: Iterable[str]) -> OwnFiles:
    """Return the sources of the user's own modules, with those that they import in turn. A package comes as a whole.

    Raises
    ------
    InferenceScriptError
        If one would take the place of ``inference.py`` or ``sm_model.py``.
    """
    sources: dict[str, str] = {}
    notes = []
    todo = [name.partition(".")[0] for name in modules]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name == "__main__":
            continue
        seen.add(name)
        for relative, path in _files(name).items():
            if relative in {"inference.py", "sm_model.py"}:
                raise InferenceScriptError(
                    f"The model's class comes from {path}, whose name the container uses for something else.",
                    hint=f"!mv {path.name} my_{path.name}",
                )
            try:
                sources[relative] = read_module(path)
                if name_there := differing(path, sources[relative]):
                    notes.append(
                        f"{path} differs from the module that is loaded here, in {name_there}: the file is packaged."
                    )
                todo.extend(imported_by(sources[relative]))
            except (OSError, SyntaxError, ValueError) as error:
                sources.pop(relative, None)
                notes.append(f"{path} stays behind: it cannot be read as Python ({error}).")
    return OwnFiles(dict(sorted(sources.items())), tuple(sorted(notes)))


def imported_by(source: str) -> Iterator[str]:
    """Yield the top-level modules that some source imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _files(name: str) -> dict[str, Path]:
    path = own_file(name)
    if path is None:
        return {}
    if path.name != "__init__.py":
        return {path.name: path}
    inside = sorted(path.parent.rglob("*.py"))
    return {f"{name}/{file.relative_to(path.parent).as_posix()}": file for file in inside if file.is_file()}
