from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torch import nn

from sm_magics.packaging import Package, package
from sm_magics.progress import Progress


def test_importing_packaging_imports_no_torch():
    script = "import sys, sm_magics.packaging; print([m for m in ('torch', 'numpy', 'boto3') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_refusing_what_is_no_model_imports_no_torch():
    script = (
        "import sys\nfrom sm_magics.packaging import package\n"
        "try: package(3)\nexcept Exception as error: print(type(error).__name__, 'torch' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "UnsupportedModelError False\n"


def test_what_a_package_says_of_itself(notebook):
    notebook.run("class Net(nn.Linear):\n    pass\nnet = Net(2, 2)")
    notebook.package(notebook["net"])
    (notebook.directory / "code/requirements.txt").write_text("# ours\ntimm==1.0\n")

    result = notebook.package(notebook["net"], name="my-net", sample=3)

    assert [(file.name, file.note) for file in result.files] == [
        ("model.pth", "state_dict, 2 tensors"),
        ("code/inference.py", "model_fn written for you"),
        ("code/requirements.txt", "1 requirement"),
        ("code/sm_model.py", "Net"),
    ]
    assert (result.name, result.source, result.saved_as, result.sample) == ("my-net", "net", "state_dict", 3)
    assert result.torch == torch.__version__
    assert result.path == notebook.directory / "model.tar.gz"
    assert any("training mode" in note for note in result.notes)
    reopened = Package.open(result.path)
    assert (reopened.digest, reopened.size) == (result.digest, result.size)
    assert [file.name for file in reopened.files] == [file.name for file in result.files]


def test_the_same_inputs_give_the_same_digest_in_any_process(tmp_path):
    script = (
        "import sys, torch; from torch import nn; from sm_magics.packaging import package\n"
        "torch.manual_seed(0)\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, sizes):\n"
        "        super().__init__(); self.sizes = sizes; self.tags = {'b', 'a', 'c'}\n"
        "        self.net = nn.Sequential(*[nn.Linear(4, 4) for _ in sizes])\n"
        "net = Net([1, 2, 3])\n"
        "print(package(net, model_dir=sys.argv[1]).digest)\n"
    )
    path = tmp_path / "train.py"
    path.write_text(script)
    digests = set()
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, path, folder]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
        digests.add(result.stdout)
    assert len(digests) == 1


def test_what_editors_and_caches_leave_behind_stays_behind(tmp_path):
    package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    code = tmp_path / "code"
    for name in ("__pycache__/x.pyc", ".ipynb_checkpoints/inference.py", ".hidden", "inference.py~", "#a#", "a.swp"):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("")
    (code / "deep/er").mkdir(parents=True)
    (code / "deep/er/data.json").write_text("{}")
    (code / "deep/loop").symlink_to(code)
    (code / "linked.json").symlink_to("deep/er/data.json")
    (code / ".dangling").symlink_to("nowhere")

    result = package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})

    assert [file.name for file in result.files][1:] == [
        "code/deep/er/data.json",
        "code/inference.py",
        "code/linked.json",
        "code/requirements.txt",
        "code/sm_model.py",
    ]


def test_included_files_go_where_they_lie(tmp_path):
    for name in ("labels.json", "assets/a.txt", "assets/deep/b.txt", "assets/.hidden", "other.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    result = package(nn.Linear(1, 1), model_dir=tmp_path, namespace={}, include=["*.json", "assets", "assets/a.txt"])

    included = {file.name for file in result.files if not file.name.startswith(("code/", "model."))}
    assert included == {"labels.json", "assets/a.txt", "assets/deep/b.txt"}


def test_progress_is_told_in_bytes(tmp_path):
    events: list[Progress] = []
    result = package(nn.Linear(1000, 1000), model_dir=tmp_path, namespace={}, listener=events.append)

    last = {event.phase: event for event in events}
    assert list(last) == ["Save", "Pack"]
    assert last["Save"].done == last["Save"].total == (tmp_path / "model.pth").stat().st_size
    assert last["Pack"].done == last["Pack"].total == sum(file.size for file in result.files)


def test_the_record_of_what_is_ours_never_travels(tmp_path):
    result = package(nn.Linear(1, 1), model_dir=tmp_path, namespace={})
    assert (tmp_path / ".sm_magics.json").exists()
    assert not any("sm_magics" in file.name for file in result.files)


def test_an_archive_elsewhere(tmp_path):
    (tmp_path / "out").mkdir()
    result = package(nn.Linear(1, 1), model_dir=tmp_path / "here", namespace={}, archive=tmp_path / "out/net.tar.gz")
    assert result.path == tmp_path / "out/net.tar.gz"
    assert result.model_dir == tmp_path / "here"
    assert not (tmp_path / "here/model.tar.gz").exists()


def test_packaging_a_file_in_its_place_leaves_it_alone(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "model.pth")
    before = (tmp_path / "model.pth").stat()
    package(tmp_path / "model.pth", model_dir=tmp_path, namespace={})
    assert (tmp_path / "model.pth").stat() == before


def test_what_the_models_code_imports_is_required(notebook):
    notebook.run("import hypothesis\nclass Net(nn.Linear):\n    def forward(self, x): return hypothesis")
    result = notebook.package(notebook["Net"](1, 1))
    assert {file.name: file.note for file in result.files}["code/requirements.txt"] == "1 requirement"
    assert f"hypothesis=={version('hypothesis')}" in (notebook.directory / "code/requirements.txt").read_text()


@pytest.mark.parametrize("save_as", ["state_dict", "torchscript", "module"])
@pytest.mark.parametrize("size", [2, 1000], ids=["small", "more than is kept of it"])
def test_an_opened_package_says_how_its_model_is_saved(tmp_path, save_as, size):
    path = package(nn.Linear(size, size), model_dir=tmp_path, namespace={}, save_as=save_as).path
    opened = Package.open(path)
    assert opened.saved_as == save_as
    assert (opened.python, opened.torch) == ("", "")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("value", "saved_as"), [({"w": torch.ones(3)}, "state_dict"), (nn.Linear(1, 1), "module")])
def test_a_package_of_others_says_how_its_model_is_saved(tmp_path, value, saved_as):
    """As torch.save wrote before 1.6, too."""
    for number, options in enumerate(({}, {"_use_new_zipfile_serialization": False})):
        directory = tmp_path / str(number)
        directory.mkdir()
        torch.save(value, directory / "net.pt", **options)
        subprocess.run(["tar", "-czf", directory / "net.tar.gz", "-C", directory, "net.pt"], check=True)
        assert Package.open(directory / "net.tar.gz").saved_as == saved_as


def test_how_the_model_is_saved_is_left_open_where_it_cannot_be_told(tmp_path):
    for names in (["model.pth"], ["one.pth", "two.pth"], []):
        directory = tmp_path / str(len(names))
        (directory / "code").mkdir(parents=True)
        (directory / "code/inference.py").write_text("def model_fn(model_dir): ...\n")
        for name in names:
            (directory / name).write_bytes(b"who knows" * 1000)
        subprocess.run(["tar", "-czf", directory / "m.tar.gz", "-C", directory, "code", *names], check=True)
        assert Package.open(directory / "m.tar.gz").saved_as == ""


MEMORY = """
import json, resource, sys, torch
from pathlib import Path
from torch import nn
from sm_magics.packaging import package
mib = int(sys.argv[1])
net = nn.Sequential(*[nn.Linear(1024, 1024, bias=False) for _ in range(mib // 4)])
def peak():
    if sys.platform == "linux":
        text = Path("/proc/self/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
package(nn.Linear(1, 1), model_dir=sys.argv[2] + "/warm", namespace={})
before = peak()
package(net, model_dir=sys.argv[2], namespace={})
print(json.dumps(peak() - before))
"""


@pytest.mark.parametrize("mib", [20, 160, pytest.param(400, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_model(tmp_path: Path, mib: int):
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, str(mib), tmp_path], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) < 32, "MiB beyond the model's own"
