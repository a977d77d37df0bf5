from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sm_magics.authoring.checks.files import HIDING, check_layout, check_module
from sm_magics.authoring.findings import Finding


def codes(source: str) -> list[str]:
    return [finding.code for finding in check_module(source)]


def test_names_that_exist_in_the_notebook_only_are_found():
    (finding,) = check_module("def model_fn(model_dir):\n    return Net()\n")
    assert (finding.code, finding.severity, finding.line) == ("SM111", "error", 2)
    assert "Net is not defined" in finding.message


@pytest.mark.parametrize(
    "source",
    [
        "from torch.nn import *\nnet = Linear(1, 1)\n",
        "def f():\n    return __file__, __name__\n",
        "def f():\n    global model\n    model = 1\n\n\ndef g():\n    return model\n",
        "from __future__ import annotations\nif 0:\n    import x\ndef f(a: x.Y): return a\n",
        "try:\n    import orjson as json\nexcept ImportError:\n    import json\njson.dumps(1)\n",
    ],
)
def test_names_that_are_there_are_not_found(source):
    assert codes(source) == []


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("import torch\ntorch.load('x')", True),
        ("import torch\ntorch.load('x', weights_only=True)", True),
        ("import torch\ntorch.load('x', map_location='cpu')", False),
        ("import torch\ntorch.load('x', 'cpu')", False),
        ("import torch\no = {}\ntorch.load('x', **o)", False),
        ("import torch as t\nt.jit.load('x')", True),
        ("from torch import jit\njit.load('x', map_location='cpu')", False),
        ("from torch import load as read\nread('x')", True),
        ("import torch.jit\ntorch.jit.load('x')", True),
        ("def f():\n    import torch\n    return torch.load('x')", True),
        ("import json\njson.load(open('x'))", False),
        ("def load(x): return x\nload('x')", False),
    ],
)
def test_loading_without_map_location_is_found(call, found):
    assert codes(call) == (["SM121"] if found else [])


def test_a_finding_is_silenced_by_its_code_on_its_line():
    assert codes("import torch\ntorch.load('x')  # noqa: SM121\n") == []
    assert codes("import torch\ntorch.load('x')  # noqa: E501, SM121 - on purpose\n") == []
    assert codes("import torch\ntorch.load('x')  # noqa\n") == ["SM121"]
    assert codes("import torch\ntorch.load('x')  # noqa: SM111\n") == ["SM121"]


def test_a_module_of_pythons_own_that_is_not_imported_is_told_to_be():
    (finding,) = check_module("def output_fn(p, a):\n    return json.dumps(p)\n", "code/inference.py")
    assert finding.fix.startswith("import json  ")
    (finding,) = check_module("def output_fn(p, a):\n    return code\n", "code/inference.py")
    assert finding.fix.startswith("Define or import code ")


def test_source_that_does_not_parse_is_one_finding():
    (finding,) = check_module("x = 1\ny = = 2\n", "code/x.py")
    assert (finding.code, finding.line, finding.path) == ("SM101", 2, "code/x.py")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("code/torch.py", True),
        ("code/torch/__init__.py", True),
        ("code/json.py", True),
        ("code/sagemaker_inference.py", True),
        ("code/inference/__init__.py", True),
        ("code/inference.py", False),
        ("code/torch/helpers.py", False),
        ("code/lib/json.py", False),
        ("code/features.py", False),
    ],
)
def test_a_file_that_hides_a_module_is_found(path, found):
    assert [finding.code for finding in check_layout([path])] == (["SM131"] if found else [])


@pytest.mark.parametrize(
    ("path", "found"),
    [("code/serving.py", True), ("code/torchserve/__init__.py", True), ("code/lib/serving.py", False)],
)
def test_a_file_that_the_containers_own_module_hides_is_found(path, found):
    assert [finding.code for finding in check_layout([path])] == (["SM133"] if found else [])


def test_a_finding_says_where_it_is():
    assert check_layout(["code/serving.py"])[0].place == "code/serving.py"
    assert check_module("x = missing\n")[0].place == "code/inference.py:1"


def test_the_modules_that_hide_the_users_are_the_toolkits():
    toolkit = Path(importlib.util.find_spec("sagemaker_pytorch_serving_container").origin).parent
    assert {path.stem for path in toolkit.glob("*.py")} - {"__init__"} == set(HIDING)


def test_importing_the_script_itself_is_found():
    assert codes("import inference\n") == ["SM132"]
    assert codes("from inference import x\n") == ["SM132"]
    assert codes("from .inference import x\n") == []


def test_findings_of_the_folder_name_the_section_and_the_cells_line(folder):
    beside = folder.write_file("torch.py", "x = missing\n")
    assert [one.code for one in beside.findings] == ["SM131", "SM111"]
    folder.write_section("import os\n\n\ndef predict_fn(data, model):\n    return Scaler(data)\n")
    written = folder.write_section("def input_fn(body):\n    return body\n")
    assert [(one.code, one.path, one.section, one.cell_line) for one in written.findings] == [
        ("SM102", "code/inference.py", "input_fn", 1),
        ("SM111", "code/inference.py", "predict_fn", 5),
        ("SM131", "code/torch.py", "", 0),
        ("SM111", "code/torch.py", "", 0),
    ]
    assert folder.check() == written.findings
    assert all(isinstance(one, Finding) for one in written.findings)


def test_a_file_that_declares_its_encoding_is_read_in_it(folder):
    folder.write_section("import labels\n")
    (folder.path / "labels.py").write_bytes("# coding: latin-1\nNAME = 'Käse'\n".encode("latin-1"))
    assert folder.check() == ()
    (folder.path / "labels.py").write_bytes("NAME = 'Käse'\n".encode("latin-1"))
    assert [finding.code for finding in folder.check()] == ["SM101"]
    (folder.path / "labels.py").write_bytes(b"# coding: nope\n")
    assert [finding.code for finding in folder.check()] == ["SM101"]
