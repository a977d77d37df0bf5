"""Which files of ``code/`` the container would import: the script, and what it imports in turn."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from sm_magics.authoring.source import parse

_SCRIPT = "inference.py"


def reached(code: Path, also: Iterable[str] = ()) -> set[str]:
    """Return the files that importing ``inference.py``, or those named too, may execute, relative to ``code/``.

    Every import statement counts, wherever it stands; a module that is imported by a name made at run time does not.
    """
    found: set[str] = set()
    todo = [_SCRIPT, *also]
    while todo:
        path = todo.pop()
        if path in found or not (code / path).is_file():
            continue
        found.add(path)
        for module in _imported(code / path, PurePosixPath(path)):
            parts = module.split(".")
            for length in range(1, len(parts) + 1):
                file = "/".join(parts[:length])
                todo += [f"{file}.py", f"{file}/__init__.py"]
    return found


def _imported(file: Path, path: PurePosixPath) -> Iterator[str]:
    """Yield the dotted names of what a file imports: modules, and names in them that may be modules."""
    try:
        with tokenize.open(file) as opened:
            tree = parse(opened.read())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: -node.level] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            yield from filter(None, [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)])
