"""Values as source code: what a person would write to get an equal value."""
# ruff: noqa: SLF001 - the tables at the end name the methods of the class above

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import itertools
import math
import operator
import re
import sys
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from types import MethodType, SimpleNamespace
from typing import Any, TypeAlias

import torch
from torch import nn

from .kinds import is_estimator, is_own, is_storable
from .lambdas import of_notebook

_INLINE_ELEMENTS = 64  # a tensor of more than this belongs into a file, not into source code
_INLINE_CHARACTERS = 2000  # and so does a container whose text is longer

OBJECT = '''\
def _object(cls, **attributes):
    """Return an object of the class that has these attributes, without running its constructor."""
    made = cls.__new__(cls)
    for name, value in attributes.items():
        object.__setattr__(made, name, value)
    return made
'''
"""What expressions for objects of the user's own classes call."""

_USUAL: Any = (object.__reduce_ex__, object.__reduce__)


class Inexpressible(Exception):  # noqa: N818 - it says something of a value, and is never shown by itself
    """A value that cannot be written as source code; the message says why, and how it may be meant."""


def quoted(text: str) -> str:
    """Return a string's literal, in double quotes where that needs no escape."""
    return repr(text) if '"' in text or "'" in text else f'"{repr(text)[1:-1]}"'


class Writer:
    """Writes values as expressions, and collects what the expressions need to be known.

    Attributes
    ----------
    imports
        Import statements that the expressions need.
    defined
        Name to object, for what ``__main__`` defines: the generated file must define it too.
    imported
        Classes and functions that the expressions import.
    parts
        Expressions for objects that exist already, by their ``id``.
    stored
        Name to value, for what the expressions take from elsewhere because it is too large for source code.
    definitions
        Functions that the expressions call.
    read
        Name to value, for the notebook's variables that lambdas among the expressions read.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.imports: set[str] = set()
        self.defined: dict[str, object] = {}
        self.imported: list[object] = []
        self.parts: dict[int, str] = {}
        self.stored: dict[str, object] = {}
        self.definitions: set[str] = set()
        self.read: dict[str, object] = {}
        self._called: list[str] = []  # the attributes on the way to the value that is being written
        self._writing: set[int] = set()
        self._namespace = namespace
        self._bound: dict[str, object] = {}

    def reference(self, value: Any) -> str:
        """Return the expression that names a class or a function.

        Raises
        ------
        Inexpressible
            If no import or definition gives it: a lambda, something local to a function, an object made at run time.
        """
        name = getattr(value, "__name__", "")
        for home, statement, prefix in (
            (nn, "from torch import nn", "nn"),
            (torch, "import torch", "torch"),
            (nn.functional, "from torch.nn import functional as F", "F"),
            (math, "import math", "math"),
            (operator, "import operator", "operator"),
            (builtins, "", ""),
        ):
            if name and getattr(home, name, None) is value and self._namespace.get(prefix, home) is home:
                self.imports.update({statement} - {""})
                return f"{prefix}.{name}".lstrip(".")
        module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if (text := self._lambda(value)) is not None:
            return text
        if "<" in qualified or not qualified or not module:
            raise Inexpressible("is a lambda or was made inside a function")
        root = qualified.partition(".")[0]
        if module == "__main__":
            # A class may have been defined again since; the model is made of the one it was made of.
            self.defined[root] = value if root == qualified else self._namespace.get(root, value)
            return str(qualified)
        found: Any = sys.modules.get(module)
        for part in qualified.split("."):
            found = getattr(found, part, None)
        if found is not value:
            raise Inexpressible(f"is not what importing {module}.{qualified} gives")
        self.imported.append(value)
        if self._bound.setdefault(root, (module, root)) == (module, root):
            self.imports.add(f"from {module} import {root}")
            return str(qualified)
        self.imports.add(f"import {module}")
        return f"{module}.{qualified}"

    def _lambda(self, value: Any) -> str | None:
        if (found := of_notebook(value)) is None:
            return None
        called = next((name for name, there in self._namespace.items() if there is value and name[0] != "_"), "")
        self.read.update({called: value} if called else found.read)
        return called or found.written(self.value)

    def value(self, value: Any) -> str:
        """Return an expression that gives an equal value.

        Raises
        ------
        Inexpressible
            If there is none that one would want in source code.
        """
        if id(value) in self.parts:
            return self.parts[id(value)]
        if id(value) in self._writing:
            raise Inexpressible("refers to itself")
        self._writing.add(id(value))
        try:
            text = self._expression(value)
        finally:
            self._writing.discard(id(value))
        if len(text) > _INLINE_CHARACTERS and type(value) in _CONTAINERS and is_storable(value):
            return self._store(value)
        return text

    def named(self, name: str, value: Any) -> str:
        """Return an expression as `value` does, for what is called so."""
        self._called.append(name)
        try:
            return self.value(value)
        finally:
            self._called.pop()

    def _store(self, value: Any) -> str:
        wanted = re.sub(r"\W", "_", "_".join(self._called)).strip("_").lower() or "value"
        for name in itertools.chain([wanted], (f"{wanted}_{number}" for number in itertools.count(2))):
            if self.stored.setdefault(name, value) is value and name not in self._namespace:
                return name
            if self.stored[name] is value:
                del self.stored[name]
        raise AssertionError

    def _expression(self, value: Any) -> str:
        write = _BY_TYPE.get(type(value))  # exactly: a subclass of dict is not what a dict's literal gives
        if write is not None:
            return write(self, value)
        for matches, write in _BY_NATURE:
            if matches(value):
                return write(self, value)
        kind = type(value)
        raise Inexpressible(f"is a {kind.__module__}.{kind.__qualname__}")

    def _method(self, value: MethodType) -> str:
        if getattr(type(value.__self__), value.__name__, None) is not value.__func__:
            self.imports.add("from types import MethodType")
            return f"MethodType({self.value(value.__func__)}, {self.value(value.__self__)})"
        return f"{self.value(value.__self__)}.{value.__name__}"

    def _module(self, _value: nn.Module) -> str:
        raise Inexpressible("holds a module that is no child: no state_dict has its weights (see nn.ModuleList)")

    def _float(self, value: float) -> str:
        return repr(value) if math.isfinite(value) else f'float("{value}")'

    def _complex(self, value: complex) -> str:
        return f"complex({self.value(value.real)}, {self.value(value.imag)})"

    def _items(self, values: Iterable[Any]) -> str:
        return ", ".join(map(self.value, values))

    def _unordered(self, values: Iterable[Any]) -> str:
        # A set has no order of its own; the text must not depend on this process's hashes.
        return ", ".join(sorted(map(self.value, values)))

    def _tuple(self, value: tuple[Any, ...]) -> str:
        return f"({self.value(value[0])},)" if len(value) == 1 else f"({self._items(value)})"

    def _dict(self, value: dict[Any, Any]) -> str:
        return "{" + ", ".join(f"{self.value(key)}: {self.value(item)}" for key, item in value.items()) + "}"

    def _set(self, value: set[Any]) -> str:
        return f"{{{self._unordered(value)}}}" if value else "set()"

    def _ordered_dict(self, value: OrderedDict[Any, Any]) -> str:
        self.imports.add("from collections import OrderedDict")
        return f"OrderedDict({self.value(list(value.items()))})"

    def _slice(self, value: slice) -> str:
        return f"slice({self._items((value.start, value.stop, value.step))})"

    def _torch_constant(self, value: object) -> str:
        self.imports.add("import torch")
        return repr(value)

    def _device(self, value: torch.device) -> str:
        self.imports.add("import torch")
        if value.type == "cpu":
            return 'torch.device("cpu")'
        return 'torch.device("cuda" if torch.cuda.is_available() else "cpu")'

    def _tensor(self, value: torch.Tensor) -> str:
        if type(value) is torch.Tensor and value.layout is torch.sparse_coo and not value.is_meta:
            parts = value.detach().coalesce()
            self.imports.add("import torch")
            arguments = self._items((parts.indices(), parts.values(), parts.shape))
            return f"torch.sparse_coo_tensor({arguments}, check_invariants=True).coalesce()"
        if type(value) is not torch.Tensor or value.is_meta or value.is_quantized or value.layout is not torch.strided:
            raise Inexpressible(f"is a {type(value).__name__} that is neither a parameter nor a buffer")
        if value.numel() > _INLINE_ELEMENTS:
            return self._store(value)
        self.imports.add("import torch")
        shape = f".reshape({tuple(value.shape)!r})" if 0 in value.shape else ""
        return f"torch.tensor({self.value(value.detach().cpu().tolist())}, dtype={value.dtype}){shape}"

    def _enum(self, value: enum.Enum) -> str:
        if not value.name or "|" in value.name:  # flags that are set together
            return f"{self.reference(type(value))}({value.value!r})"
        return f"{self.reference(type(value))}.{value.name}"

    def _pattern(self, value: re.Pattern[Any]) -> str:
        self.imports.add("import re")
        flags = int(value.flags & ~(re.UNICODE if isinstance(value.pattern, str) else 0))
        return f"re.compile({value.pattern!r}{f', {flags}' if flags else ''})"

    def _path(self, value: PurePath) -> str:
        self.imports.add("from pathlib import Path")
        return f"Path({quoted(str(value))})"

    def _estimator(self, value: Any) -> str:
        return self._store(value)

    def _reduced(self, value: Any) -> str:
        """Return the call that pickling would make, for a value of the standard library that is made by one."""
        made = value.__reduce_ex__(2)
        function, arguments, *rest = made
        if any(part is not None for part in rest[:1]) or not isinstance(function, type):
            raise Inexpressible(f"is a {type(value).__module__}.{type(value).__qualname__}")
        items = [self.value(argument) for argument in arguments]
        if len(rest) > 1 and rest[1] is not None:  # what a list-like holds
            items[:1] = [self.value(list(value))]
        if len(rest) > 2 and rest[2] is not None:  # noqa: PLR2004 - what a dict-like holds
            items.append(self.value(dict(value)))
        return f"{self.reference(function)}({', '.join(items)})"

    def _extended(self, value: Any) -> str:
        """Return an expression for a value of the user's own subclass of a built-in one, made of what it holds."""
        base = next(base for base in _EXTENDED if isinstance(value, base))
        plain = base(value)
        made = type(value)(plain)
        if base(made) != plain or getattr(made, "__dict__", {}) != getattr(value, "__dict__", {}):
            raise Inexpressible(f"is a {type(value).__qualname__} that holds more than a {base.__name__}")
        return f"{self.reference(type(value))}({self.value(plain)})"

    def _instance(self, value: Any) -> str:
        """Return an expression for an object of the user's own class, attribute by attribute."""
        cls = type(value)
        if (cls.__reduce_ex__, cls.__reduce__) != _USUAL:
            raise Inexpressible(f"is a {cls.__qualname__}, which pickles itself in its own way")
        slots = [name for base in cls.__mro__ for name in _slots(base)]
        attributes = {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(
            value, "__dict__", {}
        )
        self.definitions.add(OBJECT)
        return f"_object({', '.join([self.reference(cls), *self._keywords(attributes)])})"

    def _partial(self, value: functools.partial[Any]) -> str:
        self.imports.add("import functools")
        arguments = [self.value(value.func), *map(self.value, value.args), *self._keywords(value.keywords)]
        return f"functools.partial({', '.join(arguments)})"

    def _simple_namespace(self, value: SimpleNamespace) -> str:
        self.imports.add("from types import SimpleNamespace")
        return f"SimpleNamespace({', '.join(self._keywords(vars(value)))})"

    def _namespace_of_arguments(self, value: Namespace) -> str:
        self.imports.add("import argparse")
        return f"argparse.Namespace({', '.join(self._keywords(vars(value)))})"

    def _dataclass(self, value: Any) -> str:
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if item.init}
        return f"{self.reference(type(value))}({', '.join(self._keywords(fields))})"

    def _named_tuple(self, value: Any) -> str:
        return f"{self.reference(type(value))}({', '.join(self._keywords(value._asdict()))})"

    def _numpy(self, value: Any) -> str:
        kind = type(value).__name__
        if kind in {"str_", "bytes_"}:  # a string like any other, and written as one: list(iris.target_names)
            return self.value(value.item())
        if not hasattr(value, "dtype") or value.dtype.kind not in "biuf":
            if kind == "ndarray" and is_storable(value):
                return self._store(value)
            raise Inexpressible(f"is a numpy.{kind}")
        if value.size > _INLINE_ELEMENTS:
            return self._store(value)
        self.imports.add("import numpy as np")
        text = self.value(value.tolist())
        return f"np.array({text}, dtype=np.{value.dtype})" if kind == "ndarray" else f"np.{kind}({text})"

    def _keywords(self, items: dict[str, Any]) -> list[str]:
        if not all(name.isidentifier() for name in items):
            raise Inexpressible("has names that are no identifiers")
        return [f"{name}={self.named(name, item)}" for name, item in items.items()]


def _slots(cls: type) -> tuple[str, ...]:
    names = vars(cls).get("__slots__", ())
    return (
        (names,) if isinstance(names, str) else tuple(name for name in names if name not in {"__dict__", "__weakref__"})
    )


def _has_a_name(value: Any) -> bool:
    return isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__"))


_CONTAINERS = (list, tuple, dict, set, str, bytes, OrderedDict)
_EXTENDED: tuple[Any, ...] = (dict, list, set, tuple, str, int, float)
_REDUCED = {"collections", "datetime", "decimal", "fractions"}
_Write: TypeAlias = Callable[[Writer, Any], str]
_BY_TYPE: dict[type, _Write] = {
    **dict.fromkeys((bool, int, bytes, type(None), type(Ellipsis), range), lambda _, value: repr(value)),
    str: lambda _, value: quoted(value),
    float: Writer._float,
    complex: Writer._complex,
    list: lambda writer, value: f"[{writer._items(value)}]",
    tuple: Writer._tuple,
    dict: Writer._dict,
    set: Writer._set,
    frozenset: lambda writer, value: f"frozenset([{writer._unordered(value)}])",
    OrderedDict: Writer._ordered_dict,
    slice: Writer._slice,
    SimpleNamespace: Writer._simple_namespace,
    functools.partial: Writer._partial,
    torch.device: Writer._device,
    torch.Size: Writer._torch_constant,
    torch.dtype: Writer._torch_constant,
    torch.layout: Writer._torch_constant,
    torch.memory_format: Writer._torch_constant,
}
_BY_NATURE: tuple[tuple[Callable[[Any], bool], _Write], ...] = (
    (lambda value: isinstance(value, MethodType), Writer._method),
    (_has_a_name, Writer.reference),
    (lambda value: isinstance(value, nn.Module), Writer._module),
    (lambda value: isinstance(value, torch.Tensor), Writer._tensor),
    (lambda value: isinstance(value, enum.Enum), Writer._enum),
    (dataclasses.is_dataclass, Writer._dataclass),
    (lambda value: isinstance(value, tuple) and hasattr(value, "_fields"), Writer._named_tuple),
    (lambda value: type(value).__module__ == "numpy", Writer._numpy),
    (lambda value: isinstance(value, re.Pattern), Writer._pattern),
    (lambda value: isinstance(value, PurePath), Writer._path),
    (lambda value: type(value) is Namespace, Writer._namespace_of_arguments),
    (is_estimator, Writer._estimator),
    (lambda value: is_own(type(value)) and isinstance(value, _EXTENDED), Writer._extended),
    (lambda value: is_own(type(value)), Writer._instance),
    (lambda value: type(value).__module__ in _REDUCED, Writer._reduced),
)
