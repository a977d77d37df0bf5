"""The magics in a real kernel, as nbclient, papermill and nbval run them: what ends up in the notebook."""

from __future__ import annotations

import sys
import warnings

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("torch")

CELLS = {
    "load": "%load_ext sm_magics",
    "model": (
        "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = torch.nn.Linear(2, 3)\n\n    def forward(self, x):\n        return self.fc(x)\n\n"
        "net = Net().eval()\nx = torch.ones(1, 2)"
    ),
    "written": (
        "%%sm_inference\nimport json\n\ndef output_fn(prediction, accept):\n    return json.dumps(prediction.tolist())"
    ),
    "packaged": "%sm_package net",
    "deployed": "ep = %sm_deploy net -e from-a-kernel",
    "deployed again": "%sm_deploy net -e from-a-kernel",
    "predicted": "%sm_predict x",
    "silenced": "%sm_predict x;",
    "raw": "%%sm_predict\n[[1, 1]]",
    "later": "ep",
    "captured": "%%capture shown\n%sm_status",
    "what was captured": "[output.data['text/plain'].count('in service') for output in shown.outputs if output.data]",
    "equal": "import json\nanswer = %sm_predict x\nprint(torch.allclose(torch.tensor(answer), net(x)))",
    "failed": "%sm_status nowhere",
    "mistyped": "%sm_status --nonsense",
    "deleted": "%sm_delete ep",
}


@pytest.fixture(scope="module")
def executed(machine_home, tmp_path_factory):
    """The cells, executed once by a kernel of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM_MAGICS_HOME", str(machine_home.home))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
        client = nbclient.NotebookClient(
            book,
            timeout=120,
            allow_errors=True,
            resources={"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}},
        )
        client.create_kernel_manager()
        client.km.kernel_spec.argv[0] = sys.executable
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the Jupyter client, about its own future
            client.execute()
    return dict(zip(CELLS, book.cells, strict=True))


def kinds(cell) -> list[str]:
    return [output.output_type for output in cell.outputs]


@pytest.mark.parametrize(
    "name", ["written", "packaged", "deployed", "deployed again", "predicted", "silenced", "raw", "deleted"]
)
def test_a_magic_shows_one_thing_in_both_forms(executed, name):
    assert kinds(executed[name]) == ["display_data"], executed[name].outputs
    assert {"text/html", "text/plain"} <= set(executed[name].outputs[0].data)


def test_an_object_is_a_card_in_later_cells(executed):
    assert kinds(executed["later"]) == ["execute_result"]
    assert "sm-magics" in executed["later"].outputs[0].data["text/html"]


def test_what_a_magic_shows_can_be_captured(executed):
    assert kinds(executed["captured"]) == []
    assert executed["what was captured"].outputs[0].data["text/plain"] == "[1]"


def test_the_endpoint_answers_as_the_model_does(executed):
    assert executed["equal"].outputs[-1].text == "True\n"


def test_deploying_waits_where_nobody_watches(executed):
    assert "in service" in executed["deployed"].outputs[0].data["text/plain"]


def test_an_error_of_ours_is_an_error_of_the_cell_in_two_lines(executed):
    (output,) = executed["failed"].outputs
    assert (output.output_type, output.ename) == ("error", "EndpointNotFound")
    assert len(output.traceback) == 2
    assert output.traceback[1].strip().startswith("hint: ")


def test_a_mistyped_line_fails_without_a_traceback(executed):
    text = "".join(str(output) for output in executed["mistyped"].outputs)
    assert "--nonsense" in text
    assert "parse_args" not in text
