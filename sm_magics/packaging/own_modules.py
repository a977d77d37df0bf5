"""The user's own modules beside the notebook: those that code in the archive imports, and that no requirement gives."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sm_magics.authoring.checks.imported import foreign_imports
from sm_magics.authoring.needs.local_modules import files_beside
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
        for relative, path in files_beside(name).items():
            if path.suffix != ".py":
                continue  # a package's data are files in code/ too: see `needs.dependencies`
            if relative in {"inference.py", "sm_model.py"}:
                raise InferenceScriptError(
                    f"The model's class comes from {path}, whose name the container uses for something else.",
                    hint=f"!mv {path.name} my_{path.name}",
                )
            try:
                sources[relative] = read_module(path)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    ast.parse(sources[relative])
                if name_there := differing(path, sources[relative]):
                    notes.append(
                        f"{path} differs from the module that is loaded here, in {name_there}: the file is packaged."
                    )
                todo.extend(one.top for one in foreign_imports(sources[relative], relative))
            except (OSError, SyntaxError, ValueError) as error:
                sources.pop(relative, None)
                notes.append(f"{path} stays behind: it cannot be read as Python ({error}).")
    return OwnFiles(dict(sorted(sources.items())), tuple(sorted(notes)))
