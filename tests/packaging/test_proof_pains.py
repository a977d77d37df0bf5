"""What people complain about when they deploy, and what only the proof can catch: nothing in the text is wrong.

The numbers are those of issues at aws/sagemaker-python-sdk, unless a project is named.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator

import pytest
import torch

from sm_magics.authoring import Author, CodeFolder
from sm_magics.errors import ArchiveError
from sm_magics.packaging import Package
from sm_magics.packaging.proof import prove
from sm_magics.packaging.proving import warm
from sm_magics.packaging.proving.memory import GIB, INSTANCES, MB, advice, fits, workers_that_fit
from sm_magics.packaging.saved import recognise

AUTHOR = Author("digits.ipynb", "this", 7, "")


@pytest.fixture(scope="module", autouse=True)
def home() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory(prefix="sm", dir="/tmp") as directory:
        patched.setenv("SM_MAGICS_HOME", directory)
        yield
        warm.close()


@pytest.fixture
def tried(notebook):
    """Package a small model with a cell, and prove it."""

    def tried(cell: str = "", sample=None, **options):
        notebook.run("net = nn.Linear(4, 3).eval()")
        if cell:
            CodeFolder(notebook.directory).write_section(cell, author=AUTHOR)
        made = notebook.package(notebook["net"], author=AUTHOR)
        sample = torch.rand(2, 4) if sample is None else sample
        return prove(made, sample=sample, model=notebook["net"], author=AUTHOR, **options)

    return tried


def test_in_service_though_the_model_never_loaded(tried):
    """deep-learning-containers#2917, #2357: the endpoint comes up, and every request hangs or fails."""
    report = tried("def model_fn(model_dir):\n    loaders = {}\n    return loaders['best'](model_dir)\n")
    assert report.failure.step == "load"
    assert report.failure.summary == "KeyError: 'best' (model_fn, section model_fn, cell [7], line 3)"


def test_worker_died_hides_the_python_error(tried):
    """#2284, pytorch/serve#498: here it is the error, its line and its cell."""
    report = tried("def predict_fn(data, model):\n    return model(data.reshape(-1, 5))\n", torch.rand(2, 4))
    assert "Worker died" not in report.failure.exception
    assert report.failure.exception.startswith("RuntimeError: shape '[-1, 5]' is invalid")
    assert report.failure.frame.where == "section predict_fn, cell [7], line 2"


def test_a_pickle_of_main(notebook, tmp_path):
    """pytorch/serve#537: Can't get attribute 'Net' on __main__. Made by another tool, opened and proven here."""
    directory = tmp_path / "foreign"
    (directory / "code").mkdir(parents=True)
    notebook.run("class Net(nn.Linear):\n    pass\nforeign = Net(4, 3)")
    torch.save(notebook["foreign"], directory / "model.pth")
    (directory / "code" / "inference.py").write_text(
        "import os, torch\n\ndef model_fn(model_dir):\n"
        "    return torch.load(os.path.join(model_dir, 'model.pth'), map_location='cpu', weights_only=False)\n"
    )
    archive = packed(directory, tmp_path / "model.tar.gz")
    report = prove(Package.open(archive), sample=[[0.0] * 4])
    assert report.failure.exception.startswith("AttributeError: Can't get attribute 'Net' on <module '__main__'")
    assert report.failure.paste == "%sm_package model --save-as state_dict"
    assert report.failure.frame.where == "code/inference.py, line 4"


def test_bytecode_of_another_python(notebook):
    """#4488: what cloudpickle writes, code() of another Python refuses. Nothing packaged here is bytecode."""
    notebook.run("half = lambda x: x / 2")
    notebook.run("class Net(nn.Linear):\n    def forward(self, x):\n        return half(super().forward(x))")
    notebook.run("net = Net(4, 3).eval()")
    made = notebook.package(notebook["net"], author=AUTHOR)
    with tarfile.open(made.path) as archive:
        held = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
    assert recognise(notebook.directory / "model.pth").imports == ()
    assert not [name for name in held if name.endswith((".pyc", ".pkl", ".pickle", ".joblib"))]
    assert "half = lambda x: x / 2" in held["code/sm_model.py"].decode()
    assert prove(made, sample=torch.rand(2, 4), model=notebook["net"]).passed


@pytest.mark.parametrize("place", ["inference.py", "model/code/inference.py", "code/src/inference.py"])
def test_the_script_lies_where_nobody_looks(tmp_path, place):
    """#4007, #3640, #1325: the container falls back to its default handlers, and says nothing of the script."""
    script = tmp_path / "foreign" / place
    script.parent.mkdir(parents=True)
    script.write_text("def model_fn(model_dir):\n    return len\n")
    torch.save({}, tmp_path / "foreign" / "model.pth")
    with pytest.raises(ArchiveError, match=r"must be code/inference\.py"):
        Package.open(packed(tmp_path / "foreign", tmp_path / "model.tar.gz"))


def test_what_no_ping_would_have_told(tried):
    """#155, amazon-sagemaker-examples#3062: failed health checks, and the reason somewhere in CloudWatch."""
    report = tried("import os\n\nPLACE = os.environ['MY_SETTING']\n")
    assert report.failure.step == "load"
    assert report.failure.exception == "KeyError: 'MY_SETTING'"
    assert report.failure.frame.cell_line == 3
    assert tried(environ={"MY_SETTING": "there"}).passed


def packed(directory, archive):

    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, path.name)
    return archive


def test_weights_of_another_class(notebook, tmp_path):
    """The architecture was changed after training, and the file has the old weights."""
    directory = tmp_path / "foreign"
    (directory / "code").mkdir(parents=True)
    torch.save(torch.nn.Linear(4, 3).state_dict(), directory / "model.pth")
    (directory / "code" / "inference.py").write_text(
        "import os, torch\n\ndef model_fn(model_dir):\n    net = torch.nn.Linear(4, 5)\n"
        "    net.load_state_dict(torch.load(os.path.join(model_dir, 'model.pth'), map_location='cpu'))\n"
        "    return net\n"
    )
    report = prove(Package.open(packed(directory, tmp_path / "model.tar.gz")), sample=[[0.0] * 4])
    assert "size mismatch for weight" in report.failure.exception
    assert report.failure.fix == "The class that model_fn builds is not the one whose weights were saved."


def test_the_prediction_error_is_opaque(tried):
    """#2067, #1487: the body of the 500 has the traceback, which nobody sees."""
    report = tried("def input_fn(body, content_type):\n    import json\n    return json.loads(body)['instances']\n")
    assert report.failure.exception == "TypeError: list indices must be integers or slices, not str"
    assert report.failure.frame.cell_line == 3


def test_lists_sent_as_npy_become_float64(tried):
    """#4869, #551: the SDK's default serializer makes NPY of lists, and the model wants float32."""
    report = tried(sample=[[0.1, 0.2, 0.3, 0.4]], content_type="application/x-npy")
    assert "dtype" in report.failure.exception
    assert "NPY keeps the dtype that it was sent with" in report.failure.fix
    assert tried(sample=[[0.1, 0.2, 0.3, 0.4]]).passed  # JSON is the default here


def test_limits_that_are_found_late(tried):
    """#1119, #171, #4271: payload limits, named with what lifts them."""
    report = tried(sample=b"[" + b" " * 6_553_500 + b"]")
    assert "413" in report.failure.exception
    assert report.failure.paste.startswith("--env TS_MAX_REQUEST_SIZE=")


def test_an_answer_over_the_limit(tried):
    """A response over the container's limit kills its worker."""
    report = tried("def output_fn(prediction, accept):\n    return 'x' * 7_000_000\n")
    assert "TS_MAX_RESPONSE_SIZE" in report.failure.exception


def test_one_worker_for_each_vcpu_runs_out_of_memory():
    """#1275: N copies of the model on N vCPUs. Said with the setting that helps, before anything is deployed."""
    large = next(one for one in INSTANCES if one.name == "ml.m5.xlarge")
    assert (large.vcpus, large.memory, large.workers) == (4, 16 * GIB, 4)
    assert fits(100 * MB, large)
    assert not fits(4000 * MB, large)
    assert workers_that_fit(4000 * MB, large) == 3
    good, said, setting = advice(10 * MB)
    assert (good, setting) == (True, "")
    assert "ml.t2.medium and larger" in said
    good, said, setting = advice(4000 * MB)
    assert not good
    assert setting == "SAGEMAKER_MODEL_SERVER_WORKERS=1"
    assert "one worker per vCPU" in said
    assert advice(500 * GIB)[1].startswith("fits none of the usual instance types")


def test_memory_a_worker_is_measured(tried):
    cell = "HELD = bytearray(b'x' * 50_000_000)\n\ndef predict_fn(data, model):\n    return model(data)\n"
    report = tried(cell)
    if report.measures.memory:  # where the system tells
        assert report.measures.memory > 50_000_000
        assert report.step("memory").status == "passed"
