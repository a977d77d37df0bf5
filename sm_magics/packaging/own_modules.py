"""The user's own modules beside the notebook: those that code in the archive imports, and that no requirement gives."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from sm_magics.errors import InferenceScriptError


def is_own(module: str) -> bool:
    """Return whether a module is a file of the user's, neither the standard library's nor installed."""
    return _file_of(module) is not None


def own_files(modules: Iterable[str]) -> dict[str, Path]:
    """Return the files of the user's own modules, with those that they import in turn, by their path below ``code/``.

    A package comes as a whole.

    Raises
    ------
    InferenceScriptError
        If one would take the place of ``inference.py`` or ``sm_model.py``.
    """
    found: dict[str, Path] = {}
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
            found[relative] = path
            todo.extend(imported_by(path.read_text(encoding="utf-8")))
    return dict(sorted(found.items()))


def imported_by(source: str) -> Iterator[str]:
    """Yield the top-level modules that some source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _files(name: str) -> dict[str, Path]:
    path = _file_of(name)
    if path is None:
        return {}
    if path.name != "__init__.py":
        return {path.name: path}
    inside = sorted(path.parent.rglob("*.py"))
    return {f"{name}/{file.relative_to(path.parent).as_posix()}": file for file in inside}


def _file_of(name: str) -> Path | None:
    """Return the file of a module of the user's own."""
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names:
        return None
    loaded = sys.modules.get(root)
    origin = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(root)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    if not origin or not origin.endswith(".py"):
        return None
    path = Path(origin).resolve()
    places = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed = any(path.is_relative_to(place) for place in places) or "site-packages" in path.parts
    return None if installed else path


def enclosing_function(source: str, line: int) -> str:
    """Return the name of the innermost function around a line, empty at the level of the file or a class."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    around = [node for node in functions if node.lineno <= line <= (node.end_lineno or node.lineno)]
    return max(around, key=lambda node: node.lineno).name if around else ""
