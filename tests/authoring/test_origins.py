"""Lines of generated code lead back to the cells that they were taken from."""

from __future__ import annotations

import pytest

from sm_magics.authoring.origins import Cell, origin

TEXT = """\
import torch


def clean(x):
    return x


@torch.no_grad
class Net:
    def forward(self, x):
        # why
        return clean(x)


def build_model():
    return Net()
"""
CLEAN = "def clean(x):\n    return x   \n"
NET = "@torch.no_grad\nclass Net:\n    def forward(self, x):\n        # why\n        return clean(x)\n"


def found(line: int, *cells: str):
    where = origin(TEXT, line, [Cell(cell, number, f"id {number}") for number, cell in enumerate(cells)])
    return where and (where.cell.execution_count, where.cell.id, where.line, where.definition)


@pytest.mark.parametrize(
    ("line", "cells", "expected"),
    [
        (12, ["x = 1", f"y = 2\n\n{NET}"], (1, "id 1", 7, "class Net")),
        (8, [NET], (0, "id 0", 1, "class Net")),
        (5, [CLEAN, CLEAN], (1, "id 1", 2, "function clean")),  # the last one that has it
        (5, [CLEAN, CLEAN.replace("return x", "return y")], (0, "id 0", 2, "function clean")),
        (12, [NET.replace("# why", "# why not")], None),
        (15, [NET, CLEAN], None),  # from no cell
        (1, [TEXT], None),  # in no definition
        (99, [NET], None),
        (12, [f"%%time\n{NET}"], (0, "id 0", 6, "class Net")),  # as it stands in the notebook
        (12, [f"get_ipython().run_cell_magic('time', '', {NET!r})\n"], (0, "id 0", 5, "class Net")),
        (12, ["class Net(:"], None),
    ],
)
def test_a_line_is_found_in_the_last_cell_that_has_its_definition(line, cells, expected):
    assert found(line, *cells) == expected


def test_what_is_not_python_comes_from_nowhere():
    assert origin("class Net(:", 1, [Cell("class Net(:")]) is None
