"""Whether an assignment of the notebook, executed again elsewhere, gives the value that its name has now.

It does if it only makes a value (literals, operators, comprehensions, and calls that touch nothing else), and making it
again here gives an equal one: lists grow, and what an expression is made of may have changed since.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from sm_magics.authoring.cells import Statement
from sm_magics.authoring.checks.files import dotted

from .live import is_plain

# What may be called for a constant: it makes a value from its arguments, quickly, and touches nothing else.
_MAKERS = {
    "abs", "all", "any", "bool", "bytes", "chr", "classmethod", "dict", "divmod", "enumerate", "filter", "float",
    "frozenset", "getattr", "hasattr", "int", "isinstance", "len", "list", "map", "max", "min", "object", "ord",
    "pow", "property", "range", "repr", "reversed", "round", "set", "slice", "sorted", "staticmethod", "str", "sum",
    "tuple", "zip", "abc", "collections", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools",
    "itertools",
    "logging.getLogger", "math", "operator", "pathlib.Path", "pathlib.PurePath", "pathlib.PurePosixPath", "re",
    "string", "types", "typing", "typing_extensions",
    "torch.Size", "torch.arange", "torch.backends.mps.is_available", "torch.cuda.is_available", "torch.device",
    "torch.eye", "torch.full", "torch.linspace", "torch.ones", "torch.tensor", "torch.zeros",
    "numpy.arange", "numpy.array", "numpy.asarray", "numpy.dtype", "numpy.eye", "numpy.float32", "numpy.float64",
    "numpy.full", "numpy.int64", "numpy.linspace", "numpy.ones", "numpy.zeros",
}  # fmt: skip
_OF_THE_MOMENT = {"datetime.datetime.now", "datetime.date.today", "datetime.datetime.today", "datetime.datetime.utcnow"}
_OF_THE_MACHINE = {"torch.cuda.is_available", "torch.backends.mps.is_available"}
_METHODS = {
    "capitalize", "copy", "count", "encode", "endswith", "format", "get", "index", "items", "join", "keys", "lower",
    "most_common", "replace", "split", "splitlines", "startswith", "strip", "title", "to", "tolist", "upper", "values",
}  # fmt: skip
"""Methods that make a value whatever they are called on: of text, containers, tensors and arrays."""

_BY_IDENTITY: Any = object.__eq__
#: Type parameters, which hold nothing in a ``__dict__`` from Python 3.12 on, and what was said of them.
_PARAMETERS = (typing.TypeVar, typing.ParamSpec)
_SAID = ("__name__", "__bound__", "__constraints__", "__covariant__", "__contravariant__", "__default__")


class Constants:
    """What a notebook's assignments would give elsewhere.

    Parameters
    ----------
    latest
        The statement that bound each name last.
    namespace
        The notebook's variables.
    """

    def __init__(self, latest: Mapping[str, Statement], namespace: Mapping[str, Any]) -> None:
        self._latest = latest
        self._namespace = namespace

    def only_makes(self, node: ast.AST) -> bool:
        """Return whether an expression, or a statement with its parts, does nothing but make values."""
        if isinstance(node, ast.expr):
            return all(self._is_harmless(part) for part in _evaluated(node))
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
                continue
            if isinstance(part, ast.For | ast.While | ast.With | ast.Expr | ast.AugAssign | ast.Delete):
                return False
            if isinstance(part, ast.expr | ast.stmt | ast.ExceptHandler | ast.match_case) and not self.only_makes(part):
                return False
        return True

    def gives(self, statement: Statement, name: str, value: Any) -> bool:
        """Return whether executing a statement again, in the notebook as it is, binds a name to an equal value."""
        if any(dotted(part) in _OF_THE_MACHINE for part in ast.walk(statement.node) if isinstance(part, ast.Attribute)):
            return True  # the endpoint has its own devices
        scope = dict(self._namespace)
        scope.pop(name, None)
        quiet = io.StringIO()
        try:
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), _same_chance():
                exec(compile(statement.text, "<constant>", "exec", dont_inherit=True), scope)  # noqa: S102 - the notebook's own, which ran already
        except Exception:  # noqa: BLE001 - whatever it raises here, it gives no value
            return False
        return name in scope and alike(scope[name], value)

    def _is_harmless(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            return self._is_maker(node.func)
        return not isinstance(node, ast.Await | ast.Yield | ast.YieldFrom)

    def _is_maker(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute) and not dotted(function):
            return function.attr in _METHODS  # "a b".split(), sorted(x).index(…)
        name = dotted(function)
        root, _, rest = name.partition(".")
        bound = self._latest.get(root)
        if bound is None:
            value = self._namespace.get(root)
            name = name if not isinstance(value, types.ModuleType) else ".".join(filter(None, [value.__name__, rest]))
        elif root in bound.binding.imported:
            name = ".".join(filter(None, [bound.binding.imported[root], rest]))
        elif not rest:
            return isinstance(bound.node, ast.ClassDef | ast.Assign)
        else:
            return rest in _METHODS
        if name in _OF_THE_MOMENT:
            return False
        parts = name.split(".")
        if parts[:2] == ["torch", "nn"] and len(parts) > 2 and parts[2][:1].isupper():  # noqa: PLR2004
            return True  # a layer: it has its weights by chance, so only one without any comes out the same
        return any(".".join(parts[:length]) in _MAKERS for length in range(1, len(parts) + 1))


@contextlib.contextmanager
def _same_chance() -> Iterator[None]:
    """Leave the random number generators as they were."""
    with contextlib.ExitStack() as stack:
        random, numpy, torch = (sys.modules.get(name) for name in ("random", "numpy", "torch"))
        if random is not None:
            stack.callback(random.setstate, random.getstate())
        if numpy is not None:
            stack.callback(numpy.random.set_state, numpy.random.get_state())
        if torch is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
        yield


def alike(one: Any, two: Any, depth: int = 0) -> bool:  # noqa: C901, PLR0911 - one for each kind of value
    """Return whether two values are equal as far as can be told; objects are compared by what they hold.

    Classes and functions are alike if they are the same, or made by the same code.
    """
    if one is two:
        return True
    if type(one) is not type(two) or depth > 8:  # noqa: PLR2004 - deeper than any configuration
        return isinstance(one, type) and isinstance(two, type) and _called(one) == _called(two)
    if is_plain(one) and is_plain(two):
        return repr(one) == repr(two) if not isinstance(one, set) else bool(one == two)
    if isinstance(one, types.FunctionType):
        return bool(one.__code__.co_code == two.__code__.co_code and one.__code__.co_names == two.__code__.co_names)
    if isinstance(one, functools.partial):
        return alike([one.func, one.args, one.keywords], [two.func, two.args, two.keywords], depth + 1)
    if isinstance(one, dict):
        same_order = list(map(repr, one)) == list(map(repr, two))
        return same_order and all(alike(*pair, depth + 1) for pair in zip(one.values(), two.values(), strict=True))
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(alike(*pair, depth + 1) for pair in zip(one, two, strict=True))
    if isinstance(one, type):
        return _called(one) == _called(two)
    if type(one) is object:
        return True
    if isinstance(one, _PARAMETERS):
        return all(alike(getattr(one, name, None), getattr(two, name, None), depth + 1) for name in _SAID)
    if (equal := _equal(one, two)) or type(one).__eq__ is not _BY_IDENTITY or not hasattr(one, "__dict__"):
        return equal
    return alike(_state(one), _state(two), depth + 1)


def _state(value: Any) -> dict[str, Any]:
    """Return what an object holds; the mode that a layer is in changes with the model that it is part of."""
    return {name: held for name, held in vars(value).items() if name != "training" or "_parameters" not in vars(value)}


def _called(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def _equal(one: Any, two: Any) -> bool:
    try:
        same = one == two
        if hasattr(same, "all"):  # arrays and tensors
            return bool(one.dtype == two.dtype and one.shape == two.shape and same.all())
        return bool(same)
    except Exception:  # noqa: BLE001 - whatever a user's own __eq__ raises, the two are not known to be equal
        return False


def _evaluated(expression: ast.expr) -> Iterator[ast.AST]:
    """Yield the parts of an expression that are evaluated with it: not the bodies of lambdas."""
    yield expression
    children: list[ast.AST] = (
        list(expression.args.defaults) if isinstance(expression, ast.Lambda) else list(ast.iter_child_nodes(expression))
    )
    for child in children:
        if isinstance(child, ast.expr):
            yield from _evaluated(child)
        else:
            for part in ast.walk(child):
                if isinstance(part, ast.expr):
                    yield part
