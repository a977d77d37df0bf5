"""What cannot be packaged is refused with an error of ours and a way out, and nothing that was there is touched."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sm_magics.authoring import CodeFolder
from sm_magics.errors import (
    FileConflictError,
    InferenceScriptError,
    PackagingError,
    SmMagicsError,
    UnsupportedModelError,
)
from sm_magics.packaging import package


def files_below(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def refused(kind: type[SmMagicsError], words: str, model: Any, directory: Path, **options: Any) -> SmMagicsError:
    before = files_below(directory)
    options.setdefault("namespace", {})
    with pytest.raises(kind, match=words) as caught:
        package(model, model_dir=directory, **options)
    assert caught.value.hint
    assert files_below(directory) == before
    return caught.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "a int"),
        ([nn.Linear(1, 1)], "a list"),
        (nn.Linear, "the class Linear, not an instance"),
        (torch.optim.SGD(nn.Linear(1, 1).parameters()), "SGD"),
        (torch.ones(2), "Tensor"),
        ({"accuracy": 0.9}, "a dict"),
        ("modle", "a str"),
        (None, "a NoneType"),
    ],
    ids=str,
)
def test_what_is_no_model_is_named_with_the_models_there_are(tmp_path, value, words):
    namespace = {"net": nn.Linear(1, 1), "_1": nn.Linear(1, 1), "x": 3}
    error = refused(UnsupportedModelError, words, value, tmp_path, namespace=namespace)
    assert "net (Linear)" in error.message
    assert error.hint == "%sm_package net"
    refused(UnsupportedModelError, "none here", value, tmp_path)


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(3))


def quantised() -> dict[str, torch.Tensor]:
    return {"w": torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.quint8)}


def sparse() -> nn.Module:
    module = nn.Linear(2, 2)
    module.weight = nn.Parameter(torch.eye(2).to_sparse())
    return module


class Odd(torch.Tensor):
    pass


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Linear(2, 2, device="meta"), "'weight' is on the meta device"),
        (lambda: nn.Linear(2, 2, device="meta").state_dict(), "'weight' is on the meta device"),
        (lazy, "lazy"),
        (quantised, "'w' is quantised"),
        (sparse, "sparse"),
        (lambda: {"w": torch.ones(2).as_subclass(Odd)}, "Odd"),
        (lambda: {"w": torch.ones(2), "scheduler": object()}, "'scheduler' in the state_dict is a object"),
    ],
)
def test_weights_that_cannot_be_saved_are_named(tmp_path, make, words):
    CodeFolder(tmp_path).write_section("def model_fn(model_dir): ...")
    refused(UnsupportedModelError, words, make(), tmp_path)


@pytest.mark.parametrize("name", ["", "my_net", "-net", "net-", "a" * 64, "netz.1", "ünit", "a b", "net\n"])
def test_a_name_that_sagemaker_would_refuse(tmp_path, name):
    error = refused(PackagingError, "SageMaker refuses the name", nn.Linear(1, 1), tmp_path, name=name)
    assert re.fullmatch(r"--name [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", error.hint)


@pytest.mark.parametrize("name", ["a", "1", "a--b", "a" * 63, "net-1"])
def test_a_name_that_sagemaker_accepts(tmp_path, name):
    assert package(nn.Linear(1, 1), name=name, model_dir=tmp_path, namespace={}).name == name


def test_a_state_dict_without_code_needs_a_model_fn(tmp_path):
    state = nn.Linear(1, 1).state_dict()
    error = refused(InferenceScriptError, "is missing: nothing would load it", state, tmp_path)
    assert "def model_fn" in error.hint
    torch.save(state, tmp_path / "saved.pth")
    refused(InferenceScriptError, "nothing would load it", tmp_path / "saved.pth", tmp_path)

    CodeFolder(tmp_path).write_section("def predict_fn(data, model): return model(data)")
    refused(InferenceScriptError, "has no model_fn", state, tmp_path)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "notes.pth").write_text("hello")
    refused(UnsupportedModelError, "is no model", tmp_path / "notes.pth", tmp_path)
    refused(UnsupportedModelError, "There is no file", tmp_path / "nothing.pth", tmp_path)
    refused(UnsupportedModelError, "There is no file", str(tmp_path / "nothing.pth"), tmp_path)


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        (
            "def outer():\n    def inner(): ...\n    return inner\nmodel.act = outer()",
            "'act' of Net .* inside a function",
        ),
        ("model.act = lambda x, when=object(): x", "'act' of Net is a lambda"),
        ("model.log = open('/dev/null')", "'log' of Net is a _io.TextIOWrapper"),
        ("model.register_forward_hook(lambda *_, when=object(): None)", "hook"),
    ],
)
def test_what_no_code_can_express_is_named(notebook, attribute, words):
    notebook.run(
        "class Net(nn.Module):\n    def forward(self, x): return self.act, self.log, self.layers\nmodel = Net()"
    )
    notebook.run(attribute)
    with pytest.raises(InferenceScriptError, match=words) as caught:
        notebook.package(notebook["model"])
    assert "def model_fn" in caught.value.hint
    assert files_below(notebook.directory) == {}


def test_a_class_without_source_is_named(notebook):
    notebook.run("def make():\n    class Net(nn.Module):\n        pass\n    return Net()\nmodel = make()")
    with pytest.raises(InferenceScriptError, match=r"make\.<locals>\.Net|made inside a function") as caught:
        notebook.package(notebook["model"])
    assert caught.value.hint.startswith("class Net(nn.Module): …    # in a cell, outside of any function")
    notebook.run("exec('class Hidden(nn.Module): pass')\nmodel = Hidden()")
    with pytest.raises(InferenceScriptError, match="Hidden"):
        notebook.package(notebook["model"])


@pytest.mark.parametrize(
    "body",
    [
        "def forward(self, x): return x + loader.size",
        "def forward(self, x): return self.features(x)\n    def features(self, x): return x + loader.size",
        "def forward(self, x): return self.a(x)\n    def a(self, x): return self.b()\n    def b(self): return loader",
        "def forward(self, x):\n        def inner(): return loader\n        return inner()",
        "def forward(self, x): return x * self.scale\n    @property\n    def scale(self): return loader.size",
        "def forward(self, x): return self[0]\n    def __getitem__(self, i): return loader.size",
        "def forward(self, x): return helper(x)",
    ],
)
def test_what_the_endpoint_would_miss_is_named_with_a_way_out(notebook, body):
    notebook.run("for loader in [type('L', (), {'size': 3})()]: pass\ndef helper(x): return x + loader.size")
    notebook.run(f"class Net(nn.Linear):\n    {body}\nmodel = Net(2, 2)")
    with pytest.raises(InferenceScriptError, match="loader is not defined") as caught:
        notebook.package(notebook["model"])
    assert "__init__" in caught.value.hint


def test_a_method_that_was_put_on_the_class_and_cannot_be_taken_along(notebook):
    notebook.run("class Net(nn.Linear): pass\ntype.__setattr__(Net, 'forward', lambda self, x: x)\nmodel = Net(2, 2)")
    with pytest.raises(InferenceScriptError, match=r"Net\.forward") as caught:
        notebook.package(notebook["model"])
    assert "Net.forward = forward" in caught.value.hint


def test_a_method_that_only_the_script_calls_counts_too(notebook):
    notebook.run("loader = iter([])\nclass Net(nn.Linear):\n    def generate(self): return loader\nmodel = Net(2, 2)")
    CodeFolder(notebook.directory).write_section("def predict_fn(data, model):\n    return model.generate()\n")
    with pytest.raises(InferenceScriptError, match="loader is not defined"):
        notebook.package(notebook["model"])


def test_a_pickled_module_of_the_notebook_is_refused(notebook):
    notebook.run("class Net(nn.Module):\n    pass\nmodel = Net()")
    with pytest.raises(InferenceScriptError, match="only in this notebook"):
        notebook.package(notebook["model"], save_as="module")


@pytest.mark.parametrize(
    ("save_as", "model"),
    [("torchscript", nn.Linear(1, 1).state_dict()), ("module", torch.nn.Linear(1, 1).state_dict())],
)
def test_a_way_of_saving_that_does_not_fit(tmp_path, save_as, model):
    refused(UnsupportedModelError, "cannot be saved as", model, tmp_path, save_as=save_as)


def test_a_way_of_saving_that_does_not_exist(tmp_path):
    refused(PackagingError, "no way to save", nn.Linear(1, 1), tmp_path, save_as="onnx")


class Unscriptable(nn.Module):
    def forward(self, x, **extra):
        return x


def test_what_cannot_be_scripted_asks_for_a_sample(tmp_path):
    error = refused(
        UnsupportedModelError, "torch.jit.script does not take", Unscriptable(), tmp_path / "x", save_as="torchscript"
    )
    assert "--sample" in error.hint


def test_handlers_that_the_container_would_refuse_are_listed(tmp_path):
    (tmp_path / "code").mkdir()
    folder = CodeFolder(tmp_path)
    folder.write_section("def input_fn(): ...")
    folder.write_section("def predict_fn(data, model): return undefined_name")

    with pytest.raises(InferenceScriptError) as caught:
        package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})

    assert "SM102" in caught.value.message
    assert "undefined_name" in caught.value.message
    assert not (tmp_path / "model.tar.gz").exists()


@pytest.mark.parametrize("name", ["model.pth", "model.tar.gz", "code/sm_model.py", "code/inference.py"])
def test_a_file_that_is_not_ours_is_kept(tmp_path, name):
    (tmp_path / "code").mkdir()
    (tmp_path / name).write_text("'somebody else wrote this'\n")
    refused(FileConflictError, name, nn.Linear(1, 1), tmp_path)

    package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}, force=True)

    assert (tmp_path / f"{name}.bak").read_text() == "'somebody else wrote this'\n"


def test_an_archive_that_changed_since_is_kept(tmp_path):
    package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    with (tmp_path / "model.tar.gz").open("ab") as file:
        file.write(b"mine")
    refused(FileConflictError, "changed since", nn.Linear(1, 1), tmp_path)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SmMagicsError, match=r"cannot be (read|written)"):
        package(nn.Linear(1, 1), model_dir=tmp_path / "file" / "x", namespace={})
    with pytest.raises(PackagingError, match="There is no directory"):
        package(nn.Linear(1, 1), model_dir=tmp_path, archive=tmp_path / "nowhere/model.tar.gz", namespace={})


@pytest.mark.parametrize("place", ["code/data.bin", "code/inference.py", "extra/deep/data.bin"])
@pytest.mark.parametrize("kind", ["a dangling link", "a pipe"])
def test_what_is_no_file_is_named_before_anything_is_written(tmp_path, place, kind):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    words = re.escape(str(path)) + ".*no(t a| such) file"
    error = refused(PackagingError, words, nn.Linear(1, 1), tmp_path, include=["extra"] if "extra" in place else [])
    assert str(path) in error.hint


@pytest.mark.parametrize("archive", ["code/model.tar.gz", "code/deep/model.tar.gz", "link/model.tar.gz"])
def test_an_archive_inside_code_would_hold_itself(tmp_path, archive):
    (tmp_path / "code/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("code")
    refused(PackagingError, "inside code/", nn.Linear(1, 1), tmp_path, archive=tmp_path / archive)


@pytest.mark.parametrize("archive", ["model.pth", "link.pth"])
def test_an_archive_in_the_place_of_the_model_file(tmp_path, archive):
    (tmp_path / "link.pth").symlink_to("model.pth")
    refused(PackagingError, "model file", nn.Linear(1, 1), tmp_path, archive=tmp_path / archive)
    saved = tmp_path / "saved.pth"
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), saved)
    refused(PackagingError, "model file", saved, tmp_path, archive=saved)


def test_the_former_archive_is_not_included(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/labels.json").write_text("{}")
    options = {"model_dir": tmp_path, "namespace": {}, "archive": tmp_path / "out/m.tar.gz", "include": ["out"]}
    first = package(nn.Linear(1, 1), **options)
    second = package(nn.Linear(1, 1), **options)
    assert [file.name for file in first.files] == [file.name for file in second.files]


def test_an_included_file_that_is_none(tmp_path):
    (tmp_path / "labels.json").symlink_to("nowhere")
    refused(PackagingError, "labels.json", nn.Linear(1, 1), tmp_path, include=["*.json"])


def test_requirements_in_another_encoding_do_not_matter(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/requirements.txt").write_bytes("# für uns\ntimm\n".encode("latin-1"))
    result = package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    assert {file.name: file.note for file in result.files}["code/requirements.txt"] == "1 requirement"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SmMagicsError, match="Permission denied") as caught:
        package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    assert "--model-dir" in caught.value.hint


@pytest.mark.parametrize("where", ["weights", "archive"])
def test_a_full_disk_leaves_the_earlier_model_and_archive(tmp_path, monkeypatch, where):
    package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    before = files_below(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {"weights": "saving._Copy.write", "archive": "tar.gzipping.Output.write"}[where]
    monkeypatch.setattr(f"sm_magics.packaging.{target}", full)
    with pytest.raises(PackagingError, match="no space left"):
        package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})

    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("pattern", "words"), [("../secret", "not below"), ("/etc/passwd", "not below"), ("nothing*", "Nothing in")]
)
def test_an_inclusion_that_is_none(tmp_path, pattern, words):
    refused(PackagingError, words, nn.Linear(1, 1), tmp_path, include=[pattern])


def test_a_script_of_ones_own_is_told_what_it_lacks_and_works_once_it_has_that(tmp_path):
    script = tmp_path / "code" / "inference.py"
    script.parent.mkdir()
    script.write_text("import json\n\ndef output_fn(prediction, accept):\n    return json.dumps(prediction.tolist())\n")
    error = refused(FileConflictError, "inference.py has no model_fn, and is not changed", nn.Linear(2, 1), tmp_path)
    _, _, code = error.hint.partition("\n")
    with script.open("a") as file:
        file.write(f"\n\n{code}")
    package(nn.Linear(2, 1), model_dir=tmp_path, namespace={})
    assert "build_model" in (tmp_path / "code" / "sm_model.py").read_text()
    assert "output_fn" in script.read_text()


def test_a_script_of_ones_own_is_told_how_to_import_what_goes_along(tmp_path):
    script = tmp_path / "code" / "inference.py"
    script.parent.mkdir()
    script.write_text("import torch\n\ndef model_fn(model_dir):\n    return torch.jit.load(model_dir + '/model.pth')\n")
    model, scaler = torch.jit.script(nn.Linear(2, 1)), torch.ones(500)
    options = {"namespace": {"scaler": scaler}, "objects": ["scaler"]}
    error = refused(FileConflictError, "does not import what goes along", model, tmp_path, **options)
    assert error.hint.endswith("\nfrom sm_objects import scaler\n")
    script.write_text("import torch\n")
    error = refused(FileConflictError, "has no model_fn", nn.Linear(2, 1), tmp_path, **options)
    assert "def model_fn(" in error.hint
    assert "from sm_objects import scaler" in error.hint
