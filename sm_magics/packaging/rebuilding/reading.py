"""Which attributes of a model are read when it predicts, as far as the bytecode of its methods says.

Training leaves things on a model (loaders, optimizers, loggers) that no code can write and no request needs. A name
counts as read if what runs at the endpoint mentions it: a mention too many refuses a package, one too few fails there.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from .kinds import is_own

_ONCE = {"__init__", "__init_subclass__", "__new__", "__repr__", "__setattr__", "__class_getitem__"}
_BY_NAME = {"getattr", "vars", "__dict__", "attrgetter"}


def is_read(attribute: str, model: nn.Module, mentioned: Collection[str] = ()) -> bool:
    """Return whether predicting may read an attribute of one of a model's modules.

    Parameters
    ----------
    attribute
        Its name.
    model
        The model.
    mentioned
        Names that other code at the endpoint mentions.
    """
    read = {*mentioned, *_read_by(model)}
    in_a_methods_place = any(hasattr(type(module), attribute) for module in model.modules())
    return attribute in read or in_a_methods_place or bool(read & _BY_NAME)


def _read_by(model: nn.Module) -> set[str]:
    methods: dict[str, list[FunctionType]] = {}
    for module in model.modules():
        for cls in type(module).__mro__:
            if is_own(cls):
                for name, value in vars(cls).items():
                    for function in _functions(value):
                        methods.setdefault(name, []).append(function)
    todo = [
        function
        for name, functions in methods.items()
        if name == "forward" or (name.startswith("__") and name.endswith("__") and name not in _ONCE)
        for function in functions
    ]
    read: set[str] = set()
    seen: set[int] = set()
    while todo:
        function = todo.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        names = {*_names(function.__code__)}
        read |= names
        for name in names:
            todo += methods.get(name, [])
            todo += [one for one in _functions(function.__globals__.get(name)) if is_own_function(one)]
        todo += [one for cell in function.__closure__ or () for one in _functions(_contents(cell))]
    return read


def is_own_function(function: FunctionType) -> bool:
    """Return whether a function is the user's own."""
    return is_own(type("_", (), {"__module__": function.__module__})) if function.__module__ else False


def _functions(value: Any) -> Iterator[FunctionType]:
    """Yield the functions that an attribute is made of: of a property its getter, of a method the function."""
    for inside in (value, *(getattr(value, name, None) for name in ("fget", "func", "__func__", "__wrapped__"))):
        inner = inspect.unwrap(inside) if isinstance(inside, FunctionType) else inside
        if isinstance(inside, FunctionType):
            yield inside
        if isinstance(inner, FunctionType) and inner is not inside:
            yield inner


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            yield constant
