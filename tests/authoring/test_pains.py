"""What users of SageMaker complain about, and the finding that says it before anything is sent.

Each is named by the issue that reported it, of aws/sagemaker-python-sdk where nothing else is said. Those that only
show when the package is opened and called are the proof's (tests/packaging/test_proof_pains.py).
"""

from __future__ import annotations

import pytest

from sm_magics.authoring.checks.requirements import check_isolation
from sm_magics.authoring.image import image

MODEL_FN = """\
import os, torch


def model_fn(model_dir):
    return torch.jit.load(os.path.join(model_dir, "model.pth"), map_location="cpu")
"""


@pytest.fixture
def found(folder):
    """Write sections, and files named by keyword, and return the codes and severities of what is found."""

    def check(*sections: str, **files: str) -> list[tuple[str, str]]:
        for name, text in files.items():
            folder.write_file(f"{name}.txt" if name == "requirements" else f"{name}.py", text)
        for section in sections:
            folder.write_section(section)
        return [(finding.code, finding.severity) for finding in folder.check()]

    return check


def test_in_service_although_the_model_never_loaded(found):
    # deep-learning-containers#2917, #2357: the endpoint comes into service, and no worker ever has a model.
    assert found("import nowhere_to_be_found\n", MODEL_FN) == [("SM141", "error")]


def test_worker_died_that_hides_a_python_error(found):
    # #2284, pytorch/serve#498: here the error is said with its line, and no worker has to die first.
    assert found(MODEL_FN, "def predict_fn(data, model):\n    return postprocess(model(data))\n") == [
        ("SM111", "error")
    ]


def test_a_class_that_exists_only_in_main(found):
    # pytorch/serve#537: Can't get attribute 'Net' on <module '__main__'>
    pickled = (
        "import torch\ndef model_fn(model_dir):\n    m = torch.load(model_dir + '/m.pth', 'cpu')\n    return m.eval()\n"
    )
    assert found(pickled) == [("SM122", "error")]
    by_name = "def model_fn(model_dir):\n    return Net()\n"
    assert found(by_name) == [("SM111", "error")]


def test_no_image_for_the_notebooks_torch():
    # deep-learning-containers#5239, #5673: the code is checked against the image that there is.
    newest = image(torch="2.13.0+cpu")
    assert newest is not None
    assert newest.torch == "2.6.0"


def test_model_fn_that_the_container_does_not_find(found):
    # #1957, sagemaker-pytorch-inference-toolkit#86
    assert found("def model_func(model_dir):\n    return None\n") == [("SM107", "warning")]
    assert found("async def model_fn(model_dir):\n    return 1\n") == [("SM104", "error")]


def test_a_handler_with_the_wrong_arguments(found):
    assert found("def input_fn(body):\n    return body\n") == [("SM102", "error")]
    assert found("def input_fn(body, content_type, context, more):\n    return body\n") == [("SM102", "error")]


def test_handlers_that_exclude_each_other(found):
    handlers = "def transform_fn(model, body, content_type, accept): return body\ndef predict_fn(d, m): return m(d)\n"
    assert found(handlers) == [("SM105", "error")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("transformers = 4.40", "SM151"),
        ("/home/me/wheels/mine-1.0-py3-none-any.whl", "SM152"),
        ("-e ../mine", "SM152"),
        ("torch-scatter==2.1.2+pt26cpu", "SM153"),
    ],
)
def test_one_bad_line_that_restarts_the_container_for_ever(found, line, code):
    # #868, #3671
    assert found(MODEL_FN, requirements=f"numpy\n{line}\n") == [(code, "error")]


def test_a_package_that_the_image_does_not_have(found):
    assert found(MODEL_FN, "import hypothesis\n", requirements="numpy\n") == [("SM141", "error")]


def test_requirements_that_put_another_torch_in_the_images_place(found):
    assert found(MODEL_FN, requirements="torch==1.13.1\n") == [("SM143", "warning")]


def test_requirements_under_network_isolation():
    finding = check_isolation("transformers==4.40.0\n")
    assert finding is not None
    assert finding.code == "SM171"


def test_weights_from_a_gpu_on_an_instance_without_one(found):
    load = "import torch\ndef model_fn(model_dir):\n    return torch.jit.load(model_dir + '/model.pth')\n"
    assert found(load) == [("SM121", "warning")]
    assert found(load.replace("pth')", "pth', 'cpu').cuda()")) == [("SM123", "warning")]


def test_paths_that_lead_nowhere_in_the_container(found):
    assert found("def model_fn(model_dir):\n    return open('/home/ec2-user/SageMaker/vocab.txt').read()\n") == [
        ("SM163", "warning")
    ]
    assert found("def model_fn(model_dir):\n    return open('/opt/ml/input/data/vocab.txt').read()\n") == [
        ("SM161", "warning")
    ]
    assert found("def model_fn(model_dir):\n    return open('/opt/ml/model/vocab.txt').read()\n") == [
        ("SM162", "warning")
    ]


def test_a_file_that_takes_the_place_of_a_library(found):
    assert found(MODEL_FN, json="x = 1\n") == [("SM131", "error")]


def test_a_prediction_error_that_says_nothing(found):
    # #2067, #1487: a model_fn that returns nothing comes into service, and fails every request.
    silent = "import torch\ndef model_fn(model_dir):\n    model = torch.jit.load(model_dir + '/m.pt', 'cpu')\n"
    assert found(silent) == [("SM108", "error")]
