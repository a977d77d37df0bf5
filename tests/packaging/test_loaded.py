"""A module that was edited after it was imported is noticed; one that only looks different is not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from sm_magics.packaging.loaded import differing

SOURCE = """
import functools
from dataclasses import dataclass

RATE = 2
TABLE = {"a": 1}
COMPUTED = [n for n in range(3)]

CACHE = None
FAST = False
try:
    import nowhere_to_be_found
except ImportError:
    FAST = True
_passing = 1
del _passing


def cached():
    global CACHE
    CACHE = 3
    return CACHE


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper


@dataclass
class Config:
    width: int = 3
    kind = "wide"


class Net:
    def __init__(self):
        self.value = 0

    @property
    def size(self):
        return 1

    @size.setter
    def size(self, value):
        self.value = value

    @staticmethod
    def fixed(x=1):
        return x

    @decorated
    def forward(self, x):
        return [part * 2 for part in x]

    def _hidden(self):
        return super().__repr__()

    def __private(self):
        return 1
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    path = tmp_path / "nets_to_compare.py"
    path.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.import_module("nets_to_compare")
    yield path
    del sys.modules["nets_to_compare"]


def test_a_module_is_like_its_file(module: Path):
    assert differing(module, SOURCE) == ""
    assert differing(module, "\n\n# a comment\n" + SOURCE) == ""


def test_functions_that_have_run_often_are_like_their_file(module: Path):
    net = sys.modules["nets_to_compare"].Net()
    for _ in range(2000):
        net.forward([1, 2])
        net.fixed()
    sys.modules["nets_to_compare"].cached()
    assert differing(module, SOURCE) == ""


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("RATE = 2", "RATE = 3", "RATE"),
        ('"a": 1', '"a": 2', "TABLE"),
        ("part * 2", "part * 3", "Net.forward"),
        ("self.value = 0", "self.value = 5", "Net.__init__"),
        ("x=1", "x=2", "Net.fixed"),
        ('"wide"', '"narrow"', "Config.kind"),
        ("super().__repr__()", "1", "Net._hidden"),
        ("class Config", "class New:\n    pass\n\n\nclass Config", "New"),
    ],
)
def test_what_was_edited_is_named(module: Path, old, new, name):
    edited = SOURCE.replace(old, new)
    assert edited != SOURCE
    if name == "New":
        edited = edited.replace("@dataclass\nclass New", "class New").replace(
            "class Config", "@dataclass\nclass Config"
        )
    assert differing(module, edited) == name


def test_a_module_that_is_not_loaded_differs_in_nothing(tmp_path: Path):
    assert differing(tmp_path / "other.py", "x = 1") == ""


def test_a_package_says_that_a_module_was_edited_after_its_import(notebook):
    path = notebook.directory / "edited_nets.py"
    path.write_text("from torch import nn\nclass Net(nn.Linear):\n    def forward(self, x): return x + 1\n")
    notebook.run("from edited_nets import Net\nnet = Net(2, 2)")
    assert not any("differs" in note for note in notebook.package(notebook["net"]).notes)
    path.write_text(path.read_text().replace("x + 1", "x + 2"))
    notes = notebook.package(notebook["net"]).notes
    assert any("edited_nets.py differs" in note and "Net.forward" in note for note in notes)
