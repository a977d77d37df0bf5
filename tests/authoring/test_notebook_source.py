"""Classes as people define them in notebooks, sliced, and executed where there is nothing else."""

from __future__ import annotations

import ast
import atexit
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sm_magics.authoring import Slice, slice_of


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A real interactive shell: run cells, then slice what they made."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    main = sys.modules["__main__"]
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))

    class Notebook:
        def __init__(self):
            self.cells: list[str] = []

        def run(self, *cells: str) -> None:
            for cell in cells:
                result = shell.run_cell(cell, store_history=False)
                self.cells.append(cell)
                result.raise_error()

        def slice(self, name: str) -> Slice:
            return slice_of(shell.user_ns[name], cells=self.cells, namespace=shell.user_ns)

    yield Notebook()
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main


def executed(sliced: Slice) -> dict[str, object]:
    """Run the slice in an empty module."""
    space: dict[str, object] = {"__name__": "sm_model"}
    exec(compile(sliced.source, "sm_model.py", "exec", dont_inherit=True), space)
    return space


def notebooks() -> dict[str, tuple[list[str], object, list[str]]]:
    """Read notebooks.txt: by title the cells, what Net().forward() gives, and what a slice must not contain."""
    found = {}
    for text in (Path(__file__).parent / "notebooks.txt").read_text().split("\n=== ")[1:]:
        head, *cells = (text + "\n").split("--- cell\n")
        title, gives, without = head.splitlines()[:3]
        absent = [one for one in without.removeprefix("without:").strip().split(", ") if one]
        found[title] = cells, ast.literal_eval(gives.removeprefix("gives:").strip()), absent
    return found


NOTEBOOKS = notebooks()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_class_from_the_notebook_runs_on_its_own(notebook, name):
    cells, expected, absent = NOTEBOOKS[name]
    notebook.run(*cells)
    sliced = notebook.slice("Net")
    assert sliced.missing == ()
    assert "Net" in sliced.names
    space = executed(sliced)
    assert space["Net"]().forward() == expected
    words = sliced.source.replace("(", " ").replace(")", " ").replace(",", " ")
    assert [one for one in absent if (one in words if " " in one else one in words.split())] == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_slicing_a_slice_gives_the_same(notebook, name):
    notebook.run(*NOTEBOOKS[name][0])
    first = notebook.slice("Net")
    space = executed(first)
    space["Net"].__module__ = "__main__"
    again = slice_of(space["Net"], cells=[first.source], namespace=space)
    assert again.source == first.source
    assert again.names == first.names


def test_a_set_taken_by_value_reads_the_same_every_time(notebook):
    notebook.run("letters = set()\nfor one in 'zeroabc':\n    letters.add(one)\n")
    notebook.run("class Net:\n    def forward(self): return letters\n")
    assert "letters = {'a', 'b', 'c', 'e', 'o', 'r', 'z'}\n" in notebook.slice("Net").source


def test_comments_and_formatting_are_kept(notebook):
    text = (
        "# How it is.\n@(lambda c: c)\nclass Net:   # here\n    x  =  (1,\n           2)   # two\n\n"
        "    # forward\n    def forward(self): return self.x"
    )
    notebook.run(f"import os\n\n# about os\n\n{text}\n# not this\n")
    assert notebook.slice("Net").source == text + "\n"


def test_what_cannot_be_sliced_is_named(notebook):
    notebook.run("handle = open('/dev/null')\n", "for turn in range(3): pass\n")
    notebook.run("class Net:\n    def forward(self): return handle, nowhere, __name__, print\n")
    assert set(notebook.slice("Net").missing) == {"handle", "nowhere"}
    notebook.run("handle.close()\n")


ATTACHED = {
    "a lambda by setattr": "setattr(Net, 'forward', lambda self: K)",
    "setattr": "setattr(Net, 'forward', forward)",
    "in a loop": "for attach in (Net,):\n    attach.forward = forward",
    "in a function": "def attach(cls, one):\n    cls.forward = one\nattach(Net, forward)",
    "under another name": "Other = Net\nOther.forward = forward",
    "after an assignment": "Net.forward = lambda self: 'wrong'\nsetattr(Net, 'forward', forward)",
}


@pytest.mark.parametrize("how", ATTACHED.values(), ids=ATTACHED.keys())
@pytest.mark.parametrize("body", ["def forward(self): return 'wrong'", "pass", "def __other(self): return 1"])
def test_a_function_put_on_a_class_later_goes_with_it(notebook, how, body):
    notebook.run(f"class Net:\n    {body}\n", "K = 3\ndef forward(self): return K\n", how)
    sliced = notebook.slice("Net")
    assert sliced.missing == ()
    assert executed(sliced)["Net"]().forward() == 3


@pytest.mark.parametrize("body", ["def forward(self): return 'wrong'", "pass"])
def test_a_method_that_a_decorator_puts_on_a_class_goes_with_it(notebook, body):
    notebook.run(
        f"class Net:\n    {body}\n",
        "def add_to(cls):\n    def put(function):\n        setattr(cls, function.__name__, function)\n    return put\n",
        "K = 3\n@add_to(Net)\ndef forward(self): return K\n",
    )
    sliced = notebook.slice("Net")
    assert sliced.missing == ()
    assert executed(sliced)["Net"]().forward() == 3


@pytest.mark.parametrize("how", ["Net().__class__.forward = lambda self: 3"])
@pytest.mark.parametrize("body", ["def forward(self): return 'wrong'", "pass"])
def test_what_was_put_on_a_class_and_cannot_be_sliced_is_missing(notebook, how, body):
    notebook.run("def add_to(cls):\n    return lambda function: setattr(cls, function.__name__, function)\n")
    notebook.run(f"class Net:\n    {body}\n", how)
    assert notebook.slice("Net").missing == ("Net.forward",)


def test_a_function_put_on_a_class_of_a_module_goes_with_it(notebook, tmp_path, monkeypatch):
    (tmp_path / "nets_of_mine.py").write_text("class Base:\n    def forward(self): return 'wrong'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    notebook.run("from nets_of_mine import Base\nclass Net(Base): pass\n")
    notebook.run("def forward(self): return 3\nBase.forward = forward\n")
    try:
        sliced = notebook.slice("Net")
        assert sliced.missing == ()
        sys.modules.pop("nets_of_mine")
        assert executed(sliced)["Net"]().forward() == 3
    finally:
        sys.modules.pop("nets_of_mine", None)


@pytest.mark.parametrize(
    "cell",
    [
        "import dataclasses\n@dataclasses.dataclass(order=True)\nclass Net:\n    k: int = 1\n",
        (
            "def deco(f):\n    def inner(*a): return f(*a)\n    return inner\n"
            "class Net:\n    @deco\n    def forward(self): return 1\n    @staticmethod\n    @deco\n    def s(): ...\n"
        ),
        (
            "import functools\nclass Net:\n    @property\n    def a(self): return 1\n    @functools.cached_property\n"
            "    def b(self): return 1\n    @functools.lru_cache\n    def c(self): return 1\n    d = lambda self: 1\n"
            "    e = c\n    if True:\n        def f(self): return 1\n    @a.setter\n    def a(self, x): pass\n"
        ),
        (
            "def named(cls):\n    def name(self): return 'x'\n    cls.name = name\n    return cls\n"
            "@named\nclass Net:\n    def __private(self): return 1\n"
        ),
        "class Base:\n    def __init_subclass__(cls):\n        cls.more = lambda self: 1\nclass Net(Base): pass\n",
        "import enum\nclass Net(enum.Enum):\n    A = 1\n",
        (
            "from typing import NamedTuple, Protocol, Generic, TypeVar\nT = TypeVar('T')\n"
            "class Point(NamedTuple):\n    x: int\n    def area(self): return 1\n"
            "class Net(Generic[T]):\n    def forward(self): return Point(1)\n"
        ),
        "class Net:\n    def forward(self): ...\nAlias = Net\nclass Net(Alias):\n    def forward(self): ...\n",
    ],
)
def test_what_a_class_defines_itself_is_not_taken_for_something_put_on_it(notebook, cell):
    notebook.run(cell)
    sliced = notebook.slice("Net")
    assert sliced.missing == ()
    assert "\nNet." not in sliced.source


def test_a_class_made_inside_a_function_is_missing_itself(notebook):
    notebook.run("def make():\n    class Net: pass\n    return Net\nNet = make()\n")
    assert notebook.slice("Net") == Slice("", (), ("make.<locals>.Net",))


def test_the_cell_that_really_ran_counts(notebook):
    notebook.run("class Net:\n    def forward(self): return 1\n")
    # Typed, but never run: it does not define what the variable is.
    notebook.cells.append("class Net:\n    def forward(self): return 2\n")
    assert executed(notebook.slice("Net"))["Net"]().forward() == 1


def test_an_installed_class_is_an_import(notebook):
    notebook.run("from json import JSONDecoder as Net\n")
    assert notebook.slice("Net") == Slice("from json.decoder import JSONDecoder\n", (), ())


def test_a_module_beside_the_notebook_is_taken_as_it_is(notebook, tmp_path, monkeypatch):
    (tmp_path / "blocks_of_mine.py").write_text("import json\n\nK = 1\n\n\nclass Block:\n    k = K\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    notebook.run("from blocks_of_mine import Block\n", "class Net(Block):\n    pass\n")
    try:
        assert notebook.slice("Block").source == (tmp_path / "blocks_of_mine.py").read_text()
        assert notebook.slice("Block").names == ("K", "Block")
        sliced = notebook.slice("Net")
        assert sliced.source == "from blocks_of_mine import Block\n\n\nclass Net(Block):\n    pass\n"
        assert dict(sliced.modules) == {"blocks_of_mine": tmp_path / "blocks_of_mine.py"}
    finally:
        sys.modules.pop("blocks_of_mine", None)


def test_a_pytorch_model_as_people_write_it(notebook):
    torch = pytest.importorskip("torch")
    notebook.run(
        "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nimport json as digits\n",
        "CLASSES = 10\ndevice = torch.device('cpu')\ntorch.manual_seed(0);\n",
        "def block(i, o):\n    # one block\n    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU())\n",
        "class Net(nn.Module):\n    def __init__(self, width=4):\n        super().__init__()\n"
        "        self.body = block(1, width)\n        self.head = nn.Linear(width * 64, CLASSES)\n\n"
        "    def forward(self, x: torch.Tensor):\n"
        "        return F.log_softmax(self.head(self.body(x).flatten(1)), 1)\n",
        "net = Net().to(device)\n",
    )
    sliced = notebook.slice("Net")
    assert sliced.missing == ()
    assert sliced.source.startswith("import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n")
    assert "digits" not in sliced.source
    assert "device" not in sliced.source
    assert executed(sliced)["Net"](2)(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
