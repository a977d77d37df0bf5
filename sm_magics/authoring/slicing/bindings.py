"""Which names a piece of source binds at its top level, and which ones it reads, and when.

A *definition* is what a person would call one: a function, a class, an assignment. Loop variables, names bound by
``with`` and ``except``, ``_`` and what stands under ``if __name__ == "__main__"`` are not. An import is a binding of
its own kind: two cells that both ``import torch`` do not define anything twice.
"""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


@dataclass(frozen=True)
class Binding:
    """One top-level statement that binds names.

    Attributes
    ----------
    node
        The statement.
    defined
        Names it defines, in order.
    imported
        Names it imports, and what each stands for: ``{"nn": "torch.nn"}``.
    """

    node: ast.stmt
    defined: tuple[str, ...]
    imported: Mapping[str, str]

    @property
    def names(self) -> frozenset[str]:
        """Every name that the statement binds."""
        return frozenset(self.defined) | frozenset(self.imported)


def bindings(tree: ast.Module) -> list[Binding]:
    """Return the top-level statements that bind names, in order."""
    found = []
    for node in tree.body:
        defined: dict[str, None] = {}
        imported: dict[str, str] = {}
        _collect(node, defined, imported)
        if defined or imported:
            found.append(Binding(node, tuple(defined), imported))
    return found


def definitions(tree: ast.Module) -> dict[str, None]:
    """Return the names that the source defines, in order of first appearance; imports are not among them."""
    return {name: None for binding in bindings(tree) for name in binding.defined}


def imports(tree: ast.Module) -> dict[str, frozenset[str]]:
    """Return the names that the source imports, and all that each may stand for."""
    found: dict[str, frozenset[str]] = {}
    for binding in bindings(tree):
        for name, origin in binding.imported.items():
            found[name] = found.get(name, frozenset()) | {origin}
    return found


def _collect(  # noqa: C901, PLR0912 - one case for each kind of statement
    node: ast.AST, defined: dict[str, None], imported: dict[str, str]
) -> None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            defined[node.name] = None
        case ast.Assign():
            for target in node.targets:
                _targets(target, defined)
        case ast.AnnAssign():
            if node.value is not None:
                _targets(node.target, defined)
        case ast.Import():
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                imported[name] = alias.name if alias.asname else name
        case ast.ImportFrom():
            _collect_from(node, imported)
        case ast.If() if _is_main_guard(node.test):
            pass
        case _ if type(node).__name__ == "TypeAlias":  # `type X = ...`, from Python 3.12 on
            _targets(node.name, defined)  # type: ignore[attr-defined]
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                    _collect(child, defined, imported)


def _collect_from(node: ast.ImportFrom, imported: dict[str, str]) -> None:
    if node.module == "__future__":
        return
    base = "." * node.level + (node.module or "")
    for alias in node.names:
        if alias.name != "*":
            imported[alias.asname or alias.name] = f"{base}.{alias.name}" if node.module else base + alias.name


def _targets(target: ast.expr, defined: dict[str, None]) -> None:
    match target:
        case ast.Name(id=name) if name != "_":
            defined[name] = None
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                _targets(part, defined)
        case ast.Starred(value=value):
            _targets(value, defined)


def _is_main_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


@dataclass(frozen=True)
class Reads:
    """The module-level and built-in names that a piece of source reads.

    Attributes
    ----------
    now
        While it is executed: top-level expressions, class bodies, decorators, default arguments, annotations.
    later
        When its functions are called.
    """

    now: frozenset[str] = field(default=frozenset())
    later: frozenset[str] = field(default=frozenset())


def reads(source: str) -> Reads:
    """Return what ``source`` reads; nothing where it does not parse.

    The standard library's symbol tables decide what is global, so a function's own variables are not mistaken for
    names of the module.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table = symtable.symtable(source, "source", "exec")
        except (SyntaxError, ValueError, RecursionError):
            return Reads()
    now: set[str] = set()
    later: set[str] = set()
    _read(table, now, later, deferred=False)
    return Reads(frozenset(now), frozenset(later))


def _read(table: symtable.SymbolTable, now: set[str], later: set[str], *, deferred: bool) -> None:
    if str(table.get_type()) == "function" and table.get_name() not in _COMPREHENSIONS:
        deferred = True
    top = str(table.get_type()) == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            (later if deferred else now).add(symbol.get_name())
    for child in table.get_children():
        _read(child, now, later, deferred=deferred)
