"""What a refusal says to do can be done: it names the variables and classes that there are."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sm_magics.authoring import CodeFolder
from sm_magics.errors import InferenceScriptError, PackagingError, UnsupportedModelError
from sm_magics.packaging import package


def test_a_module_with_a_small_array_is_built_again(notebook, fresh_process):
    notebook.run("import numpy as np")
    notebook.run(
        "class V(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.t = torch.arange(4.)\n        self.c = np.array([1.0, np.nan])\n"
        "        self.l = nn.Linear(4, 4)\n"
        "    def forward(self, x): return self.l(x) + self.t + self.c[0]\n"
        "net = V()\nx = torch.ones(2, 4)\ny = net(x)"
    )
    result = notebook.package(notebook["net"])
    assert fresh_process.predict(result.path, notebook["x"]).allclose(notebook["y"])


def test_what_keeps_a_module_from_being_built_again_is_named(notebook):
    notebook.run(
        "class Odd:\n    def __eq__(self, other): return False\n    __hash__ = None\n"
        "class V(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n        self.odd = Odd()\n"
        "net = nn.Sequential(V())"
    )
    with pytest.raises(InferenceScriptError, match=r"odd") as caught:
        notebook.package(notebook["net"])
    assert "model = Sequential()" in caught.value.hint


def test_the_suggested_model_fn_is_not_taken_for_finished(notebook):
    notebook.run(
        "import threading\nclass V(nn.Linear):\n    def __init__(self, lock):\n        super().__init__(2, 2)\n"
        "        self.lock = lock\n"
        "    def forward(self, x):\n        with self.lock: return x\nnet = V(threading.Lock())"
    )
    with pytest.raises(InferenceScriptError, match=r"'lock'") as caught:
        notebook.package(notebook["net"])
    magic, _, cell = caught.value.hint.partition("\n")
    assert magic == "%%sm_inference"
    CodeFolder(notebook.directory).write_section(cell)
    with pytest.raises(InferenceScriptError, match="V is not defined"):
        notebook.package(notebook["net"])


def test_a_state_dict_of_a_model_that_is_here_suggests_the_model(notebook):
    notebook.run("class Net(nn.Linear):\n    pass\nmine = Net(2, 2)\nweights = mine.state_dict()")
    with pytest.raises(InferenceScriptError, match="weights but no code") as caught:
        notebook.package(notebook["weights"])
    assert caught.value.hint.startswith("%sm_package mine ")


def test_a_class_suggests_its_instance_or_how_to_make_one(notebook):
    notebook.run("class A(nn.Linear):\n    pass\nclass B(nn.Module):\n    pass\na = A(2, 2)\nother = nn.ReLU()")
    with pytest.raises(UnsupportedModelError, match="class A, not an instance") as caught:
        notebook.package(notebook["A"])
    assert caught.value.hint == "%sm_package a"
    with pytest.raises(UnsupportedModelError, match="class B, not an instance") as caught:
        notebook.package(notebook["B"])
    assert caught.value.hint == "model = B()    # then: %sm_package model"


def test_hints_call_the_model_by_its_name(tmp_path):
    mt = nn.Linear(2, 2, device="meta")
    with pytest.raises(UnsupportedModelError, match="meta device") as caught:
        package(mt, model_dir=tmp_path, namespace={"mt": mt})
    assert caught.value.hint.startswith('mt.to_empty(device="cpu") ')


@pytest.mark.parametrize(("module", "option"), [("saving", "--model-dir"), ("archive", "--archive")])
def test_a_full_disk_names_the_option_for_the_file_that_found_no_room(tmp_path, monkeypatch, module, option):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    output = SimpleNamespace(write=full, written=0)
    monkeypatch.setattr(f"sm_magics.packaging.{module}.Output", lambda _file: output)
    with pytest.raises(PackagingError, match="no space left") as caught:
        package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    assert f"{option} ANOTHER_DIRECTORY" in caught.value.hint


def test_an_archive_that_cannot_be_written_names_its_option(tmp_path):
    if not Path("/proc").is_dir():
        pytest.skip("no directory here that nobody can write to")
    with pytest.raises(PackagingError) as caught:
        package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}, archive="/proc/x.tar.gz")
    assert caught.value.hint.startswith("--archive")


def test_an_empty_namespace_does_not_matter(tmp_path):
    with pytest.raises(InferenceScriptError) as caught:
        package({"w": torch.ones(1)}, model_dir=tmp_path, namespace={})
    assert "model = Net()" in caught.value.hint


def test_a_class_of_a_timed_cell_is_found(notebook, fresh_process):
    notebook.run("%%time\nclass A(nn.Module):\n    def forward(self, x): return x + 1\nnet = A()\nx = torch.ones(2)")
    result = notebook.package(notebook["net"])
    assert fresh_process.predict(result.path, notebook["x"]).tolist() == [2, 2]


def test_a_class_without_source_is_the_one_that_is_named(notebook):
    notebook.run(
        "exec('import dataclasses\\n@dataclasses.dataclass\\nclass Config:\\n    width: int = 2\\n')\n"
        "class A(nn.Linear):\n    def __init__(self, config):\n        super().__init__(2, config.width)\n"
        "        self.config = config\nnet = A(Config())"
    )
    with pytest.raises(InferenceScriptError, match="source of Config") as caught:
        notebook.package(notebook["net"])
    assert "Config" in caught.value.hint


def test_a_helper_that_nothing_imports_blocks_nothing(notebook):
    notebook.run("class Net(nn.Linear):\n    pass\nnet = Net(2, 2)")
    folder = CodeFolder(notebook.directory)
    folder.write_file("nets.py", "class A(nn.Module): ...\n")
    assert not any("nets.py" in note for note in notebook.package(notebook["net"]).notes)
    folder.write_section("import nets\n")
    with pytest.raises(InferenceScriptError, match=r"nn is not defined in code/nets\.py"):
        notebook.package(notebook["net"])


def test_a_parametrization_that_no_constructor_applies_can_be_taken_off(notebook, fresh_process):
    notebook.run(
        "net = nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)), nn.ReLU()).eval()\n"
        "x = torch.ones(1, 3)\ny = net(x).detach()"
    )
    with pytest.raises(InferenceScriptError, match=r"weight of the Linear at net\[0\]") as caught:
        notebook.package(notebook["net"])
    notebook.run(caught.value.hint)
    result = notebook.package(notebook["net"])
    assert fresh_process.predict(result.path, notebook["x"]).allclose(notebook["y"])


@pytest.mark.parametrize(
    ("held", "kind"), [("[nn.Linear(2, 2)]", "ModuleList"), ("{'a': nn.Linear(2, 2)}", "ModuleDict")]
)
def test_modules_in_a_container_that_torch_does_not_know_become_parts(notebook, fresh_process, held, kind):
    notebook.run(
        "class Ensemble(nn.Module):\n    def __init__(self, models):\n        super().__init__()\n"
        "        self.models = models\n"
        "    def forward(self, x):\n"
        "        models = self.models.values() if hasattr(self.models, 'values') else self.models\n"
        "        return sum(model(x) for model in models)\n"
        f"net = Ensemble({held})\nx = torch.ones(1, 2)\ny = net(x).detach()"
    )
    with pytest.raises(InferenceScriptError, match="'models' of Ensemble holds a module that is no child") as caught:
        notebook.package(notebook["net"])
    assert caught.value.hint.startswith(f"net.models = torch.nn.{kind}(net.models)")
    notebook.run(caught.value.hint)
    assert fresh_process.predict(notebook.package(notebook["net"]).path, notebook["x"]).allclose(notebook["y"])


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("where", ["parametrizations.", ""], ids=["new", "old"])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_a_norm_that_the_constructor_applies_needs_nothing(notebook, fresh_process, norm, where):
    notebook.run(
        f"class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.l = nn.utils.{where}{norm}(nn.Linear(3, 3))\n"
        "    def forward(self, x): return self.l(x)\n"
        "net = Net().eval()\nx = torch.ones(1, 3)\ny = net(x).detach()"
    )
    result = notebook.package(notebook["net"])
    assert fresh_process.predict(result.path, notebook["x"]).allclose(notebook["y"], atol=1e-5)
