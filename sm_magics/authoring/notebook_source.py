"""The slice of a notebook that a class or function needs: its source, and that of everything it refers to.

What is taken, and from where:

- Classes and functions of the notebook: as they stand now. The running object says which cell made it, through its
  code's file name in ``linecache``, where IPython keeps each cell; else the last cell that defines the name counts.
  A class comes with the bases that it really has, and what was put on it since; a function that registers others with
  those that are registered with it.
- Imports: as written, those that are needed, at the top.
- Constants: the assignment as written if it gives the value that is there now and what it is made of can be sliced too;
  else the value, as source if it is small, as a file otherwise.
- Modules of the user's own that the slice imports are named, so that they can be put beside it.

Where the source refers to a name for which there is nothing of this, it is in ``missing``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .cells import statements
from .slicing.assembly import own_modules
from .slicing.attached import put_on
from .slicing.following import Slicer, is_here
from .slicing.live import NOTHING, own_file
from .slicing.sliced import Slice
from .slicing.values import PlainValues, Values

__all__ = ["Slice", "slice_of", "slice_of_names"]


def slice_of(
    obj: Any,
    *,
    cells: Sequence[str],
    namespace: Mapping[str, object],
    values: Values | None = None,
    objects: Collection[str] = (),
) -> Slice:
    """Return the source of a class or function with all it needs.

    Parameters
    ----------
    obj
        The class or function. One of an installed package gives an import; one of a module of the user's own beside
        the notebook gives that module's text.
    cells
        The sources executed so far, oldest first, as typed: magics are left out.
    namespace
        The notebook's variables as they are now.
    values
        How values travel that no assignment gives; by default as literals.
    objects
        Names whose values travel as files in any case.
    """
    if obj.__module__ not in {"__main__", "builtins"} and not is_here(obj, namespace):
        return _slice_of_module(obj, str(namespace.get("__name__", "__main__")))
    name = obj.__qualname__.partition(".")[0]
    if "<locals>" in obj.__qualname__:
        # Made inside a function: only that function could make it again.
        return Slice("", (), (obj.__qualname__,))
    slicer = Slicer(cells, namespace, values or PlainValues(), frozenset(objects))
    return slicer.slice({name: obj})


def slice_of_names(
    names: Collection[str],
    *,
    cells: Sequence[str],
    namespace: Mapping[str, object],
    values: Values | None = None,
    objects: Collection[str] = (),
) -> Slice:
    """Return the source that gives names of the notebook the values that they have, with all they need.

    Parameters are as for `slice_of`. Names that cannot be sliced are in ``missing``.
    """
    slicer = Slicer(cells, namespace, values or PlainValues(), frozenset(objects))
    return slicer.slice(dict.fromkeys(sorted(names), NOTHING))


def _slice_of_module(obj: Any, notebook: str) -> Slice:
    module = sys.modules[obj.__module__]
    path = own_file(obj.__module__)
    name = obj.__qualname__.partition(".")[0]
    attached = put_on(obj, None, notebook) if isinstance(obj, type) else ()
    missing = tuple(f"{obj.__qualname__}.{attribute}" for attribute, _ in attached)
    if path is None:
        return Slice(f"from {obj.__module__} import {name}\n", (), missing)
    source = inspect.getsource(module)
    found = statements(source, 0)
    names = tuple(dict.fromkeys(name for statement in found for name in statement.binding.defined))
    return Slice(source, names, missing, dict(own_modules(found)))
