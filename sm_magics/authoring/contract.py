"""The handler contract: which functions the container calls, with how many arguments, and what excludes what.

Predicts what ``sagemaker_inference/transformer.py`` (in ``sagemaker-pytorch-inference``) does with a script: it takes
the handlers off the module by name, puts a default in place of each missing one, and calls each with n or n + 1
arguments, by position, as ``len(inspect.signature(handler).parameters)`` says: n + 1 appends the context.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .findings import Finding
from .slicing.bindings import bindings, imports
from .source import parse

HANDLERS = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn", "pre_model_fn", "model_warmup_fn")
"""The names that the container looks for, in the order in which sections have them."""

ARGUMENTS = {
    "model_fn": ("model_dir",),
    "input_fn": ("request_body", "content_type"),
    "predict_fn": ("data", "model"),
    "output_fn": ("prediction", "accept"),
    "transform_fn": ("model", "request_body", "content_type", "accept"),
    "pre_model_fn": ("model_dir",),
    "model_warmup_fn": ("model_dir", "model"),
}
"""What each handler is called with, before the context."""

# Called once, while the model is loaded; a failure there means that no worker comes up.
_LOADING = {"model_fn", "pre_model_fn", "model_warmup_fn"}

# Decorators that keep the signature that inspect.signature sees.
_TRANSPARENT = {"no_grad", "inference_mode", "enable_grad", "cache", "lru_cache", "wraps"}

# How near by difflib's measure: modelfn and predict_func are, transform, predict and model are not.
_NEARLY = 0.86
_FUNCTION = re.compile(r"_?(?:function|func|fun)$")


def check_contract(source: str) -> list[Finding]:
    """Return what the container would make of the handlers in ``source``, the text of ``inference.py``.

    Source that does not parse has no findings here.
    """
    tree = parse(source)
    if tree is None:
        return []
    found: list[Finding] = []
    values = _values(tree)
    for handler in HANDLERS:
        for value in values.get(handler, [])[-1:]:
            found += _check_handler(handler, value, values)
    found += _check_model(tree, values)
    found += _check_exclusion(tree, values)
    found += _check_spelling(tree)
    return found


# A module-level name's value: the definition, or the expression that is assigned.
_Value = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr


def _values(tree: ast.Module) -> dict[str, list[_Value]]:
    """Return what each top-level name is bound to, in order, as far as definitions and plain assignments tell."""
    found: dict[str, list[_Value]] = {}
    for node in _statements(tree.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.setdefault(node.name, []).append(node)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        found.setdefault(target.id, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.setdefault(name, []).append(value)
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those under ``if``, ``try`` and ``with`` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _statements(node.body)
            yield from _statements(getattr(node, "orelse", []))
            for clause in getattr(node, "handlers", []):
                yield from _statements(clause.body)
            yield from _statements(getattr(node, "finalbody", []))


def _check_handler(handler: str, value: _Value, values: dict[str, list[_Value]]) -> Iterator[Finding]:
    line = value.lineno
    when = "the model would never load" if handler in _LOADING else "every request would fail with status 500"
    arguments = ", ".join(ARGUMENTS[handler])
    fix = f"def {handler}({arguments}): or, with the request's context, def {handler}({arguments}, context):"
    function = _resolved(value, values)
    if isinstance(function, ast.Constant):
        if _means_none(handler, function.value):
            return
        yield Finding(
            "SM106",
            "error",
            f"{handler} is {ast.unparse(function)}, not a function: {when}.",
            fix,
            line=line,
        )
        return
    if isinstance(function, ast.AsyncFunctionDef):
        yield Finding(
            "SM104",
            "error",
            f"{handler} is a coroutine, which nobody awaits: the container would pass it on in place of a result.",
            f"Write def {handler} without async; asyncio.run(...) inside it awaits what has to be awaited.",
            line=line,
        )
    called = _callable(value, values)
    if called is None:
        return
    n = len(ARGUMENTS[handler])
    signature = inspect.signature(called)
    takes = len(signature.parameters)
    certain = _is_certain(function)
    if takes not in {n, n + 1}:
        yield Finding(
            "SM102",
            "error" if certain else "warning",
            f"{handler} takes {_count(takes)}, but the container passes {n}, or {n + 1} with the context: {when}.",
            fix,
            line=line,
        )
        return
    try:
        signature.bind(*range(takes))
    except TypeError as error:
        yield Finding(
            "SM103",
            "error" if certain else "warning",
            f"{handler} is called with {_count(takes)} by position, and cannot be ({error}): {when}.",
            fix,
            line=line,
        )


def _check_model(tree: ast.Module, values: dict[str, list[_Value]]) -> Iterator[Finding]:
    """Find a ``model_fn`` that returns nothing: the endpoint comes into service, and fails every request."""
    function = _resolved(values["model_fn"][-1], values) if "model_fn" in values else None
    if not isinstance(function, ast.FunctionDef) or function.decorator_list or _returns_a_value(function):
        return
    if isinstance(function.body[-1], ast.Raise):
        return  # says itself that there is none
    if {"predict_fn", "transform_fn"} & set(imports(tree)) or not _needs_model(values):
        return
    yield Finding(
        "SM108",
        "error",
        "model_fn returns no model: the endpoint would come into service, and every request fail with status 500.",
        "Build the model in model_fn, load its weights from model_dir, and return it.",
        line=function.lineno,
    )


def _returns_a_value(function: ast.FunctionDef) -> bool:
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        none = ast.Constant(None)
        if isinstance(node, ast.Return) and ast.dump(node.value or none) != ast.dump(none):
            return True
        todo += ast.iter_child_nodes(node)
    return False


def _needs_model(values: dict[str, list[_Value]]) -> bool:
    """Return whether what handles requests reads the model that it is given, as the container's default does."""
    for handler, place in (("transform_fn", 0), ("predict_fn", 1)):
        if handler not in values:
            continue
        function = _resolved(values[handler][-1], values)
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return False  # unknown
        parameters = [*function.args.posonlyargs, *function.args.args]
        if len(parameters) <= place:
            return False
        body = function.body if isinstance(function.body, list) else [function.body]
        read = {node.id for part in body for node in ast.walk(part) if isinstance(node, ast.Name)}
        return parameters[place].arg in read
    return True


def _means_none(handler: str, value: object) -> bool:
    """Return whether the toolkit takes the handler for missing: it asks that in three ways."""
    if handler == "model_fn":
        return False
    return value is None if handler in _LOADING else not value


def _count(arguments: int) -> str:
    return f"{arguments} argument{'' if arguments == 1 else 's'}"


def _resolved(value: _Value, values: dict[str, list[_Value]], depth: int = 8) -> _Value:
    """Follow plain names: ``predict_fn = run`` is the function ``run``."""
    while isinstance(value, ast.Name) and value.id in values and depth:
        value, depth = values[value.id][-1], depth - 1
    return value


def _is_certain(value: _Value) -> bool:
    """Return whether the signature is the one that is written: no unknown decorator may have changed it."""
    for decorator in getattr(value, "decorator_list", []):
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if name not in _TRANSPARENT:
            return False
    return True


def _callable(value: _Value, values: dict[str, list[_Value]], depth: int = 8) -> Callable[..., Any] | None:
    """Return a function with the same parameters, or None where they cannot be known without running the code."""
    value = _resolved(value, values)
    match value:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            return _with_parameters(value.args)
        case ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial"), args=[inner, *given]) if depth:
            function = _callable(inner, values, depth - 1)
            by_name = [keyword.arg for keyword in value.keywords]
            if function is None or None in by_name or any(isinstance(arg, ast.Starred) for arg in given):
                return None
            bound = partial(function, *([None] * len(given)), **dict.fromkeys(filter(None, by_name)))
            try:
                inspect.signature(bound)
            except (TypeError, ValueError):
                return None
            return bound
    return None


def _with_parameters(arguments: ast.arguments) -> Callable[..., Any]:
    """Return a function that does nothing and takes these parameters. Nothing of the user's is executed."""

    def bare(parameter: ast.arg | None) -> ast.arg | None:
        return ast.arg(parameter.arg) if parameter else None

    nothing = ast.Constant(None)
    copy = ast.arguments(
        posonlyargs=[ast.arg(one.arg) for one in arguments.posonlyargs],
        args=[ast.arg(one.arg) for one in arguments.args],
        vararg=bare(arguments.vararg),
        kwonlyargs=[ast.arg(one.arg) for one in arguments.kwonlyargs],
        kw_defaults=[default and nothing for default in arguments.kw_defaults],
        kwarg=bare(arguments.kwarg),
        defaults=[nothing for _ in arguments.defaults],
    )
    body = ast.fix_missing_locations(ast.Expression(ast.Lambda(copy, nothing)))
    function: Callable[..., Any] = eval(compile(body, "signature", "eval"))  # noqa: S307 - a lambda built here
    return function


def _check_exclusion(tree: ast.Module, values: dict[str, list[_Value]]) -> Iterator[Finding]:
    lines = _handler_lines(tree)
    # The toolkit asks whether they are true: `transform_fn = None` is as good as none.
    for name in list(lines):
        last = values.get(name, [None])[-1]
        if isinstance(last, ast.Constant) and not last.value:
            del lines[name]
    others = [name for name in ("input_fn", "predict_fn", "output_fn") if name in lines]
    if "transform_fn" in lines and others:
        yield Finding(
            "SM105",
            "error",
            f"transform_fn stands beside {' and '.join(others)}: the container refuses to load a script with both.",
            "Keep transform_fn, or the three that it stands for: %%sm_inference NAME above a comment removes NAME.",
            line=lines["transform_fn"],
        )


def _handler_lines(tree: ast.Module) -> dict[str, int]:
    """Return the handlers that the module has, imported ones too, and where each is bound."""
    return {
        name: binding.node.lineno
        for binding in bindings(tree)
        for name in HANDLERS
        if name in binding.defined or name in binding.imported
    }


def _check_spelling(tree: ast.Module) -> Iterator[Finding]:
    present = set(_handler_lines(tree))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name in HANDLERS or node.name in used:
            continue
        name = _FUNCTION.sub("_fn", node.name.lower().strip("_"))
        near = difflib.get_close_matches(name, HANDLERS, n=1, cutoff=_NEARLY)
        # A function that stands in for a handler that is there too is somebody's helper.
        if near and near[0] not in present and near[0] not in imports(tree):
            yield Finding(
                "SM107",
                "warning",
                f"The container calls no {node.name}: it would use its own default instead of it, without a word.",
                f"Call it {near[0]} if that is what it is.",
                line=node.lineno,
            )
