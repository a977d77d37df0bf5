"""How the user's own ``model_fn`` loads the model, read off its source, so that saving can follow it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from .checks.dotted import dotted
from .slicing.bindings import imports
from .source import parse

_DIRECTORY = "\0"  # stands for the model directory in a path that is worked out; no path contains it
_DEPTH = 6
_LOADERS = {"torch.jit.load", "torch.load"}

Format = Literal["torchscript", "state_dict", "module", "unknown"]


@dataclass(frozen=True)
class LoadedBy:
    """What a ``model_fn`` expects to find in the model directory.

    Attributes
    ----------
    format
        ``torchscript`` for ``torch.jit.load``; ``state_dict`` for ``torch.load`` whose value goes to
        ``load_state_dict``; ``module`` for a ``torch.load`` whose value is the model; ``unknown`` for everything else,
        a state_dict inside a checkpoint among it.
    filename
        The file, relative to the model directory, or None if its name is not written in the source.
    """

    format: Format
    filename: str | None


def code_expectations(source: str) -> LoadedBy | None:
    """Return how ``model_fn`` in ``source``, the text of ``inference.py``, loads the model.

    Functions of the same file that ``model_fn`` calls are followed. None if there is no ``model_fn`` in the file
    itself: the container's default loads TorchScript, and an imported one is not looked at.
    """
    tree = parse(source)
    if tree is None:
        return None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    model_fn = functions.get("model_fn")
    if model_fn is None:
        return None
    every_import = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    constants = _assigned([node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)])
    reader = _Reader(functions, imports(ast.Module(body=list(every_import), type_ignores=[])), constants)
    parameters = [*model_fn.args.posonlyargs, *model_fn.args.args]
    found = list(reader.loads(model_fn, {parameters[0].arg: _DIRECTORY} if parameters else {}))
    first = next((load for load in found if load.format in {"torchscript", "state_dict"}), None)
    return first or (found[0] if found else LoadedBy("unknown", None))


@dataclass
class _Reader:
    functions: Mapping[str, ast.FunctionDef]
    origins: Mapping[str, frozenset[str]]
    constants: Mapping[str, ast.expr]

    def loads(self, function: ast.FunctionDef, known: Mapping[str, str | None], depth: int = 3) -> Iterator[LoadedBy]:
        """Yield what a function loads, in order, with its parameters' values in ``known``."""
        names = {**self.constants, **_assigned(function.body)}
        into = _state_dicts(function)
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
            origin = self.origin(call.func)
            if origin in _LOADERS:
                path = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "f"), None)
                text = None if path is None else self.text(path, names, known)
                yield LoadedBy(self._format(origin, call, into), _filename(text))
            elif isinstance(call.func, ast.Name) and call.func.id in self.functions and depth:
                callee = self.functions[call.func.id]
                arguments = [arg.arg for arg in (*callee.args.posonlyargs, *callee.args.args)]
                given = {
                    name: self.text(value, names, known) for name, value in zip(arguments, call.args, strict=False)
                }
                given |= {k.arg: self.text(k.value, names, known) for k in call.keywords if k.arg}
                for load in self.loads(callee, given, depth - 1):
                    # What a function returns may still go to load_state_dict here.
                    used = load.format == "module" and self._goes_into(call, into)
                    yield LoadedBy("state_dict", load.filename) if used else load

    def origin(self, function: ast.expr) -> str:
        """Return the full name of what is called, with imports resolved."""
        root, _, rest = dotted(function).partition(".")
        base = min(self.origins.get(root, {root}))
        return f"{base}.{rest}" if rest else base

    def text(  # noqa: C901, PLR0911, PLR0912 - one case for each way to write a path
        self, node: ast.expr, names: Mapping[str, ast.expr], known: Mapping[str, str | None], depth: int = _DEPTH
    ) -> str | None:
        """Work out a path as text, or None if the source does not say it."""
        if depth == 0:
            return None

        def again(part: ast.expr) -> str | None:
            return self.text(part, names, known, depth - 1)

        match node:
            case ast.Constant(value=str() as value):
                return value
            case ast.Name(id=name) if name in known:
                return known[name]
            case ast.Name(id=name) if name in names:
                return again(names[name])
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return _joined([again(left), again(right)])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _concatenated([again(left), again(right)])
            case ast.JoinedStr(values=values):
                return _concatenated(
                    [again(v.value) if isinstance(v, ast.FormattedValue) else again(v) for v in values]
                )
            case ast.Call(func=ast.Attribute(value=value, attr="joinpath"), args=parts):
                return _joined([again(value), *map(again, parts)])
            case ast.Call(func=ast.Attribute(value=value, attr="open" | "resolve" | "absolute" | "as_posix")):
                return again(value)
            case ast.Call(func=function, args=[first, *rest]):
                if self.origin(function) == "os.path.join":
                    return _joined([again(first), *map(again, rest)])
                if self.origin(function) in {"pathlib.Path", "pathlib.PurePath"}:
                    return _joined([again(first), *map(again, rest)])
                if self.origin(function) in {"open", "str", "os.fspath", "io.open", "os.path.abspath"}:
                    return again(first)
        return None

    def _format(self, origin: str, call: ast.Call, into: list[ast.expr]) -> Format:
        if origin == "torch.jit.load":
            return "torchscript"
        if self._goes_into(call, into):
            return "state_dict"
        return "unknown" if into else "module"

    @staticmethod
    def _goes_into(call: ast.Call, into: list[ast.expr]) -> bool:
        return any(call is one for one in into)


def _state_dicts(function: ast.FunctionDef) -> list[ast.expr]:
    """Return the expressions whose values go to ``load_state_dict``, directly or by way of a name."""
    assigned = _assigned(function.body)
    return [
        assigned.get(call.args[0].id, call.args[0]) if isinstance(call.args[0], ast.Name) else call.args[0]
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "load_state_dict"
        and call.args
    ]


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Return the last expression that each plain name is assigned, by ``=`` or ``with … as``."""
    found: dict[str, ast.expr] = {}
    for statement in body:
        for node in ast.walk(statement):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name] = value
                case ast.withitem(context_expr=value, optional_vars=ast.Name(id=name)):
                    found[name] = value
    return found


def _joined(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return "/".join(part.rstrip("/") for part in known) if len(known) == len(parts) else None


def _concatenated(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _filename(text: str | None) -> str | None:
    """Return a path inside the model directory. It is also the directory that the container works in."""
    if text is None:
        return None
    for prefix in (_DIRECTORY, "/opt/ml/model"):
        if text.startswith(prefix + "/"):
            text = text.removeprefix(prefix).lstrip("/")
    text = text.removeprefix("./")
    inside = bool(text) and not text.startswith("/") and _DIRECTORY not in text and ".." not in text.split("/")
    return text if inside else None
