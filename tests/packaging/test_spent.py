"""Code that was written for an earlier model goes when nothing uses it any more, and only then."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sm_magics.authoring import Author, CodeFolder
from sm_magics.packaging import package

TORCHSCRIPT = "import torch\ndef model_fn(model_dir):\n    return torch.jit.load(model_dir + '/model.pth', 'cpu')\n"


def in_code(result):
    return {file.name.removeprefix("code/") for file in result.files if file.name.startswith("code/")}


@pytest.mark.parametrize("cell", [None, TORCHSCRIPT])
def test_the_models_code_goes_with_the_model(tmp_path, cell):
    assert "sm_model.py" in in_code(package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}))
    if cell:
        CodeFolder(tmp_path).write_section(cell)

    result = package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}, save_as="torchscript")

    assert in_code(result) == {"inference.py", "requirements.txt"}
    assert not (tmp_path / "code/sm_model.py").exists()
    assert any("sm_model.py" in note for note in result.notes)
    if not cell:
        again = package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}, save_as="state_dict")
        assert "sm_model.py" in in_code(again)


def test_what_is_still_imported_stays(tmp_path):
    package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    CodeFolder(tmp_path).write_file("helper.py", "def build():\n    from sm_model import build_model\n")
    assert "sm_model.py" in in_code(package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}, save_as="torchscript"))


def test_what_a_person_wrote_or_edited_stays(tmp_path):
    package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    with (tmp_path / "code/sm_model.py").open("a") as file:
        file.write("# mine\n")
    (tmp_path / "code/stranger.py").write_text("x = 1\n")
    (tmp_path / "code/empty.py").write_text("")
    CodeFolder(tmp_path).write_file("cell.py", "x = 1\n")

    result = package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}, save_as="torchscript")

    assert in_code(result) >= {"sm_model.py", "stranger.py", "empty.py", "cell.py"}


def test_what_another_notebook_wrote_stays(tmp_path):
    script = torch.jit.script(nn.Linear(1, 1))
    options = {"model_dir": tmp_path, "namespace": {}}
    package(nn.Linear(1, 1), **options, author=Author(notebook="one.ipynb"))
    result = package(script, **options, author=Author(notebook="two.ipynb"), force=True)
    assert "sm_model.py" in in_code(result)


def test_the_users_own_modules_go_with_the_class_that_needed_them(notebook):
    (notebook.directory / "parts").mkdir()
    (notebook.directory / "parts/__init__.py").write_text("from .blocks import Block\n")
    (notebook.directory / "parts/blocks.py").write_text("from torch import nn\nclass Block(nn.Linear): pass\n")
    (notebook.directory / "sizes.py").write_text("N = 3\n")
    notebook.run("from parts import Block\nimport sizes\nmodel = nn.Sequential(Block(1, 1), nn.ReLU())")
    CodeFolder(notebook.directory).write_section("def predict_fn(data, model):\n    import sizes\n    return sizes.N\n")
    assert in_code(notebook.package(notebook["model"])) >= {"parts/__init__.py", "parts/blocks.py", "sm_model.py"}

    result = notebook.package(nn.Linear(1, 1))

    assert in_code(result) == {"inference.py", "requirements.txt", "sizes.py", "sm_model.py"}
    assert (notebook.directory / "parts/blocks.py").exists()
