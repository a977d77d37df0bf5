"""Notebook cells as Python: without the magics, and with each top-level statement at hand."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from .editing import statement_start
from .slicing.bindings import Binding, Reads, bindings, reads
from .slicing.live import NOTHING
from .source import Offsets, lines_of, parse

_CELL_MAGIC = re.compile(r"%%(?P<name>\w+)(?P<line>[^\n]*)\n?")
_LINE_MAGIC = re.compile(r"(?P<indent>[ \t]*)(?:[%!?]|(?:[\w.]+(?:[ \t]*,[ \t]*[\w.]+)*)[ \t]*=[ \t]*[%!]|[\w.]+\?)")

_POSTPONED = "from __future__ import annotations\n"


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a cell.

    Attributes
    ----------
    place
        Index of its cell and line in it: its place in the order of execution.
    text
        Its source, with decorators and the comment lines directly above it, and a line end.
    binding
        The names it binds.
    node
        Its syntax tree.
    reads
        The global names it reads.
    annotations
        Those among them that only annotations read: with postponed annotations nothing needs them to run.
    features
        ``from __future__`` features that its cell asks for.
    """

    place: tuple[int, int]
    text: str
    binding: Binding
    node: ast.stmt
    reads: Reads
    annotations: frozenset[str]
    features: frozenset[str]


def statements(source: str, place: int) -> list[Statement]:
    """Return the top-level statements of a cell; none where it is not Python even without its magics."""
    text = python_of(source)
    tree = parse(text)
    if tree is None:
        return []
    offsets = Offsets(text)
    bound = {id(binding.node): binding for binding in bindings(tree)}
    features = frozenset(
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    )
    found = []
    for node in tree.body:
        own = text[_begin(text, node, tree.body, offsets) : offsets.end(node)]
        rest = text[offsets.end(node) : offsets.line_end(offsets.end(node))]
        # A comment behind the statement belongs to it; another statement does not.
        own += rest.rstrip() if rest.lstrip().startswith("#") else ""
        every, postponed = reads(own), reads(_POSTPONED + own)
        found.append(
            Statement(
                place=(place, node.lineno),
                text=own.rstrip() + "\n",
                binding=bound.get(id(node), Binding(node, (), {})),
                node=node,
                reads=every,
                annotations=(every.now | every.later) - postponed.now - postponed.later,
                features=features,
            )
        )
    return found


def inner_definition(statement: Statement, name: str, line: int) -> Statement | None:
    """Return a class or function that stands inside of a ``with``, a loop, an ``if`` or a ``try``, on its own.

    Parameters
    ----------
    statement
        The statement around it.
    name
        Its name.
    line
        A line of it, counted as the cell's; 0 if not known, which will do where there is one definition of the name.
    """
    lines = lines_of(statement.text)
    tree = parse(statement.text)
    if tree is None:
        return None
    offset = statement.node.lineno - tree.body[0].lineno
    inside = list(_defined_inside(tree.body, name))
    found = [node for node in inside if node.lineno + offset <= line <= (node.end_lineno or 0) + offset]
    if len(found or inside) != 1:
        return None
    node = (found or inside)[0]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    alone = statements(textwrap.dedent("".join(lines[first : node.end_lineno])), statement.place[0])
    if len(alone) != 1 or ast.dump(alone[0].node) != ast.dump(node):
        return None
    return replace(alone[0], place=(statement.place[0], node.lineno + offset))


def _defined_inside(
    body: Iterable[ast.AST], name: str
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == name:
                yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _defined_inside(ast.iter_child_nodes(node), name)


def history(cells: Sequence[str]) -> list[Statement]:
    """Return the statements of all cells, in the order of execution."""
    return [statement for place, cell in enumerate(cells) for statement in statements(cell, place)]


def latest(found: Iterable[Statement]) -> dict[str, Statement]:
    """Return the statement that bound each name last."""
    return {name: statement for statement in found for name in sorted(statement.binding.names)}


def star_import(found: Sequence[Statement], name: str, value: object) -> str | None:
    """Return the import of a single name that came by ``from x import *``; None if its value did not."""
    for statement in reversed(found) if value is not NOTHING else ():
        node = statement.node
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*" and not node.level:
            module = sys.modules.get(node.module or "")
            public = getattr(module, "__all__", None)
            if getattr(module, name, NOTHING) is value and (name in public if public else name[0] != "_"):
                return f"from {node.module} import {name}"
    return None


def python_of(source: str) -> str:
    """Return the Python in a cell: magics and shell commands give way to ``pass``, line for line.

    A cell under a cell magic that does not run it as Python here has none.
    """
    if (tree := parse(source)) is not None:
        called = _called_magic(tree)
        if called is None:
            return source
        name, line, body = called
        return python_of(body) if _runs_here(name, line) else ""
    lines = lines_of(source)
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if lines and (magic := _CELL_MAGIC.match(lines[first])):
        if not _runs_here(magic["name"], magic["line"]):
            return ""
        lines[first] = "\n"
        if parse("".join(lines)) is not None:
            return "".join(lines)
    for index, line in enumerate(lines):
        if found := _LINE_MAGIC.match(line):
            lines[index] = f"{found['indent']}pass\n"
    return "".join(lines)


def _called_magic(tree: ast.Module) -> tuple[str, str, str] | None:
    """Return name, line and cell of the cell magic that a cell is: IPython's history has it as the call it becomes."""
    match tree.body:
        case [ast.Expr(ast.Call(func=ast.Attribute(attr="run_cell_magic"), args=[*arguments]))]:
            values = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
            match values:
                case [str(name), str(line), str(body)]:
                    return name, line, body
    return None


def _runs_here(magic: str, line: str) -> bool:
    """Return whether the cell of a cell magic is Python that runs in the notebook's own namespace."""
    if magic in {"sm_inference", "sm_code"}:
        return "--run" in line.split()
    return magic in {"time", "capture", "prun"}


def _begin(text: str, node: ast.stmt, body: list[ast.stmt], offsets: Offsets) -> int:
    start = offsets.start(node)
    # Behind a semicolon, what stands before it on the line is another statement.
    if any(other is not node and offsets.end(other) <= start < offsets.line_end(offsets.end(other)) for other in body):
        return start
    return statement_start(text, node, offsets)
