# ruff: noqa: E501 - what is quoted is as long as it was printed
"""Why endpoints fail: each cause is known from what a public report quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.hosting import causes, diagnosis

GITHUB = "https://github.com"

# cause -> (where it was reported, FailureReason or error, lines of the log)
REPORTS = [
    (
        "quota",
        f"{GITHUB}/aws-samples/sagemaker-custom-project-templates/issues/51",
        (
            "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances, with current utilization of "
            "0 Instances and a request delta of 1 Instances. Please contact AWS support to request an increase for this "
            "limit. (Service: AmazonSageMaker; Status Code: 400; Error Code: ResourceLimitExceeded)"
        ),
        [],
    ),
    (
        "capacity",
        f"{GITHUB}/aws/deep-learning-containers/pull/6673",
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.",
        [],
    ),
    (
        "capacity",
        f"{GITHUB}/DIAGNijmegen/rse-grand-challenge/issues/2631",
        (
            "CapacityError: Unable to provision requested ML compute capacity. "
            "Please retry using a different ML instance type."
        ),
        [],
    ),
    (
        "image",
        f"{GITHUB}/aws/sagemaker-python-sdk/issues/1835",
        (
            "Please make sure all images included in the model for the production variant AllTraffic exist, and that the "
            "execution role used to create the model has permissions to access them."
        ),
        [],
    ),
    (
        "image",
        f"{GITHUB}/aws-samples/easy-amazon-sagemaker-deployments/issues/4",
        "Requested image********.dkr.ecr.us-west-2.amazonaws.com/ezsmdeploy-image-randomname not found.",
        [],
    ),
    (
        "image",
        f"{GITHUB}/aws-samples/amazon-sagemaker-tensorflow-object-detection-api/issues/14",
        (
            "ClientError: API error (404): manifest for 757901089955.dkr.ecr.us-west-2.amazonaws.com/tfrecord-processing:"
            "20210610131649 not found: manifest unknown: Requested image not found"
        ),
        [],
    ),
    (
        "model data access",
        f"{GITHUB}/philschmid/llm-sagemaker-sample/issues/2",
        (
            "Could not access model data at <initial-path-removed>/huggingface-qlora-mistralai-Mistral-7B--2023-10-06-11-27"
            '-09-016/output/model/. Please ensure that the role "<role-arn-removed>" exists and that its trust relationship'
            ' policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com".'
        ),
        [],
    ),
    (
        "model data access",
        f"{GITHUB}/aws-solutions-library-samples/fraud-detection-using-machine-learning/issues/9",
        (
            'Failed to download model data for container "container_1" from URL: "s3://cloud-bucket-test/fraud-classifier/'
            'output/sagemaker-soln-fd1-rcf-2021-03-26-18-36-26-322/output/model.tar.gz". Please ensure that there is an '
            "object located at the URL and that the role passed to CreateModel has permissions to download the object."
        ),
        [],
    ),
    (
        "archive",
        f"{GITHUB}/aws/deep-learning-containers/pull/569",
        (
            'Failed to extract model data archive for container "container_1" from URL "s3://sagemaker-us-west-2-'
            '669063966089/sagemaker-pytorch-serving/models/model_mnist.tar.gz". Please ensure that the object located at '
            "the URL is a valid tar.gz archive."
        ),
        [],
    ),
    (
        "requirements",
        f"{GITHUB}/aws/sagemaker-python-sdk/issues/3671",
        "",
        [
            (
                "WARNING: Requirement 'warpspeed-multiclass-0.2.1.tar.gz' looks like a filename, but the file does not "
                "exist"
            ),
            (
                "subprocess.CalledProcessError: Command '['/opt/conda/bin/python', '-m', 'pip', 'install', '-r', "
                "'/opt/ml/model/code/requirements.txt']' returned non-zero exit s"
            ),
        ],
    ),
    (
        "disk",
        f"{GITHUB}/aws/sagemaker-huggingface-inference-toolkit/pull/80",
        "",
        [
            (
                "OSError: [Errno 28] No space left on device: '/opt/ml/model/pytorch_model-00001-of-00005.bin' -> "
                "'/.sagemaker/mms/models/model/pytorch_model-00001-of-00005.bin'"
            ),
        ],
    ),
    (
        "memory",
        f"{GITHUB}/pytorch/serve/issues/1663",
        "",
        [
            "2022-06-01T13:52:50,819 [INFO ] W-9000-my-model_1.0-stdout MODEL_LOG - model_name: my-model, batchSize: 1",
            "MODEL_LOG - what(): std::bad_alloc",
        ],
    ),
    (
        "memory",
        f"{GITHUB}/zai-org/CogVLM/issues/236",
        "",
        [
            "torch.cuda.OutOfMemoryError: CUDA out of memory. ",
            "Tried to allocate 86.00 MiB. GPU 0 has a total capacty of 21.99 GiB of which 67.00 MiB is free. ",
        ],
    ),
    ("memory", f"{GITHUB}/aws-neuron/aws-neuron-sdk/issues/426", "runtimeError: 507 - System out of memory", []),
    (
        "torch version",
        f"{GITHUB}/aws/amazon-sagemaker-examples/pull/2675",
        "",
        [
            (
                "2021-06-07 18:24:21,478 [INFO ] W-9000-model-stdout com.amazonaws.ml.mms.wlm.WorkerLifeCycle - Exception "
                "in model fn version_number <= kMaxSupportedFileFormatVersion INTERNAL ASSERT FAILED at inline_container."
                "cc:131, please report a bug to PyTorch. Attempted to read a PyTorch file with version 3, but the maximum "
                "supported version for reading is 1. Your PyTorch installation may be too old."
            ),
        ],
    ),
    (
        "python version",
        f"{GITHUB}/aws-samples/amazon-sagemaker-build-train-deploy/issues/37",
        "",
        [
            "[2025-02-21 11:58:56 +0000] [26] [ERROR] Error handling request /ping",
            "Traceback (most recent call last):",
            '  File "/miniconda3/lib/python3.9/site-packages/sagemaker_containers/_functions.py", line 93, in wrapper',
            "    return fn(*args, **kwargs)",
            '  File "/opt/ml/code/inference.py", line 37, in model_fn',
            "    obj = cloudpickle.load(file)",
            "TypeError: code() takes at most 16 arguments (18 given)",
        ],
    ),
    (
        "python version",
        f"{GITHUB}/cloudpipe/cloudpickle/issues/564",
        "",
        ["Traceback (most recent call last):", "TypeError: code() argument 13 must be str, not int"],
    ),
    (
        "driver",
        f"{GITHUB}/bentoml/aws-sagemaker-deploy/issues/50",
        "",
        [
            (
                "RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
                "driver by downloading and installing a new version"
            ),
        ],
    ),
    (
        "driver",
        f"{GITHUB}/aws/deep-learning-containers/issues/4990",
        "",
        [
            (
                "This container was built for NVIDIA Driver Release 575.51 or later, but version 470.256.02 was detected "
                "and compatibility mode is UNAVAILABLE"
            ),
        ],
    ),
    (
        "exception",
        f"{GITHUB}/open-mmlab/mmdetection/issues/5274",
        "",
        [
            "Traceback (most recent call last):",
            '  File "/opt/ml/model/code/inference.py", line 7, in model_fn',
            (
                "RuntimeError: Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. "
                "If you are running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to "
                "map your storages to the CPU."
            ),
            (
                "2021-06-02 17:27:53,113 [WARN ] W-9004-table_1.0 org.pytorch.serve.wlm.BatchAggregator - Load model "
                "failed: table, error: Worker died."
            ),
        ],
    ),
    (
        "worker died",
        f"{GITHUB}/aws/sagemaker-python-sdk/issues/2284",
        "",
        [
            (
                "2021-04-13 17:56:47,665 [INFO ] epollEventLoopGroup-5-2 org.pytorch.serve.wlm.WorkerThread - 9000 Worker "
                "disconnected. WORKER_STARTED"
            ),
            (
                "2021-04-13 17:56:47,666 [INFO ] W-9000-model_1-stdout org.pytorch.serve.wlm.WorkerLifeCycle - Backend "
                "worker process died."
            ),
        ],
    ),
    (
        "health check",
        f"{GITHUB}/aws/sagemaker-python-sdk/issues/155",
        (
            "The primary container for production variant AllTraffic did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        ),
        ['10.32.0.2 - - [08/Jun/2020:07:15:51 +0000] "GET /ping HTTP/1.1" 400 3 "-" "AHC/2.0"'],
    ),
]


@pytest.mark.parametrize(("name", "report", "reason", "log"), REPORTS, ids=[report for _, report, _, _ in REPORTS])
def test_the_cause_is_known_from_a_public_report(name, report, reason, log):
    found = diagnosis.explain(reason, log)
    assert found is not None, report
    assert found.cause is not None
    assert found.cause.name == name
    assert found.cause.fix
    assert "{" not in found.cause.what + found.cause.fix
    assert found.summary


def test_every_cause_of_the_table_has_a_report():
    rows = {row.name for row in (*causes._TABLE, *causes._SYMPTOMS)}
    assert rows - {name for name, *_ in REPORTS} == {"model_fn"}


def test_a_container_without_a_model_fn_is_told_by_the_toolkits_own_words():
    # sagemaker_pytorch_serving_container/default_pytorch_inference_handler.py, default_model_fn
    said = "Exception: Failed to load model.pth. Please ensure model is saved using torchscript."
    asked = "NotImplementedError: Please provide a model_fn implementation.\nSee documentation"
    assert causes.known("", [asked]).name == "model_fn"
    assert causes.known("", [said]) is None


def test_what_says_more_is_taken_before_what_says_less():
    health = "The primary container for production variant AllTraffic did not pass the ping health check."
    died = "W-9000-model_1.0 org.pytorch.serve.wlm.BatchAggregator - Load model failed: model, error: Worker died."
    assert causes.known(health, [died]).name == "worker died"
    assert causes.known(health, ["torch.cuda.OutOfMemoryError: CUDA out of memory.", died]).name == "memory"


def test_an_exception_that_is_the_cause_itself_is_not_said_twice():
    log = ["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'nowhere_at_all'"]
    found = diagnosis.explain("did not pass the ping health check", log)
    assert found.exception == "ModuleNotFoundError: No module named 'nowhere_at_all'"
    assert found.cause.what == ""
    assert "requirements.txt" in found.cause.fix


def test_an_exception_that_nothing_is_known_about_is_not_blamed_on_the_health_check():
    log = ["Traceback (most recent call last):", "ZeroDivisionError: division by zero"]
    found = diagnosis.explain("did not pass the ping health check", log)
    assert found.summary == "ZeroDivisionError: division by zero"
    assert found.cause is None


def test_what_nobody_knows_is_shown_as_sagemaker_said_it():
    assert diagnosis.explain("The moon is in the wrong phase.", []).summary == "The moon is in the wrong phase."
    assert diagnosis.explain("", ["all is well"]) is None


@given(st.text(), st.lists(st.text(), max_size=20))
def test_no_reason_and_no_log_are_too_odd(reason, log):
    found = diagnosis.explain(reason, log)
    assert found is None or found.summary or found.exception == ""
