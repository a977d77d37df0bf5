"""The proof of a package, with real handlers that fail in each of the ways that handlers fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sm_magics.authoring import Author, CodeFolder
from sm_magics.authoring.image import image
from sm_magics.errors import PackagingError
from sm_magics.packaging.proof import prove
from sm_magics.packaging.proving import comparing, warm
from sm_magics.packaging.proving.container import Container

AUTHOR = Author(notebook="work/digits.ipynb", session="this", execution_count=4, cell_id="abc-1")
NPY = "application/x-npy"


@pytest.fixture(scope="module", autouse=True)
def home() -> Iterator[Path]:
    """A state directory for the module's warm process, which ends with it."""
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory(prefix="sm", dir="/tmp") as directory:
        patched.setenv("SM_MAGICS_HOME", directory)
        yield Path(directory)
        warm.close()


@pytest.fixture
def net(notebook):
    notebook.run(
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = nn.Linear(4, 3)\n"
        "    def forward(self, x):\n"
        "        return self.fc(x)\n"
        "net = Net().eval()"
    )
    return notebook["net"]


@pytest.fixture
def write(notebook):
    """Write a cell into inference.py, as one with an execution number."""

    def write(text: str, count: int = 4) -> None:
        author = Author(AUTHOR.notebook, AUTHOR.session, count, f"abc-{count}")
        CodeFolder(notebook.directory).write_section(text, author=author)

    return write


@pytest.fixture
def proven(notebook, net):
    """Package the model and prove it."""

    def proven(sample=None, **options):
        package = notebook.package(net, name="digits", author=AUTHOR)
        sample = torch.rand(2, 4) if sample is None else sample
        return prove(package, **{"sample": sample, "model": net, "author": AUTHOR, **options})

    return proven


def statuses(report) -> dict[str, str]:
    return {step.name: step.status for step in report.steps}


# -- a package that works ---------------------------------------------------------------------------------------------


def test_a_package_that_works_passes_every_step(proven, net):
    sample = torch.rand(2, 4)
    report = proven(sample)
    assert report.passed
    assert statuses(report)["compare"] == "passed"
    steps = ["extract", "findings", "requirements", "load", "call", "compare"]
    assert [step.name for step in report.steps][:6] == steps
    torch.testing.assert_close(torch.tensor(report.answer), net(sample))
    assert report.step("call").note == "application/json → application/json, 2 × 3 float"
    assert report.measures.load_seconds > 0
    assert report.measures.call_seconds > 0
    assert report.failure is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["wine", "iris"], "2 text"),
        (["wine"], "1 text"),
        ([], "empty list"),
        ([{"digit": 1, "sure": True}] * 3, "3 × (['digit'] int, ['sure'] bool)"),
        (["wine", 1], "[0] text, [1] int"),
        ([[1.0, 2.0], [3.0]], "[0] 2 float, [1] 1 float"),
    ],
)
def test_an_answer_is_described_in_a_few_words(value, said):
    assert comparing.describe(value) == said


def test_the_proof_leaves_the_model_and_the_process_as_they_were(proven, net, write):
    write(
        "import os, random, torch\n"
        "def predict_fn(data, model):\n"
        "    model.train().half()\n"
        "    os.environ['LEFT'] = 'behind'\n"
        "    torch.set_default_dtype(torch.float64)\n"
        "    random.seed(1)\n"
        "    model.float().eval()\n"
        "    return model(data)\n"
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modules, path, working = set(sys.modules), list(sys.path), Path.cwd()
    report = proven()
    assert report.passed, report.failure
    assert not net.training
    assert net.fc.weight.dtype is torch.float32
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert "LEFT" not in os.environ
    assert torch.get_default_dtype() is torch.float32
    assert (sys.path, Path.cwd()) == (path, working)
    assert not {"inference", "sm_model", "ts"} & (set(sys.modules) - modules)


def test_a_tokenizing_input_fn_is_compared_like_with_like(proven, write):
    write(
        "import json, torch\n"
        "WORDS = {'a': 0.0, 'b': 1.0}\n"
        "def input_fn(body, content_type):\n"
        "    return torch.tensor([[WORDS[c] for c in json.loads(body)]])\n"
    )
    report = proven("abba")
    assert statuses(report)["compare"] == "passed"
    assert len(report.answer[0]) == 3


@pytest.mark.parametrize("loaded", ["{'net': net, 'names': names}", "(net, names)", "[names, net]"])
def test_the_live_model_takes_its_place_in_what_model_fn_returns(proven, write, loaded):
    write(
        "import os, torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = nn.Linear(4, 3)\n"
        "    def forward(self, x):\n"
        "        return self.fc(x)\n"
        "def model_fn(model_dir):\n"
        "    net, names = Net(), ['a', 'b', 'c']\n"
        "    path = os.path.join(model_dir, 'model.pth')\n"
        "    net.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))\n"
        f"    return {loaded}\n"
        "def predict_fn(data, loaded):\n"
        "    parts = list(loaded.values()) if isinstance(loaded, dict) else list(loaded)\n"
        "    net = next(part for part in parts if isinstance(part, nn.Module))\n"
        "    return net(data)\n"
    )
    report = proven()
    assert statuses(report)["compare"] == "passed"


def test_a_model_that_answers_differently_each_time_is_said_to_and_does_not_fail(notebook):
    notebook.run(
        "class Noisy(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.drop = nn.Dropout(0.5)\n"
        "    def forward(self, x):\n"
        "        return self.drop(x)\n"
        "noisy = Noisy()"
    )
    CodeFolder(notebook.directory).write_section("def predict_fn(data, model):\n    return model.train()(data)\n")
    package = notebook.package(notebook["noisy"])
    report = prove(package, sample=torch.ones(8, 64), model=notebook["noisy"])
    assert report.passed
    step = report.step("compare")
    assert step.status == "warning"
    assert "differently each time" in step.note
    assert step.details == ("It is in training mode, and has Dropout: model.eval() before packaging.",)


# -- what is expected -------------------------------------------------------------------------------------------------


def test_an_expected_answer_is_compared_with(proven, net):
    sample = torch.rand(2, 4)
    report = proven(sample, expect=net(sample))
    assert report.step("compare").what == "gives the answer that is expected"
    assert report.passed
    wrong = proven(sample, expect=net(sample) + 0.1)
    assert not wrong.passed
    assert "6 of 6 numbers differ" in wrong.failure.exception
    shape = proven(sample, expect=net(sample)[:1])
    assert "2 × 3 float, expected 1 × 3 float" in shape.failure.exception


def test_a_tolerance_is_a_share_of_the_largest_number(proven, net):
    sample = torch.rand(2, 4)
    expected = net(sample)
    off = expected + 0.05 * expected.abs().max()
    assert not proven(sample, expect=off).passed
    assert proven(sample, expect=off, tolerance=0.1).passed


# -- handlers that fail -----------------------------------------------------------------------------------------------


def blamed(report, step: str, function: str, line: int, count: int = 4):
    """Check that a report names the cell and the line; return the failure."""
    assert not report.passed
    assert report.steps[-1].status == "failed"
    failure = report.failure
    assert failure.step == step
    assert failure.frame.function == function
    assert (failure.frame.execution_count, failure.frame.cell_id) == (count, f"abc-{count}")
    assert failure.frame.cell_line == line
    assert failure.frame.where == f"section {failure.frame.section}, cell [{count}], line {line}"
    assert any(number == line and failure.frame.text in text for number, text in failure.frame.excerpt)
    assert "/tmp" not in failure.exception
    return failure


def test_model_fn_that_misses_a_file(proven, write):
    write(
        "import os, torch\n\n"
        "def model_fn(model_dir):\n"
        "    name = '.'.join(['best', 'pt'])\n"
        "    return torch.load(os.path.join(model_dir, name), map_location='cpu')\n"
    )
    failure = blamed(proven(), "load", "model_fn", 5)
    assert failure.exception == "FileNotFoundError: [Errno 2] No such file or directory: 'best.pt'"
    assert failure.fix == "The package has no best.pt; it has model.pth."


def test_model_fn_that_reads_a_file_that_is_not_packed(proven, write):
    write("import os\n\ndef vocabulary(model_dir):\n    return open(os.path.join(model_dir, 'vocab.txt')).read()\n", 3)
    write("def input_fn(body, content_type):\n    return vocabulary('.')\n")
    failure = blamed(proven(), "call", "vocabulary", 4, 3)
    assert [frame.function for frame in failure.frames] == ["input_fn", "vocabulary"]
    assert failure.exception == "FileNotFoundError: [Errno 2] No such file or directory: './vocab.txt'"
    assert failure.fix == "The package has no vocab.txt. Put it into the package, and read it from model_dir."
    assert failure.paste == "--include vocab.txt"


def test_a_class_that_is_not_in_the_package(proven, write):
    write("def model_fn(model_dir):\n    make = globals()['Missing']\n    return make()\n")
    failure = blamed(proven(), "load", "model_fn", 2)
    assert failure.exception == "KeyError: 'Missing'"


def test_a_helper_beside_the_notebook_that_was_left_there(notebook, proven, write):
    Path("features.py").write_text("def double(x):\n    return 2 * x\n")
    write(
        "import importlib\n\n"
        "def predict_fn(data, model):\n"
        "    return importlib.import_module('feat' + 'ures').double(data)\n"
    )
    failure = blamed(proven(), "call", "predict_fn", 4)
    assert failure.exception == "ModuleNotFoundError: No module named 'features'"
    assert failure.paste == "%%sm_code features.py"


def test_a_package_that_only_the_notebooks_environment_has(proven, write):
    write("import importlib\n\ndef input_fn(body, kind):\n    importlib.import_module('hypo' + 'thesis')\n")
    report = proven(container=Container("3.12", "2.6.0", image("2.6").packages))
    failure = blamed(report, "call", "input_fn", 4)
    assert failure.exception == "ModuleNotFoundError: No module named 'hypothesis'"
    assert "hypothesis is installed here" in failure.fix
    assert failure.paste.startswith("%%sm_code requirements.txt\nhypothesis==")


def test_a_declared_package_is_importable_with_what_it_requires(notebook, proven, write):
    CodeFolder(notebook.directory).write_file("requirements.txt", "hypothesis\n", author=AUTHOR)
    write(
        "def predict_fn(data, model):\n"
        "    import hypothesis, sortedcontainers, numpy.fft, json\n"
        "    return model(data)\n"
    )
    report = proven(container=Container("3.12", "2.6.0", image("2.6").packages))
    assert report.passed, report.failure


def test_all_of_the_standard_library_is_importable_with_what_it_looks_up_by_itself(proven, write):
    write(
        "import importlib, sysconfig\n\n"
        "def predict_fn(data, model):\n"
        "    importlib.reload(sysconfig).get_config_vars()\n"  # a module named after the platform has them
        "    return model(data)\n"
    )
    report = proven(container=Container("3.12", "2.6.0", image("2.6").packages))
    assert report.passed, report.failure


def test_what_the_image_has_and_this_environment_does_not_is_no_failure(proven, write):
    write("def input_fn(body, content_type):\n    import nowhere_to_be_had\n    return body\n")
    report = proven(container=Container("3.12", "2.6.0", {"nowhere-to-be-had": "1.0", "torch": "2.6.0"}))
    assert report.passed
    step = report.step("call")
    assert step.status == "skipped"
    assert step.details == (
        "nowhere-to-be-had is in the container and not installed here: %pip install nowhere-to-be-had",
    )


def test_an_input_of_the_wrong_dtype(proven):
    report = proven(torch.rand(2, 4).double(), content_type=NPY)
    assert not report.passed
    failure = report.failure
    assert failure.step == "call"
    assert failure.handler == "predict_fn" or failure.frame is not None
    assert "dtype" in failure.exception
    assert failure.fix.startswith("input_fn gives the model a tensor of another dtype")


def test_input_fn_that_refuses_the_content_type(proven, write):
    write(
        "import json, torch\n\n"
        "def input_fn(body, content_type):\n"
        "    if content_type != 'text/csv':\n"
        "        raise ValueError(f'cannot read {content_type}')\n"
        "    return torch.tensor(json.loads(body))\n"
    )
    failure = blamed(proven(), "call", "input_fn", 5)
    assert failure.exception == "ValueError: cannot read application/json"


def test_a_default_input_fn_that_cannot_read_the_content_type(proven):
    report = proven(b"\x89PNG", content_type="image/png")
    assert report.failure.handler == "input_fn"
    assert report.failure.fix.startswith("The container's own input_fn reads numbers alone")


def test_an_output_that_json_cannot_hold(proven, write):
    write("def output_fn(prediction, accept):\n    return prediction.detach().numpy()\n")
    failure = blamed(proven(), "call", "output_fn", 1)
    assert failure.exception == "TypeError: Object of type ndarray is not JSON serializable"
    assert failure.paste == "return json.dumps(prediction.tolist())"


def test_an_output_that_is_not_what_it_says(proven, write):
    write("def output_fn(prediction, accept):\n    return 'almost JSON', accept\n")
    failure = blamed(proven(), "call", "output_fn", 1)
    assert "says its answer is application/json, but it is not" in failure.exception


def test_answers_that_differ(proven, write):
    write(
        "import os, torch\n"
        "from torch import nn\n"
        "def model_fn(model_dir):\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Linear(4, 3).eval()\n"
    )
    report = proven()
    assert statuses(report)["compare"] == "failed"
    assert report.failure.exception.startswith("The package gives another answer than the notebook: answer: 6 of 6")
    assert report.failure.fix == "If the model has changed since, package it again."


def test_a_model_trained_on_since_differs(notebook, net):
    package = notebook.package(net)
    sample = torch.rand(2, 4)
    assert prove(package, sample=sample, model=net).passed
    with torch.no_grad():
        net.fc.weight.add_(1.0)
    assert not prove(package, sample=sample, model=net).passed


def test_a_worker_that_leaves_python(proven, write):
    write("import os\n\ndef predict_fn(data, model):\n    print('so long', flush=True)\n    os._exit(3)\n")
    report = proven()
    assert report.failure.exception == "The worker died while it answered (exit status 3)."
    assert "so long" in report.log


def test_a_worker_that_dies_while_it_loads(proven, write):
    write("import os, signal\n\ndef model_fn(model_dir):\n    os.kill(os.getpid(), signal.SIGSEGV)\n    return 1\n")
    report = proven()
    assert report.failure.step == "load"
    assert "died while it loaded the model" in report.failure.exception


def test_a_cell_of_another_session_or_edited_since_has_no_number(notebook, net, write):
    write("def predict_fn(data, model):\n    raise KeyError('gone')\n")
    package = notebook.package(net, author=AUTHOR)
    other = prove(package, sample=torch.rand(2, 4), model=net, author=Author("work/digits.ipynb", "another", 9))
    assert other.failure.frame.where == "section predict_fn, line 2"
    assert (other.failure.frame.execution_count, other.failure.frame.cell_id) == (0, "")


def test_the_traceback_names_sections_and_no_place_of_this_machine(proven, write):
    write("def deep(x):\n    return x['no']\n", 3)
    write("def predict_fn(data, model):\n    return deep({})\n")
    traceback = proven().failure.traceback
    assert "code/inference.py, line" in traceback
    assert "(section deep, cell [3], line 2), in deep" in traceback
    assert "/tmp" not in traceback.replace(str(Path(sys.prefix)), "")


# -- what cannot be done ----------------------------------------------------------------------------------------------


def test_an_archive_that_was_replaced_is_refused(notebook, net):
    package = notebook.package(net)
    with torch.no_grad():
        net.fc.weight.add_(1.0)
    notebook.package(net)
    with pytest.raises(PackagingError, match="replaced since"):
        prove(package, sample=torch.rand(2, 4), model=net)


def test_a_sample_that_cannot_be_sent_leaves_the_rest_proven(proven):
    report = proven(object())
    assert report.passed
    assert statuses(report)["load"] == "passed"
    assert report.step("call").status == "skipped"
    assert report.step("compare") is None


def test_without_a_sample_the_package_is_loaded(notebook, net):
    report = prove(notebook.package(net), model=net)
    assert report.passed
    assert (statuses(report)["load"], statuses(report)["call"]) == ("passed", "skipped")


def test_a_request_over_the_containers_limit(proven):
    report = proven(b"[" + b"0," * 3_400_000 + b"0]")
    assert report.failure.exception.endswith("the container answers 413.")
    assert report.failure.paste == "--env TS_MAX_REQUEST_SIZE=25000000"
    larger = {"TS_MAX_REQUEST_SIZE": "25000000"}
    report = proven(b" " * 25_000_001, environ=larger)
    assert "more than a real-time endpoint takes" in report.failure.exception


def test_requirements_that_are_not_met_here_are_said(notebook, proven):
    CodeFolder(notebook.directory).write_file("requirements.txt", "torch==1.0\nno-such-thing>=3\n", author=AUTHOR)
    step = proven().step("requirements")
    assert step.status == "warning"
    assert [line.split("  ")[0] for line in step.details] == ["torch==1.0", "no-such-thing>=3"]


def test_versions_that_differ_are_said(proven):
    step = proven(container=Container(python="3.2.1", torch="0.4.0")).step("versions")
    assert step.status == "warning"
    assert step.note == "the image has Python 3.2, torch 0.4"
    assert "a state_dict loads in both" in step.details


def test_nothing_is_left_behind(proven, home, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert proven().passed
    assert list(scratch.iterdir()) == []


# -- the warm process -------------------------------------------------------------------------------------------------


def test_the_warm_process_of_the_service_is_used(proven, home, monkeypatch):
    owner = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom sm_magics.serving.parent import WarmParent\n"
        "async def own():\n"
        "    parent = await WarmParent.start(sys.executable, Path(sys.argv[1]))\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)\n"
        "    await parent.close()\n"
        "asyncio.run(own())\n"
    )
    monkeypatch.setattr(warm._own, "address", lambda python: pytest.fail("started one of its own"))
    with subprocess.Popen(
        [sys.executable, "-c", owner, str(home / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            assert proven().passed
        finally:
            process.stdin.close()
            assert process.wait(60) == 0


def test_a_report_says_what_was_sent_and_got(proven):
    report = proven([[0.0] * 4], accept="text/csv")
    assert report.accept == "text/csv"
    assert report.passed
    assert len(report.answer[0]) == 3
    assert json.dumps(report.answer)
