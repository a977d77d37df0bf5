"""What was put on a class after its definition: functions and values of the live class that its body does not have."""

from __future__ import annotations

import ast
import inspect
from abc import ABCMeta
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from sm_magics.authoring.checks.files import dotted

from .bindings import bindings
from .live import is_plain, own_file


def put_on(cls: type, definition: ast.ClassDef | None, notebook: str) -> Iterator[tuple[str, FunctionType]]:
    """Yield the methods that a class got from elsewhere, by ``setattr`` or assignment, and their functions.

    What decorators, metaclasses and ``__init_subclass__`` of the user's own add is not among them: they run again
    wherever the definition does. Nor is what the interpreter and installed libraries add.

    Parameters
    ----------
    cls
        The class as it is now.
    definition
        Its definition in the notebook; None for a class of a module, on which only the notebook puts anything.
    notebook
        The name of the module that the notebook's functions belong to.
    """
    body = bindings(ast.Module(definition.body, [])) if definition else []
    bound = {name for binding in body for name in binding.names}
    defined = {binding.node.name: binding.node for binding in body if isinstance(binding.node, ast.FunctionDef)}
    prefix = f"_{cls.__name__.lstrip('_')}__"
    for attribute, value in list(vars(cls).items()):
        function = function_of(value)
        home = getattr(function, "__module__", None)  # None for what exec made, such as a dataclass's methods
        if function is None or not home or not (home == notebook or (definition and own_file(home))):
            continue
        name = attribute.removeprefix(prefix[:-2]) if attribute.startswith(prefix) else attribute
        made_here = function.__qualname__.startswith(f"{cls.__qualname__}.")
        if name in defined:
            wrapped = bool(defined[name].decorator_list) and "<locals>" in function.__qualname__
            foreign = function.__qualname__ != f"{cls.__qualname__}.{name}" and not wrapped
        else:
            foreign = name not in bound and not made_here and not (definition and _adds(cls, definition))
        if foreign:
            yield attribute, function


def changed_values(cls: type, definition: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Yield the plain attributes of a class that are not as its body has them: set, added or grown since.

    Numbers, text and containers of them are compared; what the body computes, and what decorators and base classes may
    have set, is taken as it comes. Those of a class within it are named by it: ``Model.hidden``.
    """
    for node in definition.body:
        inner = vars(cls).get(node.name) if isinstance(node, ast.ClassDef) else None
        if isinstance(node, ast.ClassDef) and isinstance(inner, type) and inner.__module__ == cls.__module__:
            yield from ((f"{node.name}.{name}", value) for name, value in changed_values(inner, node))
    written: dict[str, ast.expr | None] = {}
    for binding in bindings(ast.Module(definition.body, [])):
        node = binding.node
        single = isinstance(node, ast.AnnAssign) or (isinstance(node, ast.Assign) and len(node.targets) == 1)
        for name in binding.names:
            once = single and name not in written
            written[name] = node.value if once and isinstance(node, ast.Assign | ast.AnnAssign) else None
    prefix = f"_{cls.__name__.lstrip('_')}__"
    for name, value in list(vars(cls).items()):
        spelled = name.removeprefix(prefix[:-2]) if name.startswith(prefix) else name
        if (name.startswith("__") and name.endswith("__")) or not is_plain(value):
            continue
        if spelled in written:
            expression = written[spelled]
            if expression is None or _literal(expression, value) in {None, True}:
                continue
        elif name.startswith("_") or isinstance(value, bytes) or _adds(cls, definition) or _is_special(cls):
            continue
        yield name, value


def _literal(expression: ast.expr, value: Any) -> bool | None:
    """Return whether a literal has a value; None for what is no literal."""
    try:
        return repr(ast.literal_eval(expression)) == repr(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_special(cls: type) -> bool:
    """Return whether the class is of a kind that puts attributes on itself, such as an enum or a named tuple."""
    return type(cls) not in {type, ABCMeta} or issubclass(cls, tuple)


def function_of(value: object) -> FunctionType | None:
    """Return the function that an attribute of a class is made of, if there is one."""
    for inside in ("fget", "func", "__func__"):
        value = getattr(value, inside, None) or value
    inner = inspect.unwrap(value) if callable(value) else value
    return inner if isinstance(inner, FunctionType) else None


def _adds(cls: type, definition: ast.ClassDef) -> bool:
    """Return whether something that runs with the definition may add methods."""
    own = [base for base in cls.__mro__[1:] if base.__module__ == cls.__module__]
    return bool(
        definition.decorator_list or definition.keywords or any("__init_subclass__" in vars(base) for base in own)
    ) or (type(cls).__module__ == cls.__module__)


def attachments(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield what a statement puts on objects by name: ``"Net.forward"`` and the expression for it."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if dotted(target).count(".") == 1:
                yield dotted(target), node.value
    match node:
        case ast.Expr(ast.Call(ast.Name("setattr"), [ast.Name(owner), ast.Constant(str(attribute)), value])):
            yield f"{owner}.{attribute}", value
