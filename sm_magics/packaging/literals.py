"""Values as source code: what a person would write to get an equal value."""
# ruff: noqa: SLF001 - the tables at the end name the methods of the class above

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import math
import operator
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from types import MethodType, SimpleNamespace
from typing import Any, TypeAlias

import torch
from torch import nn

_INLINE_ELEMENTS = 64  # a tensor of more than this belongs among the weights, not into source code


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
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.imports: set[str] = set()
        self.defined: dict[str, object] = {}
        self.imported: list[object] = []
        self.parts: dict[int, str] = {}
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

    def value(self, value: Any) -> str:
        """Return an expression that gives an equal value.

        Raises
        ------
        Inexpressible
            If there is none that one would want in source code.
        """
        if id(value) in self.parts:
            return self.parts[id(value)]
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
            raise Inexpressible("is a method that its class does not have")
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
        if type(value) is not torch.Tensor or value.is_meta or value.is_quantized or value.layout is not torch.strided:
            raise Inexpressible(f"is a {type(value).__name__} that is neither a parameter nor a buffer")
        if value.numel() > _INLINE_ELEMENTS:
            raise Inexpressible("is a tensor that is neither a parameter nor a buffer (see register_buffer)")
        self.imports.add("import torch")
        shape = f".reshape({tuple(value.shape)!r})" if 0 in value.shape else ""
        return f"torch.tensor({self.value(value.detach().cpu().tolist())}, dtype={value.dtype}){shape}"

    def _enum(self, value: enum.Enum) -> str:
        return f"{self.reference(type(value))}.{value.name}"

    def _partial(self, value: functools.partial[Any]) -> str:
        self.imports.add("import functools")
        arguments = [self.value(value.func), *map(self.value, value.args), *self._keywords(value.keywords)]
        return f"functools.partial({', '.join(arguments)})"

    def _simple_namespace(self, value: SimpleNamespace) -> str:
        self.imports.add("from types import MethodType, SimpleNamespace")
        return f"SimpleNamespace({', '.join(self._keywords(vars(value)))})"

    def _dataclass(self, value: Any) -> str:
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if item.init}
        return f"{self.reference(type(value))}({', '.join(self._keywords(fields))})"

    def _named_tuple(self, value: Any) -> str:
        return f"{self.reference(type(value))}({', '.join(self._keywords(value._asdict()))})"

    def _numpy(self, value: Any) -> str:
        kind = type(value).__name__
        if not hasattr(value, "dtype") or value.dtype.kind not in "biuf":
            raise Inexpressible(f"is a numpy.{kind}")
        if value.size > _INLINE_ELEMENTS:
            raise Inexpressible("is an array, not a buffer (see register_buffer)")
        self.imports.add("import numpy as np")
        text = self.value(value.tolist())
        return f"np.array({text}, dtype=np.{value.dtype})" if kind == "ndarray" else f"np.{kind}({text})"

    def _keywords(self, items: dict[str, Any]) -> list[str]:
        if not all(name.isidentifier() for name in items):
            raise Inexpressible("has names that are no identifiers")
        return [f"{name}={self.value(item)}" for name, item in items.items()]


def _has_a_name(value: Any) -> bool:
    return isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__"))


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
)
