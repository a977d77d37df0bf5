"""Following names through a notebook: from a class to every statement that it needs.

`notebook_source` says what is taken, and from where.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sm_magics.authoring.cells import Statement, history, inner_definition, latest, star_import, statements
from sm_magics.authoring.checks.files import dotted

from .assembly import assembled, own_modules
from .attached import attachments, changed_values, put_on
from .constants import Constants
from .live import NOTHING, importable, made_in, written_out
from .settled import settled
from .sliced import Slice
from .spelled import spelled
from .values import AsSource, Values

_NOT_OURS = {"__name__", "__file__", "__doc__", "__class__"}
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def is_here(obj: Any, namespace: Mapping[str, object]) -> bool:
    """Return whether the object was made in the notebook although its module is not called ``__main__``."""
    return obj.__module__ not in sys.modules or obj.__module__ == namespace.get("__name__")


class Slicer:
    """One slice in the making.

    Parameters
    ----------
    cells, namespace
        The notebook: the sources executed so far, oldest first, and its variables.
    values
        How values travel that no assignment gives.
    objects
        Names whose values travel as files in any case.
    """

    def __init__(
        self, cells: Sequence[str], namespace: Mapping[str, object], values: Values, objects: frozenset[str]
    ) -> None:
        self._namespace = dict(namespace)
        self._notebook = str(namespace.get("__name__", "__main__"))
        self._values = values
        self._history = history(cells)
        self._last = latest(self._history)
        self._constants = Constants(self._last, self._namespace)
        self._kept = objects
        self._cells: dict[str, list[Statement]] = {}
        self._taken: dict[str, Statement] = {}
        self._missing: dict[str, None] = {}
        self._objects: dict[str, Any] = {}
        # IPython keeps a cell's future features for all cells after it.
        self._features = frozenset(feature for statement in self._history for feature in statement.features)

    def slice(self, roots: Mapping[str, object]) -> Slice:
        """Return the slice for names, and the objects that they stand for where those are not the notebook's own."""
        todo: list[str] = []
        for name, obj in roots.items():
            if obj is NOTHING:
                todo += self._resolve(name, optional=False)
                continue
            self._namespace[name] = obj if obj.__qualname__ == name else self._namespace.get(name, obj)  # type: ignore[attr-defined]
            first = self._definition(name, obj) or self._last.get(name)
            if first is None:
                return Slice("", (), (name,))
            self._take(name, first)
            todo.append(name)
        while todo:
            key = todo.pop()
            taken = self._taken[key]
            todo += self._bases(key, taken) + self._registered(key)
            optional = taken.annotations if "annotations" in self._features else frozenset()
            for read in sorted(taken.reads.now | taken.reads.later):
                if read not in self._taken and read not in self._missing and read not in self._objects:
                    todo += self._resolve(read, optional=read in optional)
            todo = todo or self._functions_put_on() or self._attached() or self._changed() or self._spelled()
        for key, _ in self._put_on():
            self._missing.setdefault(key)
        used = {*roots} | {read for taken in self._taken.values() for read in taken.reads.now | taken.reads.later}
        objects = {name: value for name, value in self._objects.items() if name in used}
        source, names = assembled(self._taken, wanted=roots, features=self._features, objects=objects)
        modules = dict(own_modules(self._taken.values()))
        return Slice(source, names, tuple(self._missing), modules, objects)

    def _bases(self, key: str, taken: Statement) -> list[str]:
        """Take the bases that a class really has, where their names stand for something else by now."""
        node = taken.node
        cls: Any = self._namespace.get(key.rstrip("@"))
        for _ in range(key.count("@")):
            cls = next((base for base in getattr(cls, "__bases__", ()) if base.__name__ == cls.__name__), None)
        if not isinstance(node, ast.ClassDef) or not isinstance(cls, type):
            return []
        new = []
        for base in cls.__bases__:
            name = base.__name__
            if base.__module__ not in {"__main__", self._notebook} or name not in taken.reads.now:
                continue
            if name == node.name:  # class Net(Net): the one before it is needed first
                older = self._definition(name, base) or self._before(name, taken)
                if older is not None and older.text != taken.text:
                    self._taken[f"{key}@"] = older
                    new.append(f"{key}@")
            elif self._namespace.get(name) is not base and name not in self._taken:
                self._namespace[name] = base
        return new

    def _before(self, name: str, taken: Statement) -> Statement | None:
        earlier = [one for one in self._history if name in one.binding.defined and one.place < taken.place]
        return earlier[-1] if earlier else None

    def _registered(self, key: str) -> list[str]:
        """Take the functions that decorate themselves with a method of what is taken: ``@size.register``."""
        new: list[str] = []
        if key not in self._taken[key].binding.defined:
            return new
        for statement in self._history:
            if not isinstance(statement.node, _Definition):
                continue
            for decorator in statement.node.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                root, _, attribute = dotted(called).partition(".")
                place = f"{key}@{statement.place}"
                if root == key and attribute and place not in self._taken and self._is_current(statement):
                    self._taken[place] = statement
                    new.append(place)
        return new

    def _is_current(self, statement: Statement) -> bool:
        """Return whether no later cell gives the name of a definition to something else."""
        name = getattr(statement.node, "name", "_")
        last = self._last.get(name)
        return last is None or last is statement or name == "_"

    def _put_on(self) -> Iterator[tuple[str, types.FunctionType]]:
        """Yield what the notebook put on the classes that are taken, ``"Net.forward"``, unless that is taken."""
        for name, cls, definition in self._classes():
            if definition is None and is_here(cls, self._namespace):
                continue  # another name for a class that is taken by its own
            for attribute, function in put_on(cls, definition, self._notebook):
                if f"{name}.{attribute}" not in self._taken:
                    yield f"{name}.{attribute}", function

    def _classes(self) -> Iterator[tuple[str, type, ast.ClassDef | None]]:
        for name, statement in list(self._taken.items()):
            cls = self._namespace.get(name)
            if isinstance(cls, type):
                found = (one for one in ast.walk(statement.node) if isinstance(one, ast.ClassDef) and one.name == name)
                yield name, cls, next(found, None)

    def _functions_put_on(self) -> list[str]:
        """Take the functions that have a name of their own, and return their keys."""
        new = []
        for key, function in self._put_on():
            if self._namespace.get(function.__name__) is function:
                made = statements(f"{key} = {function.__name__}\n", len(self._history))
                self._taken[key] = made[0]
                new.append(key)
                continue
            # @add_to_class(Net), which puts the function there and leaves nothing under its name.
            made_by = self._definition(function.__name__, function)
            if made_by is not None and key.partition(".")[0] in made_by.reads.now:
                self._taken[key] = made_by
                new.append(key)
        return new

    def _spelled(self) -> list[str]:
        """Take the classes and functions whose names are spelled out where names are looked up by their text."""
        new: list[str] = []
        for name in sorted(spelled(statement.node for statement in self._taken.values())):
            value = self._namespace.get(name)
            here = getattr(value, "__module__", None) in {"__main__", self._notebook}
            if name not in self._taken and here and isinstance(value, type | types.FunctionType):
                new += self._resolve(name, optional=True)
        return new

    def _attached(self) -> list[str]:
        """Take what was put on a class after its definition, ``Net.forward = …``, and return its keys."""
        new = []
        for statement in self._history:
            for key, value in attachments(statement.node):
                owner = key.partition(".")[0]
                definition = self._taken.get(owner)
                if definition is None or not isinstance(definition.node, ast.ClassDef):
                    continue
                last = self._taken.get(key)
                if statement.place <= max(definition.place, last.place if last else definition.place):
                    continue
                if self._constants.only_makes(value):
                    self._taken[key] = statement
                    self._missing.pop(key, None)
                    new.append(key)
                else:
                    self._missing[key] = None
        return new

    def _changed(self) -> list[str]:
        """Take the plain values of classes that are not those of their bodies, and return their keys."""
        new = []
        for name, cls, definition in self._classes():
            for attribute, value in changed_values(cls, definition) if definition else ():
                key = f"{name}.{attribute}"
                text = written_out(value)
                if key in self._taken and self._taken[key].place[0] > len(self._history):
                    continue
                if text is None:
                    self._missing[key] = None
                    continue
                self._taken[key] = statements(f"{key} = {text}\n", len(self._history) + 1)[0]
                self._missing.pop(key, None)
                new.append(key)
        return new

    def _take(self, name: str, statement: Statement) -> None:
        for bound in {name} | statement.binding.names:
            self._taken.setdefault(bound, statement)

    def _resolve(self, name: str, *, optional: bool) -> list[str]:
        """Take what binds a name, and return the names whose own reads are to be followed."""
        value = self._namespace.get(name, NOTHING)
        if name in self._kept and value is not NOTHING:
            return self._keep(name, value)
        statement = self._definition(name, value) or self._last.get(name)
        if statement is not None and self._usable(statement, name, value, frozenset()):
            self._take(name, statement)
            return [name]
        if isinstance(value, types.ModuleType):
            text = f"import {value.__name__}" + (f" as {name}" if name != value.__name__ else "")
            return self._take_made(name, text)
        if (origin := star_import(self._history, name, value) or importable(name, value)) is not None:
            return self._take_made(name, origin)
        if value is not NOTHING and (taken := self._by_value(name, value)) is not None:
            return taken
        if not optional and not hasattr(builtins, name) and name not in _NOT_OURS:
            self._missing[name] = None
        return []

    def _by_value(self, name: str, value: object) -> list[str] | None:
        if (registering := self._registering(name, value)) is not None:
            self._take(name, self._last[name])
            return [name, *registering]
        plain = written_out(value)
        source = AsSource(plain) if plain is not None else self._values.as_source(name, value)
        referred = source.names.items() if source is not None else ()
        known = all((self._definition(*item) or self._last.get(item[0])) is not None for item in referred)
        if source is not None and known:
            for text in source.needs:
                needed = statements(text, -1)[0]
                self._taken.setdefault(min(needed.binding.names), needed)
            self._namespace.update({**source.names, **source.values})
            self._take(name, statements(f"{name} = {source.text}", -1)[0])
            return [name]
        return self._keep(name, value) if self._values.as_file(value) else None

    def _keep(self, name: str, value: object) -> list[str]:
        self._objects[name] = value
        return []

    def _registering(self, name: str, value: object) -> list[str] | None:
        """Return the classes and functions that put themselves into a container by being defined, once taken.

        None if that is not how the container got what it holds.
        """
        statement = self._last.get(name)
        held = list(value.values()) if isinstance(value, dict) else value
        if statement is None or not isinstance(statement.node, ast.Assign) or not isinstance(held, list) or not held:
            return None
        if not self._constants.only_makes(statement.node.value):
            return None
        keys = []
        for item in held:
            own = getattr(item, "__name__", "")
            found = self._definition(own, item) or self._last.get(own)
            if found is None or getattr(item, "__module__", None) not in {"__main__", self._notebook}:
                return None
            if not self._reaches(found, name):
                return None
            self._take(own, found)
            keys.append(own)
        return keys

    def _reaches(self, statement: Statement, name: str) -> bool:
        """Return whether a decorator or a base of a definition refers to a name, itself or in what it calls."""
        todo = [*statement.reads.now]
        seen = set(todo)
        while todo:
            read = todo.pop()
            if read == name:
                return True
            bound = self._last.get(read)
            if bound is not None and isinstance(bound.node, _Definition):
                new = (bound.reads.now | bound.reads.later) - seen
                seen |= new
                todo += new
        return False

    def _take_made(self, name: str, text: str) -> list[str]:
        made = statements(text, -1)
        self._take(name, made[0])
        return []

    def _definition(self, name: str, value: object) -> Statement | None:
        """Return the statement that made a class or function of this name, from the cell that really ran."""
        home = getattr(value, "__module__", None)
        if home in sys.modules and home not in {"__main__", self._notebook}:
            return None
        for filename in made_in(value):
            if filename not in self._cells:
                self._cells[filename] = statements("".join(linecache.getlines(filename)), 0)
            for statement in reversed(self._cells[filename]):
                if name in statement.binding.defined and not isinstance(statement.node, ast.Assign | ast.AnnAssign):
                    found = self._alone(self._placed(statement), name, value)
                    found, lost = settled(found, value, self._constants, self._namespace)
                    self._missing.update({f"{name}.{one}": None for one in lost})
                    return found
        return None

    def _alone(self, statement: Statement, name: str, value: object) -> Statement:
        """Return a definition by itself where the statement around it does more than choose."""
        if isinstance(statement.node, _Definition) or self._chooses(statement):
            return statement
        codes = [getattr(one, "__code__", None) for one in ([value, *vars(value).values()] if value else [])]
        line = next((code.co_firstlineno for code in codes if code is not None), 0)
        return inner_definition(statement, name, line) or statement

    def _chooses(self, statement: Statement) -> bool:
        return isinstance(statement.node, ast.If | ast.Try) and self._constants.only_makes(statement.node)

    def _placed(self, statement: Statement) -> Statement:
        """Return the statement with its place among the cells, which the file of a single cell does not tell."""
        same = [one for one in self._history if one.text == statement.text]
        return same[-1] if same else statement

    def _usable(self, statement: Statement, name: str, value: object, asked: frozenset[str]) -> bool:
        """Return whether a statement, executed again elsewhere, would give the name the value it has now."""
        node = statement.node
        if name in statement.binding.imported and not isinstance(node, ast.If | ast.Try):
            return True
        if isinstance(node, _Definition):
            return True
        if isinstance(node, ast.If | ast.Try):
            if not self._chooses(statement):
                return False
            plain = name in statement.binding.imported or isinstance(value, type | types.FunctionType)
            return plain or value is NOTHING or self._gives(statement, name, value, asked)
        if isinstance(node, ast.Assign) or (isinstance(node, ast.AnnAssign) and node.value is not None):
            made = node.value
            makes = name not in statement.reads.now and made is not None and self._constants.only_makes(made)
            return makes and (value is NOTHING or self._gives(statement, name, value, asked))
        return type(node).__name__ == "TypeAlias"

    def _gives(self, statement: Statement, name: str, value: object, asked: frozenset[str]) -> bool:
        """Return whether an assignment gives the value that is there, out of what can be sliced too."""
        asked |= {name}
        for read in statement.reads.now - asked:
            source = self._last.get(read)
            there = self._namespace.get(read, NOTHING)
            if source is not None and there is NOTHING:
                return False  # deleted since
            if source is None and not (
                hasattr(builtins, read) or star_import(self._history, read, there) or _named(there)
            ):
                return False
            made = source is not None and not isinstance(source.node, _Definition)
            if source is not None and made and not self._usable(source, read, there, asked):
                return False
        return self._constants.gives(statement, name, value)


def _named(value: object) -> bool:
    """Return whether a value comes by an import."""
    return isinstance(value, types.ModuleType) or importable("", value) is not None
