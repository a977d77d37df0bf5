"""Packaging keeps what people wrote, and says so where what they wrote is gone."""

from __future__ import annotations

import shutil

import pytest

from sm_magics.authoring import CodeFolder
from sm_magics.errors import FileConflictError, InferenceScriptError

OUTPUT_FN = "def output_fn(prediction, accept):\n    return str(prediction)\n"


@pytest.mark.parametrize("gone", ["code", "code/inference.py"])
def test_handlers_that_cells_wrote_do_not_go_missing_silently(notebook, gone):
    notebook.run("class Net(nn.Linear):\n    pass\nnet = Net(2, 2)")
    CodeFolder(notebook.directory).write_section(OUTPUT_FN)
    notebook.package(notebook["net"])
    path = notebook.directory / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(InferenceScriptError, match=r"inference\.py is gone.*section output_fn\)") as caught:
        notebook.package(notebook["net"])
    assert "--force" in caught.value.hint

    CodeFolder(notebook.directory).write_section(OUTPUT_FN)
    notebook.package(notebook["net"])
    assert "def output_fn" in (notebook.directory / "code/inference.py").read_text()

    shutil.rmtree(notebook.directory / "code")
    notebook.package(notebook["net"], force=True)
    assert "output_fn" not in (notebook.directory / "code/inference.py").read_text()
    notebook.package(notebook["net"])


def test_generated_code_that_is_gone_is_written_again(notebook):
    notebook.run("class Net(nn.Linear):\n    pass\nnet = Net(2, 2)")
    notebook.package(notebook["net"])
    shutil.rmtree(notebook.directory / "code")
    notebook.package(notebook["net"])
    assert (notebook.directory / "code/sm_model.py").is_file()


def test_a_model_module_of_the_persons_own_is_not_replaced(notebook):
    notebook.run("class Net(nn.Linear):\n    pass\nnet = Net(2, 2)")
    CodeFolder(notebook.directory).write_file("sm_model.py", "X = 1\n")
    with pytest.raises(FileConflictError, match="written by a cell"):
        notebook.package(notebook["net"])
    assert (notebook.directory / "code/sm_model.py").read_text() == "X = 1\n"
    assert not (notebook.directory / "code/inference.py").exists()


def test_a_model_fn_that_was_edited_by_hand_is_kept(notebook, fresh_process):
    notebook.run("class Net(nn.Linear):\n    pass\nnet = Net(2, 2)")
    notebook.package(notebook["net"])
    path = notebook.directory / "code/inference.py"
    edited = path.read_text().replace("return model.eval()", "model.bias.data += 1\n    return model.eval()")
    path.write_text(edited)

    for _ in range(2):
        result = notebook.package(notebook["net"])
        assert any("edited" in note and "kept as yours" in note for note in result.notes)
        assert path.read_text() == edited
    notebook.run("x = torch.ones(1, 2)\ny = net(x) + 1")
    assert fresh_process.predict(result.path, notebook["x"]).allclose(notebook["y"])
