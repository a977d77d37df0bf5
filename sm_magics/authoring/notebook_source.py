"""The slice of a notebook that a class needs: its source, and that of everything it refers to.

What is taken, and from where:

- Classes and functions of the notebook: as they stand now. The running object says which cell made it, through its
  code's file name in ``linecache``, where IPython keeps each cell; else the last cell that defines the name counts.
- Imports: as written, those that are needed, at the top.
- Constants: the assignment as written if it is an expression over what is sliced (literals, operators, comprehensions,
  and calls that only make a value: ``len``, ``torch.device``, ``re.compile``, classes of the notebook); else the value
  itself if it is small and plain.
- Modules of the user's own that the slice imports are named, so that they can be put beside it.

- What was put on a class after its definition: by assignment (``Net.forward = forward``), or, for functions of the
  notebook, in whatever way.

Not yet: arrays and tensors as files, names that a loop, ``with`` or ``exec`` binds, values that only a
slow or outward call could make again. Where the source refers to such a name, it is in ``missing``, and so is a method
that was put on a class and has no name of its own.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .attached import put_on
from .cells import Statement, history, latest, statements
from .checks import dotted
from .editing import without
from .live import NOTHING, importable, is_plain, made_in, own_file, written_out
from .ordering import Piece, running_order

# What may be called for a constant: it makes a value from its arguments, quickly, and touches nothing else.
_MAKERS = {
    "abs", "bool", "bytes", "dict", "divmod", "enumerate", "float", "frozenset", "int", "len", "list", "max", "min",
    "object", "pow", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
    "collections", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "itertools", "logging",
    "math", "operator", "pathlib", "re", "string", "types", "typing", "typing_extensions",
    "torch.device", "torch.tensor", "torch.arange", "torch.linspace", "torch.zeros", "torch.ones", "torch.full",
    "torch.eye", "torch.Size", "numpy.array", "numpy.asarray", "numpy.arange", "numpy.linspace", "numpy.zeros",
    "numpy.ones", "numpy.eye", "numpy.full", "numpy.float32", "numpy.float64", "numpy.int64", "numpy.dtype",
}  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """Source that defines a class in a fresh interpreter.

    Attributes
    ----------
    source
        Python text; empty if the class itself could not be found.
    names
        What the source defines, the class among it, in the source's order; imports are not.
    missing
        Names that it refers to and that could not be sliced, and methods (``Net.forward``) that were put on a class.
    modules
        Modules of the user's own, neither installed nor the standard library's, that the source imports, and the
        file of each: they have to go beside it.
    """

    source: str
    names: tuple[str, ...]
    missing: tuple[str, ...]
    modules: Mapping[str, Path] = field(default_factory=dict)


def slice_of(obj: type, *, cells: Sequence[str], namespace: Mapping[str, object]) -> Slice:
    """Return the source of a class with all it needs.

    Parameters
    ----------
    obj
        The class (a function works as well). One of an installed package gives an import; one of a module of the
        user's own beside the notebook gives that module's text.
    cells
        The sources executed so far, oldest first, as typed: magics are left out.
    namespace
        The notebook's variables as they are now.
    """
    if obj.__module__ not in {"__main__", "builtins"} and not _is_here(obj, namespace):
        return _slice_of_module(obj, str(namespace.get("__name__", "__main__")))
    return _Slicer(cells, namespace).slice(obj)


def _is_here(obj: type, namespace: Mapping[str, object]) -> bool:
    """Return whether the object was made in the notebook although its module is not called ``__main__``."""
    return obj.__module__ not in sys.modules or obj.__module__ == namespace.get("__name__")


def _slice_of_module(obj: type, notebook: str) -> Slice:
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
    return Slice(source, names, missing, dict(_own_modules(found)))


class _Slicer:
    def __init__(self, cells: Sequence[str], namespace: Mapping[str, object]) -> None:
        self._namespace = namespace
        self._history = history(cells)
        self._last = latest(self._history)
        self._cells: dict[str, list[Statement]] = {}
        self._taken: dict[str, Statement] = {}
        self._missing: dict[str, None] = {}
        self._sliced: tuple[str, object] = ("", None)
        # IPython keeps a cell's future features for all cells after it.
        self._features = frozenset(feature for statement in self._history for feature in statement.features)

    def slice(self, obj: type) -> Slice:
        name = obj.__qualname__.partition(".")[0]
        if "<locals>" in obj.__qualname__:
            # Made inside a function: only that function could make it again.
            return Slice("", (), (obj.__qualname__,))
        first = self._definition(name, obj) or self._last.get(name)
        if first is None:
            return Slice("", (), (name,))
        self._take(name, first)
        self._sliced = name, obj
        todo = [name]
        while todo:
            taken = self._taken[todo.pop()]
            optional = taken.annotations if "annotations" in self._features else frozenset()
            for read in sorted(taken.reads.now | taken.reads.later):
                if read not in self._taken and read not in self._missing:
                    todo += self._resolve(read, optional=read in optional)
            todo = todo or self._functions_put_on() or self._attached()
        for key, _ in self._put_on():
            self._missing.setdefault(key)
        return self._assembled()

    def _put_on(self) -> Iterator[tuple[str, types.FunctionType]]:
        """Yield what the notebook put on the classes that are taken, ``"Net.forward"``, unless that is taken."""
        notebook = str(self._namespace.get("__name__", "__main__"))
        for name, statement in list(self._taken.items()):
            cls = self._sliced[1] if name == self._sliced[0] else self._namespace.get(name)
            if not isinstance(cls, type):
                continue
            found = (one for one in ast.walk(statement.node) if isinstance(one, ast.ClassDef) and one.name == name)
            definition = next(found, None)
            if definition is None and _is_here(cls, self._namespace):
                continue  # another name for a class that is taken by its own
            for attribute, function in put_on(cls, definition, notebook):
                if f"{name}.{attribute}" not in self._taken:
                    yield f"{name}.{attribute}", function

    def _functions_put_on(self) -> list[str]:
        """Take the functions that have a name of their own, and return their keys."""
        new = []
        for key, function in self._put_on():
            if self._namespace.get(function.__name__) is function:
                made = statements(f"{key} = {function.__name__}\n", len(self._history))
                self._taken[key] = made[0]
                new.append(key)
        return new

    def _attached(self) -> list[str]:
        """Take what was put on a class after its definition, ``Net.forward = …``, and return its keys."""
        new = []
        for statement in self._history:
            if not isinstance(statement.node, ast.Assign):
                continue
            for target in statement.node.targets:
                owner, _, attribute = dotted(target).partition(".")
                definition = self._taken.get(owner)
                if not attribute or definition is None or not isinstance(definition.node, ast.ClassDef):
                    continue
                key = f"{owner}.{attribute}"
                last = self._taken.get(key)
                if statement.place <= max(definition.place, last.place if last else definition.place):
                    continue
                if self._only_makes(statement.node.value):
                    self._taken[key] = statement
                    new.append(key)
                else:
                    self._missing[key] = None
        return new

    def _take(self, name: str, statement: Statement) -> None:
        for bound in {name} | statement.binding.names:
            self._taken.setdefault(bound, statement)

    def _resolve(self, name: str, *, optional: bool) -> list[str]:
        """Take what binds a name, and return the names whose own reads are to be followed."""
        value = self._namespace.get(name, NOTHING)
        statement = self._definition(name, value) or self._last.get(name)
        if statement is not None and self._usable(statement, name, value):
            self._take(name, statement)
            return [name]
        if isinstance(value, types.ModuleType):
            text = f"import {value.__name__}" + (f" as {name}" if name != value.__name__ else "")
            return self._take_made(name, text)
        if (origin := importable(name, value)) is not None:
            return self._take_made(name, origin)
        if (plain := written_out(value)) is not None:
            return self._take_made(name, f"{name} = {plain}")
        if (
            not optional
            and not hasattr(builtins, name)
            and name not in {"__name__", "__file__", "__doc__", "__class__"}
        ):
            self._missing[name] = None
        return []

    def _take_made(self, name: str, text: str) -> list[str]:
        made = statements(text, -1)
        self._take(name, made[0])
        return []

    def _definition(self, name: str, value: object) -> Statement | None:
        """Return the statement that made a class or function of this name, from the cell that really ran."""
        for filename in made_in(value):
            if filename not in self._cells:
                self._cells[filename] = statements("".join(linecache.getlines(filename)), 0)
            for statement in reversed(self._cells[filename]):
                if name in statement.binding.defined and not isinstance(statement.node, ast.Assign | ast.AnnAssign):
                    return self._placed(statement)
        return None

    def _placed(self, statement: Statement) -> Statement:
        """Return the statement with its place among the cells, which the file of a single cell does not tell."""
        same = [one for one in self._history if one.text == statement.text]
        return same[-1] if same else statement

    def _usable(self, statement: Statement, name: str, value: object) -> bool:  # noqa: PLR0911 - one for each kind
        """Return whether a statement, executed again elsewhere, would give the name the value it has now."""
        node = statement.node
        if name in statement.binding.imported:
            return True
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return True
            case ast.Assign(value=expression) | ast.AnnAssign(value=ast.expr() as expression):
                if name in statement.reads.now:
                    return False
                try:
                    literal = ast.literal_eval(expression)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    return self._only_makes(expression)
                return value is NOTHING or not is_plain(value) or literal == value
            case ast.If() | ast.Try():
                parts = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
                return all(not isinstance(part, ast.For | ast.While | ast.With | ast.Expr) for part in parts)
        return type(node).__name__ == "TypeAlias"

    def _only_makes(self, expression: ast.expr) -> bool:
        for node in _evaluated(expression):
            if isinstance(node, ast.Call) and not self._is_maker(node.func):
                return False
            if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom):
                return False
        return True

    def _is_maker(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant):
            return True  # a method of a literal: "a b".split()
        name = dotted(function)
        root, _, rest = name.partition(".")
        bound = self._last.get(root)
        if bound is None:
            value = self._namespace.get(root)
            name = name if not isinstance(value, types.ModuleType) else ".".join(filter(None, [value.__name__, rest]))
        elif root in bound.binding.imported:
            name = ".".join(filter(None, [bound.binding.imported[root], rest]))
        elif not rest:
            return isinstance(bound.node, ast.ClassDef | ast.Assign)
        return name in _MAKERS or name.partition(".")[0] in _MAKERS

    def _assembled(self) -> Slice:
        by_text: dict[str, tuple[Statement, set[str]]] = {}
        for name, statement in self._taken.items():
            by_text.setdefault(statement.text, (statement, set()))[1].add(name)
        tops: dict[str, tuple[int, int]] = {}
        pieces: list[Piece] = []
        texts: list[str] = []
        used = self._used()
        for text, (statement, _names) in by_text.items():
            if isinstance(statement.node, ast.Import | ast.ImportFrom):
                unused = statement.binding.names - used
                tops.setdefault(without(text, unused), statement.place)
                continue
            texts.append(text)
            pieces.append(
                Piece(
                    key=(*statement.place, text),
                    defined=frozenset(statement.binding.defined),
                    imported=frozenset(statement.binding.imported),
                    reads=statement.reads,
                )
            )
        order = running_order(pieces)
        parts = []
        if self._features:
            parts.append(f"from __future__ import {', '.join(sorted(self._features))}\n")
        if tops:
            parts.append("".join(sorted(tops, key=lambda text: (tops[text], text))))
        body = _paragraphs([(texts[index], by_text[texts[index]][0].node) for index in order])
        source = "\n".join(parts) + ("\n\n" if parts and body else "") + body
        names = tuple(dict.fromkeys(name for index in order for name in sorted(pieces[index].defined)))
        found = [statement for statement, _ in by_text.values()]
        return Slice(source, names, tuple(self._missing), dict(_own_modules(found)))

    def _used(self) -> set[str]:
        return {read for statement in self._taken.values() for read in statement.reads.now | statement.reads.later}


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


def _paragraphs(parts: list[tuple[str, ast.stmt]]) -> str:
    """Join statements: two blank lines around definitions, none between assignments."""
    text = ""
    before: ast.stmt | None = None
    for part, node in parts:
        if before is not None:
            simple = not any(
                isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for one in (before, node)
            )
            text += "" if simple else "\n\n"
        text += part
        before = node
    return text


def _own_modules(found: Sequence[Statement]) -> Iterator[tuple[str, Path]]:
    """Yield the modules of the user's own that the statements import, and their files."""
    for statement in found:
        for node in ast.walk(statement.node):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                if (path := own_file(name)) is not None:
                    yield name, path
