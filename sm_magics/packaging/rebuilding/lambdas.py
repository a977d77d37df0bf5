"""Lambdas as source: the expression that made one, as it stands in the notebook's cell.

What it takes of a function around it becomes arguments: ``(lambda scale: lambda y: y * scale)(3.0)``.
"""

from __future__ import annotations

import ast
import dis
import linecache
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any


@dataclass(frozen=True)
class Lambda:
    """A lambda's source.

    Attributes
    ----------
    text
        The expression.
    enclosed
        Name to value, for the variables that it takes of functions around it.
    read
        Name to value, for the notebook's variables that it reads.
    """

    text: str
    enclosed: dict[str, Any]
    read: dict[str, Any]

    def written(self, value: Callable[[Any], str]) -> str:
        """Return an expression that makes it again, where `value` gives those of the variables around it."""
        if not self.enclosed:
            return f"({self.text})"
        return f"(lambda {', '.join(self.enclosed)}: {self.text})({', '.join(map(value, self.enclosed.values()))})"


def of_notebook(function: Any) -> Lambda | None:
    """Return the source of a lambda; None for what is none, or where no cell or several could have made it."""
    code = getattr(function, "__code__", None)
    if not isinstance(function, FunctionType) or code is None or function.__name__ != "<lambda>":
        return None
    if function.__module__ != "__main__" or function.__defaults__ or function.__kwdefaults__:
        return None  # defaults are values of the moment when it was made
    text = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(text)
        enclosed = {
            name: cell.cell_contents for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
        }
    except (SyntaxError, ValueError):
        return None
    found = {
        " ".join((ast.get_source_segment(text, node) or "").split())
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno and _makes(node, code)
    }
    if len(found) != 1:
        return None
    names = {name for name in _globals(code) if name in function.__globals__}
    return Lambda(found.pop(), enclosed, {name: function.__globals__[name] for name in sorted(names)})


def _makes(node: ast.Lambda, code: CodeType) -> bool:
    """Return whether an expression compiles to this code, the variables of functions around it given."""
    arguments = [ast.arg(name) for name in code.co_freevars]
    around = ast.arguments([], arguments, None, [], [], None, [])
    outer = ast.Lambda(around, node) if arguments else node
    made = compile(ast.fix_missing_locations(ast.copy_location(ast.Expression(outer), node)), "", "eval")
    for _ in range(2 if arguments else 1):
        made = next(one for one in made.co_consts if isinstance(one, CodeType))
    return behaviour(made) == behaviour(code)


def behaviour(code: CodeType) -> tuple[Any, ...]:
    """Return what code does, without where it stands: equal for the same source on another line or in another file."""
    constants = [behaviour(one) if isinstance(one, CodeType) else (type(one), one) for one in code.co_consts]
    return (code.co_code, code.co_names, code.co_varnames, code.co_freevars, tuple(constants))


def _globals(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)
