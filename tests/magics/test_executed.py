"""The cells executed so far are the same, whether the front end has the kernel keep a history or not."""

from __future__ import annotations

from pathlib import Path

import pytest

EARLIER = (
    "import re\nimport torch\nfrom torch import nn",
    'DIGITS = re.compile(r"\\d+\\s*")  # the words\' numbers\nSCALE = 2 * 3',
)
LATER = (
    "%load_ext sm_magics",
    "class Scaled(nn.Module):\n    def forward(self, x):\n        return SCALE * x",
    "%%capture\nclass Net(Scaled):\n    def number(self, text):\n        return DIGITS.findall(text)",
    "net = Net().eval()\nOTHER = 1",
    "_ = %sm_package net",
)


class Kernel:
    """A kernel in which each cell is a request."""

    _allow_stdin = False

    def __init__(self) -> None:
        self.request = 0

    def get_parent(self):
        return {"header": {"msg_id": f"request {self.request}"}}


def written(notebook, *, has_history: bool, directory: Path, monkeypatch) -> list[str]:
    """Run the cells in a directory; return what was written of the notebook's source."""
    directory.mkdir()
    monkeypatch.chdir(directory)
    notebook.shell.run_line_magic("unload_ext", "sm_magics")
    notebook.shell.kernel = kernel = Kernel()
    try:
        for cell in (*EARLIER, *LATER):
            kernel.request += 1
            notebook.shell.run_cell(cell, store_history=has_history).raise_error()
    finally:
        del notebook.shell.kernel
    return [(directory / "code" / name).read_text() for name in ("sm_model.py", "inference.py")]


def test_a_model_is_packaged_the_same_with_and_without_a_history(notebook, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    options = {"monkeypatch": monkeypatch}
    without = written(notebook, has_history=False, directory=tmp_path / "without", **options)
    assert not any(notebook.shell.history_manager.input_hist_parsed)
    assert written(notebook, has_history=True, directory=tmp_path / "with", **options) == without
    assert 'DIGITS = re.compile(r"\\d+\\s*")  # the words\' numbers\nSCALE = 2 * 3\n' in without[0]
    assert without[0].index("import re\n") < without[0].index("from torch import nn")


def test_cells_have_the_ids_that_the_front_end_gives_also_the_one_that_loads_the_extension(notebook, monkeypatch):
    notebook.shell.run_line_magic("unload_ext", "sm_magics")
    notebook.shell.kernel = kernel = Kernel()
    monkeypatch.setattr(Kernel, "get_parent", lambda self: {"metadata": {"cellId": f"id {self.request}"}})
    try:
        for cell in ("x = 1", "%load_ext sm_magics", "y = 2"):
            kernel.request += 1
            notebook.shell.run_cell(cell, store_history=True, cell_id=f"id {kernel.request}")
        found = [(one.source.strip(), one.execution_count, one.id) for one in notebook.session.executed.cells()][1:]
    finally:
        del notebook.shell.kernel
    assert [(number, name) for _, number, name in found] == [(1, ""), (2, "id 2"), (3, "id 3")]


def test_what_a_cell_runs_in_turn_is_its_own(notebook):
    notebook.shell.kernel = kernel = Kernel()
    try:
        for cell in ("first = 1", "get_ipython().run_cell('inner = 2')", "   ", "%%capture\nlast = 3", "1 +"):
            kernel.request += 1
            notebook.shell.run_cell(cell)
    finally:
        del notebook.shell.kernel
    found = [cell.strip() for cell in notebook.session.cells()]
    assert found[-4:-2] == ["first = 1", "get_ipython().run_cell('inner = 2')"]
    assert "last = 3" in found[-2]
    assert found[-1] == "1 +"


def test_nothing_is_noted_any_more_once_the_extension_is_gone(notebook):
    session = notebook.session
    notebook.shell.run_line_magic("unload_ext", "sm_magics")
    before = session.cells()
    notebook.shell.run_cell("x = 1")
    assert session.cells() == before
