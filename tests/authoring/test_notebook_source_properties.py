"""For any notebook: its slice behaves the same elsewhere, slicing the slice changes nothing, and nothing is unused."""

from __future__ import annotations

import ast
import linecache

from hypothesis import given, settings
from hypothesis import strategies as st

from sm_magics.authoring import slice_of
from sm_magics.authoring.slicing.bindings import bindings, reads

NAMES = ["a", "b", "c", "d", "e", "f"]
IMPORTS = ["import math as {0}", "from math import floor as {0}", "import json as {0}"]
MAKERS = [
    "{0} = {n}",
    "{0} = [{n}, {n} + 1]",
    "{0} = {{'k': {n}}}",
    "{0} = sorted({{{n}, 1}})",
    "{0} = str([{n}])[:20] * 2  # text",
    "{0} = [{1}, {n}]",
    "{0} = lambda: {1}",
    "{0} = {n}\n{0} += 1",
    "{0} = []\nfor {0}_item in range({n}):\n    {0}.append({0}_item)",
    "if {n} > 1:\n    {0} = 'big'\nelse:\n    {0} = 'small'",
    "# what it is\ndef {0}():\n    return {1}, {2}",
    "def {0}(x={1}):\n    return x",
    "def {0}():\n    def inner():\n        return {1}\n    return [inner for _ in range(2)]",
    "class {0}:\n    value = {n}\n    def get(self):\n        return {1}",
    "import enum\nclass {0}(enum.Enum):\n    ONE = {n}\n    TWO = 'two'",
    "import dataclasses\n@dataclasses.dataclass\nclass {0}:\n    x: int = {n}",
    "try:\n    import nowhere_to_be_found as {0}\nexcept ImportError:\n    {0} = {n}",
    *IMPORTS,
]


@st.composite
def notebooks(draw: st.DrawFn) -> list[str]:
    """Cells that define names of each other, again and again, in any order; the last is a class that uses some."""
    cells = [f"{name} = {index}" for index, name in enumerate(NAMES)]
    for _ in range(draw(st.integers(1, 8))):
        name = draw(st.sampled_from(NAMES))
        others = [draw(st.sampled_from([other for other in NAMES if other != name])) for _ in range(2)]
        cells.append(draw(st.sampled_from(MAKERS)).format(name, *others, n=draw(st.integers(0, 3))))
    used = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    body = "".join(f"    def {name}_(self):\n        return {name}\n" for name in used)
    return [*cells, f"class Net:\n{body}"]


def run(cells: list[str]) -> dict[str, object]:
    """Run cells as IPython does: each is a file of its own that linecache knows."""
    space: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        filename = f"<cell {number} {hash(cell)}>"
        linecache.cache[filename] = (len(cell), None, cell.splitlines(keepends=True), filename)
        exec(compile(cell, filename, "exec", dont_inherit=True), space)
    return space


def shown(value: object, depth: int = 0) -> object:  # noqa: PLR0911 - one for each kind of value
    """Return what can be compared of a value of another process: what it is, what it holds, what calling it gives."""
    if depth > 5:
        return type(value).__name__
    if isinstance(value, (int, float, str)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return [shown(part, depth + 1) for part in value]
    if isinstance(value, dict):
        return {key: shown(part, depth + 1) for key, part in value.items()}
    if isinstance(value, type):
        plain = {name: repr(part) for name, part in vars(value).items() if type(part) in {int, str} and name[0] != "_"}
        got = shown(value().get(), depth + 1) if hasattr(value, "get") else None
        return value.__name__, plain, got
    if getattr(value, "__module__", "") in {"__main__", "sm_model"} and callable(value):
        return shown(value(), depth + 1)
    return repr(value)


def answers(space: dict[str, object]) -> object:
    net = space["Net"]()  # type: ignore[operator]
    return {name: shown(getattr(net, name)()) for name in dir(net) if name.endswith("_") and name[0] != "_"}


@settings(max_examples=150, deadline=None)
@given(notebooks())
def test_a_slice_behaves_as_the_notebook_does_and_needs_nothing_of_it(cells):
    space = run(cells)
    sliced = slice_of(space["Net"], cells=cells, namespace=space)
    if sliced.missing:  # such as a function that only a list holds any more: said, and so not wrong
        return
    elsewhere: dict[str, object] = {"__name__": "sm_model"}
    exec(compile(sliced.source, "sm_model.py", "exec", dont_inherit=True), elsewhere)
    assert answers(elsewhere) == answers(space), sliced.source


@settings(max_examples=100, deadline=None)
@given(notebooks())
def test_slicing_a_slice_changes_nothing(cells):
    space = run(cells)
    first = slice_of(space["Net"], cells=cells, namespace=space)
    again = run([first.source])
    second = slice_of(again["Net"], cells=[first.source], namespace=again)
    assert second.source == first.source
    assert second.names == first.names


@settings(max_examples=100, deadline=None)
@given(notebooks())
def test_nothing_unused_is_in_a_slice(cells):
    space = run(cells)
    sliced = slice_of(space["Net"], cells=cells, namespace=space)
    read = reads(sliced.source)
    for binding in bindings(ast.parse(sliced.source)):
        if not isinstance(binding.node, ast.If | ast.Try):
            unused = binding.names - read.now - read.later - {"Net"}
            assert not unused, sliced.source
