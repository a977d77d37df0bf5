"""The magics in JupyterLab: what their cells show, and that nothing else happens."""

from __future__ import annotations

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
