"""Whether a module that the notebook has imported is still what its file says.

What goes into the archive is the file. A person who edits it after importing it sees the old code at work in the
notebook. Nothing says reliably when a module was loaded, so what it holds is compared with what its file would define:
functions and methods by their bytecode and plain defaults, assignments of literals by their values.
"""

from __future__ import annotations

import ast
import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


def differing(path: Path, source: str) -> str:
    """Return the first name in a loaded module that is not what the module's file defines.

    Parameters
    ----------
    path
        The module's file.
    source
        The file's text.

    Returns
    -------
    str
        A name such as ``Net.forward``; empty if nothing differs, or the module is not loaded.
    """
    module = _loaded_from(path)
    if module is None:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
        code = compile(tree, str(path), "exec", dont_inherit=True)
    return next(_differing(tree.body, code, vars(module)), "")


def _loaded_from(path: Path) -> ModuleType | None:
    place = path.resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        named = name != "__main__" and isinstance(file, str) and Path(file).name == place.name
        if named and Path(str(file)).resolve() == place:
            return module
    return None


def _differing(body: Sequence[ast.stmt], code: CodeType, live: Mapping[str, Any]) -> Iterator[str]:
    codes = {part.co_name: part for part in code.co_consts if isinstance(part, CodeType)}
    # What is bound in several places (a property and its setter, a default and what a function replaces it with) may
    # have come from any of them.
    bound = Counter(name for node in body for name in [*_binds(node), *_rebinds(node)])
    for node in body:
        for name in _binds(node):
            if bound[name] > 1 or (name.startswith("__") and not name.endswith("__")):
                continue
            if name not in live:
                yield name
            elif isinstance(node, ast.ClassDef):
                if isinstance(live[name], type) and name in codes:
                    yield from (f"{name}.{inner}" for inner in _differing(node.body, codes[name], vars(live[name])))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                function = _plain(live[name])
                if function and name in codes and not _same_function(function, node, codes[name]):
                    yield name
            elif isinstance(node, ast.Assign) and not _same_value(node.value, live[name]):
                yield name


def _binds(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _rebinds(node: ast.stmt) -> set[str]:
    """Return the names that a statement of another kind may bind or delete, and those declared global in it."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Global):
            found.update(part.names)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign):
            continue
        elif isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            found.add(part.id)
        elif isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(part.name)
    return found


def _plain(value: Any) -> FunctionType | None:
    """Return the function inside of a method, property or well-behaved decorator."""
    inner = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
    inner = inspect.unwrap(inner) if callable(inner) else inner
    return inner if isinstance(inner, FunctionType) else None


def _same_function(live: FunctionType, node: ast.FunctionDef | ast.AsyncFunctionDef, code: CodeType) -> bool:
    if live.__code__.co_name != code.co_name:
        return True  # a decorator's own, which hides the one that is meant
    defaults = live.__defaults__ or ()
    alike = len(defaults) == len(node.args.defaults) and all(map(_same_value, node.args.defaults, defaults))
    return alike and _same_code(live.__code__, code)


def _same_value(expression: ast.expr, live: Any) -> bool:
    """Return whether a literal has the value that is there; what is no literal is not compared."""
    try:
        value = ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return True
    return repr(value) == repr(live)


def _same_code(one: CodeType, two: CodeType) -> bool:
    if any(getattr(one, part) != getattr(two, part) for part in _PARTS) or len(one.co_consts) != len(two.co_consts):
        return False
    return all(
        _same_code(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else repr(a) == repr(b)
        for a, b in zip(one.co_consts, two.co_consts, strict=True)
    )


def same_class(one: type, two: type) -> bool:
    """Return whether two classes were made by the same code."""
    if one is two:
        return True
    here, there = ({name: _plain(value) for name, value in vars(cls).items()} for cls in (one, two))
    if here.keys() != there.keys():
        return False
    pairs = [(function, there[name]) for name, function in here.items()]
    return all(a is b or (a and b and _same_code(a.__code__, b.__code__)) for a, b in pairs)


_PARTS = (
    "co_code",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_flags",
)
