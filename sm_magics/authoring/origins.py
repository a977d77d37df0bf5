"""Which cell of a notebook a line of generated code was taken from: the one that has the same definition, word by word.

Packaging copies classes and functions out of cells into ``sm_model.py``. Nothing is noted about that: whether a cell is
where a line comes from is seen by its text, so a cell that was edited since is never blamed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from .cells import python_of
from .source import lines_of, parse


@dataclass(frozen=True)
class Cell:
    """A cell of the notebook.

    Attributes
    ----------
    source
        As typed, or as IPython's history has it.
    execution_count
        0 where it is not known.
    id
        Empty where it is not known.
    """

    source: str
    execution_count: int = 0
    id: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a line was taken from.

    Attributes
    ----------
    cell
        The last cell that has it.
    line
        The line in the cell, counted from 1.
    definition
        What it is in, as words: ``class Net``, ``function clean``.
    first
        The first line of that in the generated code.
    """

    cell: Cell
    line: int
    definition: str
    first: int


def origin(text: str, line: int, cells: Iterable[Cell]) -> Origin | None:
    """Return where a line of generated code was taken from; None where no cell has the definition that it is in.

    Parameters
    ----------
    text
        The file.
    line
        Counted from 1.
    cells
        Oldest first.
    """
    found = next((one for one in _definitions(text) if one.first <= line <= one.last), None)
    if found is None:
        return None
    for cell in reversed(tuple(cells)):
        if found.name not in cell.source:
            continue
        for one in _definitions(python_of(cell.source)):
            if one.lines == found.lines:
                return Origin(cell, line - found.first + one.first, f"{one.kind} {one.name}", found.first)
    return None


@dataclass(frozen=True)
class _Definition:
    kind: str
    name: str
    first: int
    last: int
    lines: tuple[str, ...]


def _definitions(text: str) -> list[_Definition]:
    tree = parse(text)
    lines = [line.rstrip() for line in lines_of(text)]
    found = []
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            last = node.end_lineno or node.lineno
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            found.append(_Definition(kind, node.name, first, last, tuple(lines[first - 1 : last])))
    return found
