"""What a live value of the notebook says about where it comes from, and whether it can be written down."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import math
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTHING: Any = object()
"""Stands for a name that has no value."""

_PLAIN = (bool, int, float, str, bytes, type(None))
_LONGEST = 4000  # characters of a value that is written out


def made_in(value: object) -> Iterator[str]:
    """Yield the file names of the code that made a class or function, those that ``linecache`` has the lines of.

    A class has several where methods were put on it afterwards.
    """
    functions: list[object] = [value]
    if isinstance(value, type):
        functions = [getattr(one, "fget", None) or getattr(one, "func", None) or one for one in vars(value).values()]
    for function in functions:
        inner = inspect.unwrap(function) if callable(function) else getattr(function, "__func__", function)
        code = getattr(inner, "__code__", None)
        if code is None or (isinstance(value, type) and getattr(inner, "__module__", None) != value.__module__):
            continue
        filename = str(code.co_filename)
        # Generated methods, such as a dataclass's, come from "<string>".
        if filename in linecache.cache and linecache.getlines(filename):
            yield filename


def importable(name: str, value: object) -> str | None:
    """Return the import that gives a name its value, for what a cell got by ``import *`` or a start-up file."""
    module = getattr(value, "__module__", None)
    original = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    if not isinstance(module, str) or module in {"__main__", "builtins"} or module not in sys.modules:
        return None
    if not isinstance(original, str) or getattr(sys.modules[module], original, NOTHING) is not value:
        return None
    return f"from {module} import {original}" + (f" as {name}" if name != original else "")


def written_out(value: object) -> str | None:
    """Return a small plain value as source: numbers, text, and containers of them; None for anything else."""
    if not is_plain(value):
        return None
    text = literal(value)
    return text if len(text) <= _LONGEST else None


def literal(value: Any) -> str:
    """Return a plain value's source, as ``repr`` does, with sets sorted: the same text in every process."""
    if isinstance(value, set):
        return "{" + ", ".join(sorted(map(literal, value))) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + (",)" if len(value) == 1 else ")")
    return repr(value)


def is_plain(value: object) -> bool:
    """Return whether a value is nothing but numbers, text and containers of them, so that its text says it all."""
    if isinstance(value, float):
        return type(value) is float and math.isfinite(value)
    if type(value) in _PLAIN:
        return True
    if type(value) in {list, tuple, set, frozenset}:
        parts: Any = value
        return type(value) is not frozenset and bool(parts or type(value) is not set) and all(map(is_plain, parts))
    if isinstance(value, dict) and type(value) is dict:
        return all(is_plain(key) and is_plain(part) for key, part in value.items())
    return False


def _found(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec else None


def own_file(module: str) -> Path | None:
    """Return the file of a module of the user's own; None for an installed one and the standard library's.

    A module at the top level is looked for where it is not loaded, without loading it.
    """
    if module.partition(".")[0] in sys.stdlib_module_names:
        return None
    if module in sys.modules:
        file = getattr(sys.modules[module], "__file__", None)
    else:
        file = None if "." in module else _found(module)
    if not file:
        return None
    path = Path(file).resolve()
    if "site-packages" in path.parts or "dist-packages" in path.parts or path.suffix != ".py":
        return None
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in kinds}
    return None if any(path.is_relative_to(place) for place in installed) else path
