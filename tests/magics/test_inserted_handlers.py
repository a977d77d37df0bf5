"""The cell that *Insert inference handlers* inserts in JupyterLab: it works as it stands, for a model of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

SOURCE = Path(__file__).parents[2] / "labextension" / "src" / "handlers.ts"

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, size=2):
        super().__init__()
        self.fc = torch.nn.Linear(size, 3)

    def forward(self, x):
        return self.fc(x)

net = Net().eval()
x = torch.ones(4, 2)
"""


def test_a_model_answers_through_the_inserted_handlers(notebook):
    [cell] = re.findall(r"const HANDLERS = `([^`]*)`", SOURCE.read_text(encoding="utf-8"))
    assert "${" not in cell
    assert "\\" not in cell
    notebook.succeed(NET)
    notebook.succeed(cell)
    assert "SM1" not in notebook.text  # no finding
    notebook.succeed("%sm_package -o package net --sample x")
    report = notebook.succeed("%sm_check -o report package --expect net(x)")
    assert report.passed, notebook.text
