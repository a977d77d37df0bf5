"""Notebook cells as Python: without the magics, and with each top-level statement at hand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .bindings import Binding, Reads, bindings, reads
from .editing import statement_start
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


def history(cells: Sequence[str]) -> list[Statement]:
    """Return the statements of all cells, in the order of execution."""
    return [statement for place, cell in enumerate(cells) for statement in statements(cell, place)]


def latest(found: Iterable[Statement]) -> dict[str, Statement]:
    """Return the statement that bound each name last."""
    return {name: statement for statement in found for name in sorted(statement.binding.names)}


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
