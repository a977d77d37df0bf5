"""What the files in ``code/`` import, and how much depends on it."""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sm_magics.authoring.slicing.executed import executed, is_main_guard
from sm_magics.authoring.source import parse

from .reach import reached

_CATCHING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True)
class Import:
    """One imported module.

    Attributes
    ----------
    module
        Its dotted name; for ``from a import b`` it is ``a.b``, which may be a name in ``a`` as well as a module.
    path, line
        Where: the file relative to the model directory, the line from 1.
    kind
        ``"top"`` where importing the file imports it, ``"inner"`` in a function, ``"optional"`` where the code goes
        on without it.
    """

    module: str
    path: str
    line: int
    kind: str

    @property
    def top(self) -> str:
        """The first part of the name."""
        return self.module.partition(".")[0]


def imported(code: Path, also: Iterable[str] = ()) -> list[Import]:
    """Return what ``inference.py`` and the files that it imports in turn import, the standard library left out.

    Imports for a type checker's eyes, and those under ``if __name__ == "__main__"``, are never executed and not among
    it.

    Parameters
    ----------
    code
        The folder.
    also
        Further files in it that may be imported, relative to it.
    """
    found = []
    for path in sorted(reached(code, also)):
        if not path.endswith(".py"):
            continue
        try:
            with tokenize.open(code / path) as file:
                text = file.read()
        except (OSError, SyntaxError, ValueError):
            continue
        found += foreign_imports(text, f"code/{path}")
    return found


def is_inside(code: Path, module: str) -> bool:
    """Return whether a module lies in ``code/``, which stands first on the search path."""
    top = module.partition(".")[0]
    return (code / f"{top}.py").is_file() or next((code / top).rglob("*.py"), None) is not None


def foreign_imports(text: str, path: str) -> list[Import]:
    """Return what a file's text imports, without the standard library and what is relative."""
    tree = parse(text)
    return [one for one in imports_in(tree, path) if one.top not in sys.stdlib_module_names] if tree else []


def imports_in(tree: ast.Module, path: str) -> list[Import]:
    """Return what a module imports, the standard library too; what is relative or never executed is left out."""
    met = {id(node) for node in executed(tree)}
    return [one for node, one in _walk(tree, path, "top") if one.top and id(node) in met]


def _walk(  # noqa: C901 - one case for each way to import
    node: ast.AST, path: str, kind: str
) -> Iterator[tuple[ast.AST, Import]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If() if is_main_guard(child) or ast.unparse(child.test).endswith("TYPE_CHECKING"):
                for statement in child.orelse:
                    yield from _walk(ast.Module([statement], []), path, kind)
            case ast.Try():
                inside = "optional" if any(map(_catches, child.handlers)) else kind
                yield from _walk(ast.Module(child.body, []), path, inside)
                for clause in child.handlers:
                    # What stands in for a module that is not there is not there on every machine either.
                    yield from _walk(ast.Module(clause.body, []), path, inside)
                yield from _walk(ast.Module([*child.orelse, *child.finalbody], []), path, kind)
            case ast.Import():
                yield from ((child, Import(alias.name, path, child.lineno, kind)) for alias in child.names)
            case ast.ImportFrom(module=str() as module, level=0):
                for alias in child.names:
                    name = module if alias.name == "*" else f"{module}.{alias.name}"
                    yield child, Import(name, path, child.lineno, kind)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _walk(child, path, "inner" if kind == "top" else kind)
            case ast.Call(func=function, args=[ast.Constant(value=str() as name), *_]) if _imports(function):
                if not name.startswith("."):
                    yield child, Import(name, path, child.lineno, "optional" if kind == "optional" else "inner")
                yield from _walk(child, path, kind)
            case _:
                yield from _walk(child, path, kind)


def _imports(function: ast.expr) -> bool:
    return ast.unparse(function) in {"importlib.import_module", "import_module", "__import__"}


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in _CATCHING for kind in kinds)
