"""What was put on a class after its definition: functions of the live class that are not those of its body."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import FunctionType

from .bindings import bindings
from .live import own_file


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
        function = _function(value)
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


def _function(value: object) -> FunctionType | None:
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
