"""Definitions whose defaults and class attributes were computed from what has changed since.

``def scale(x, by=FACTOR)`` keeps the ``FACTOR`` of the moment when it was executed. Executed again elsewhere it would
take today's, so where the two differ, the plain value that the live function or class has is written in its place.
Another value, such as a function that no name stands for any more, cannot be written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sm_magics.authoring.cells import Statement, statements
from sm_magics.authoring.source import Offsets, parse

from .attached import function_of
from .constants import Constants, alike
from .live import is_plain, written_out

_NOTHING: Any = object()


def settled(
    statement: Statement, value: Any, constants: Constants, namespace: Mapping[str, Any]
) -> tuple[Statement, tuple[str, ...]]:
    """Return a definition that gives the live function or class, whatever its names stand for by now.

    With it go the expressions for which that cannot be had.

    Parameters
    ----------
    statement
        The definition.
    value
        The live function or class.
    constants
        Says which expressions may be evaluated.
    namespace
        The notebook's variables.
    """
    tree = parse(statement.text)
    if tree is None or len(tree.body) != 1:
        return statement, ()
    offsets = Offsets(statement.text)
    text = statement.text
    stale = [
        (expression, live)
        for expression, live, scope in _computed(tree.body[0], value)
        if (is_plain(live) or (isinstance(expression, ast.Name) and not scope))
        and constants.only_makes(expression)
        and not _gives(expression, live, namespace, scope)
    ]
    lost = []
    for expression, live in sorted(stale, key=lambda item: offsets.start(item[0]), reverse=True):
        written = written_out(live)
        if written is None:
            lost.append(ast.unparse(expression))
        else:
            text = text[: offsets.start(expression)] + written + text[offsets.end(expression) :]
    again = statements(text, statement.place[0]) if text != statement.text else []
    return (replace(again[0], place=statement.place) if len(again) == 1 else statement), tuple(lost)


def _computed(node: ast.AST, value: Any) -> Iterator[tuple[ast.expr, Any, dict[str, Any]]]:
    """Yield the expressions that were evaluated with a definition, what each gave, and the names of its class."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = function_of(value)
        if function is None or function.__code__.co_name != node.name:
            return
        defaults = function.__defaults__ or ()
        if len(defaults) == len(node.args.defaults):
            yield from ((expression, live, {}) for expression, live in zip(node.args.defaults, defaults, strict=True))
        for argument, expression in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            if expression is not None and argument.arg in (function.__kwdefaults__ or {}):
                yield expression, (function.__kwdefaults__ or {})[argument.arg], {}
    elif isinstance(node, ast.ClassDef) and isinstance(value, type):
        held = dict(vars(value))
        for part in node.body:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name in held:
                yield from ((one, live, held) for one, live, _ in _computed(part, held[part.name]))
            target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", None)
            if isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None and isinstance(target, ast.Name):
                yield part.value, held.get(target.id, _NOTHING), held


def _gives(expression: ast.expr, live: Any, namespace: Mapping[str, Any], scope: dict[str, Any]) -> bool:
    """Return whether an expression still gives the value that it gave."""
    try:
        code = compile(ast.Expression(expression), "<default>", "eval", dont_inherit=True)
        now = eval(code, dict(namespace), dict(scope))  # noqa: S307 - the notebook's own, which only makes a value
    except Exception:  # noqa: BLE001 - such as a name that is no more
        return False
    return alike(now, live)
