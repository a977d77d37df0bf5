"""What cells wrote and what packaging wrote are told apart, and neither replaces the other unasked."""

from __future__ import annotations

import json
import shutil

import pytest

from sm_magics.authoring import CodeFolder
from sm_magics.errors import AuthoringError, CellSyntaxError, FileConflictError

MODEL_FN = "import torch\n\n\ndef model_fn(model_dir):\n    return torch.jit.load(model_dir + '/model.pth', 'cpu')\n"
PREDICT_FN = "def predict_fn(data, model):\n    return model(data)\n"
OUTPUT_FN = "def output_fn(prediction, accept):\n    return 'x'\n"


def test_a_generated_section_is_never_stale(folder, cell):
    folder.write_section(MODEL_FN, name="model_fn", author=cell(1), generated=True)
    written = folder.write_section(PREDICT_FN, author=cell(2, session="two"))
    assert written.stale == ()
    again = CodeFolder(folder.model_dir).write_section(OUTPUT_FN, author=cell(3, session="three"))
    assert again.stale == ("predict_fn",)


def test_a_generated_section_that_was_edited_is_its_editors(folder, cell):
    folder.write_section(MODEL_FN, name="model_fn", author=cell(1), generated=True)
    assert folder.is_generated("model_fn")
    path = folder.path / "inference.py"
    path.write_text(path.read_text().replace("'cpu'", "'meta'"))
    assert not folder.is_generated("model_fn")
    folder.write_section(PREDICT_FN, author=cell(2))
    assert not folder.is_generated("model_fn")
    assert not folder.is_generated("predict_fn")


def test_a_generated_section_becomes_the_cells_that_writes_it(folder, cell):
    folder.write_section(MODEL_FN, name="model_fn", author=cell(1), generated=True)
    folder.write_section(MODEL_FN, author=cell(2))
    assert not folder.is_generated("model_fn")


def test_packaging_does_not_replace_what_a_cell_wrote(folder, cell):
    folder.write_file("sm_model.py", "X = 1\n", author=cell(1))
    with pytest.raises(FileConflictError, match="written by a cell") as caught:
        folder.write_file("sm_model.py", "X = 2\n", author=cell(2), generated=True)
    assert "%%sm_code my_sm_model.py" in caught.value.hint
    assert (folder.path / "sm_model.py").read_text() == "X = 1\n"
    written = folder.write_file("sm_model.py", "X = 2\n", author=cell(2), generated=True, force=True)
    assert written.copy is not None
    assert written.copy.read_text() == "X = 1\n"


def test_a_cells_file_that_packaging_would_write_alike_stays_the_cells(folder, cell):
    folder.write_file("nets.py", "X = 1\n", author=cell(1))
    folder.write_file("nets.py", "X = 1\n", author=cell(2), generated=True)
    with pytest.raises(FileConflictError, match="written by a cell"):
        folder.write_file("nets.py", "X = 2\n", author=cell(2), generated=True)


def test_no_cell_replaces_the_generated_model_module(folder, cell):
    folder.write_file("sm_model.py", "X = 1\n", author=cell(1), generated=True)
    with pytest.raises(FileConflictError, match="packaging writes") as caught:
        folder.write_file("sm_model.py", "X = 2\n", author=cell(2))
    assert caught.value.hint.startswith("%%sm_code my_model.py")
    folder.write_file("sm_model.py", "X = 3\n", author=cell(2), generated=True)
    assert (folder.path / "sm_model.py").read_text() == "X = 3\n"


def test_requirements_written_for_the_person_are_theirs_to_write(folder, cell):
    folder.write_file("requirements.txt", "# none\n", generated=True)
    folder.write_file("requirements.txt", "timm\n", author=cell(1))
    assert (folder.path / "requirements.txt").read_text() == "timm\n"


@pytest.mark.parametrize("body", ["# gone\n", "\n", ""])
def test_a_cell_without_code_removes_its_section(folder, cell, body):
    folder.write_section(MODEL_FN, author=cell(1))
    folder.write_section(PREDICT_FN, author=cell(2))
    written = folder.write_section(body, name="predict_fn", author=cell(2))
    assert written.removed
    assert (written.section, written.dropped, written.handlers["predict_fn"]) == ("predict_fn", ("predict_fn",), "")
    assert (folder.path / "inference.py").read_text() == f"# %% model_fn\n{MODEL_FN}"
    folder.write_section(PREDICT_FN, author=cell(2))
    assert "def predict_fn" in (folder.path / "inference.py").read_text()


def test_a_section_edited_by_hand_is_removed_only_by_force(folder, cell):
    folder.write_section(PREDICT_FN, author=cell(1))
    path = folder.path / "inference.py"
    path.write_text(path.read_text().replace("model(data)", "model(data) + 1"))
    with pytest.raises(FileConflictError, match="edited by hand"):
        folder.write_section("# gone", name="predict_fn", author=cell(1))
    written = folder.write_section("# gone", name="predict_fn", author=cell(1), force=True)
    assert written.copy is not None
    assert "+ 1" in written.copy.read_text()


def test_removing_a_section_that_is_not_there_says_which_are(folder, cell):
    folder.write_section(PREDICT_FN, author=cell(1))
    with pytest.raises(AuthoringError, match="none of that name") as caught:
        folder.write_section("# gone", name="transform_fn", author=cell(2))
    assert caught.value.hint == "Its sections: predict_fn."


def test_an_empty_cell_without_a_name_says_how_to_remove_a_section(folder):
    with pytest.raises(AuthoringError, match="no code") as caught:
        folder.write_section("# nothing")
    assert "%%sm_inference NAME" in caught.value.hint


def test_what_cells_wrote_and_is_gone_is_known(folder, cell):
    folder.write_section(PREDICT_FN, author=cell(1))
    folder.write_section(MODEL_FN, name="model_fn", author=cell(1), generated=True)
    folder.write_file("helpers.py", "X = 1\n", author=cell(2))
    folder.write_file("sm_model.py", "X = 1\n", author=cell(2), generated=True)
    assert folder.lost() == {}
    (folder.path / "helpers.py").unlink()
    assert folder.lost() == {}
    shutil.rmtree(folder.path)
    assert folder.lost() == {"code/helpers.py": (), "code/inference.py": ("predict_fn",)}


def test_the_first_cell_after_the_script_went_says_which_are_still_to_be_run(folder, cell):
    folder.write_section(PREDICT_FN, author=cell(1))
    folder.write_section(OUTPUT_FN, author=cell(2))
    shutil.rmtree(folder.path)
    assert folder.write_section(PREDICT_FN, author=cell(1)).stale == ("output_fn",)


def test_generated_code_that_is_gone_is_nobodys_loss(folder, cell):
    folder.write_section(MODEL_FN, name="model_fn", author=cell(1), generated=True)
    folder.write_file("sm_model.py", "X = 1\n", author=cell(2), generated=True)
    folder.write_file("requirements.txt", "# none\n", generated=True)
    shutil.rmtree(folder.path)
    assert folder.lost() == {}


@pytest.mark.parametrize(("text", "why"), [("{broken", "not JSON"), ("[]", "another form"), ('{"files": 3}', "form")])
def test_a_record_that_cannot_be_read_is_said_to_be_one(folder, cell, text, why):
    folder.write_section(PREDICT_FN, author=cell(1))
    record = folder.model_dir / ".sm_magics.json"
    record.write_text(text)
    with pytest.raises(FileConflictError, match=rf"\.sm_magics\.json.*cannot be read.*{why}") as caught:
        folder.write_section(OUTPUT_FN, author=cell(2))
    assert "--force" in caught.value.hint
    assert record.read_text() == text
    folder.write_section(OUTPUT_FN, author=cell(2), force=True)
    assert (folder.model_dir / ".sm_magics.json.bak").read_text() == text
    assert "code/inference.py" in json.loads(record.read_text())["files"]
    folder.write_section(PREDICT_FN, author=cell(3))


def test_a_file_that_does_not_parse_is_called_by_its_path(folder):
    with pytest.raises(CellSyntaxError, match=r"^Line 1 of code/bad\.py is not Python"):
        folder.write_file("bad.py", "def (\n")
