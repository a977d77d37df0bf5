"""The magics in JupyterLab: what their cells show, and that nothing else happens."""

from __future__ import annotations

from accessibility import serious
from playwright.sync_api import expect

MODEL = """\
import torch
%load_ext sm_magics
class Twice(torch.nn.Module):
    def forward(self, x):
        return 2 * x
model = Twice().eval()"""
HANDLER = """\
%%sm_inference
import json, torch
def input_fn(body, content_type):
    return torch.tensor(json.loads(body))"""


def test_model_is_deployed_and_called_in_jupyterlab(open_notebook):
    notebook = open_notebook(
        MODEL,
        HANDLER,
        "%sm_deploy model --endpoint-name in-the-browser",
        "%sm_predict -e in-the-browser [1, 2, 3]",
        "%sm_delete in-the-browser",
    )
    notebook.run_all()
    expect(notebook.outputs(1)).to_contain_text("input_fn")
    expect(notebook.outputs(2)).to_contain_text("in-the-browser")
    expect(notebook.outputs(2)).to_contain_text("in service")
    expect(notebook.outputs(3)).to_contain_text("6")
    expect(notebook.outputs(4)).to_contain_text("in-the-browser")


WAITING = """\
%%sm_inference
import os, time, torch
def model_fn(model_dir):
    while not os.path.exists({go!r}):
        time.sleep(0.05)
    net = torch.nn.Linear(2, 1)
    net.load_state_dict(torch.load(os.path.join(model_dir, "model.pth"), map_location="cpu", weights_only=True))
    return net"""


def test_a_package_says_how_far_it_has_come_and_becomes_its_card(open_notebook, lab):
    go = lab.root / "go-package"
    notebook = open_notebook(
        "import torch\n%load_ext sm_magics\nnet, x = torch.nn.Linear(2, 1), torch.ones(1, 2)",
        WAITING.format(go=str(go)),
        "package = %sm_package net --sample x",
    )
    for index in range(2):
        notebook.run(index)
    outputs = notebook.run(2)
    phases = outputs.locator(".sm-phases li")
    expect(outputs.locator("li[aria-current=step]")).to_contain_text("in a clean process")
    expect(phases.filter(has_text="Save").filter(has_text="done")).to_have_count(1)
    expect(phases.filter(has_text="Pack").filter(has_text="done")).to_have_count(1)
    for theme in ("dark", "light"):
        notebook.theme(theme)
        assert serious(notebook) == []
    go.touch()
    outputs = notebook.outputs(2)
    expect(outputs.locator(".sm-live")).to_contain_text("proof passed")
    expect(outputs.locator(".sm-phases")).to_have_count(0)
