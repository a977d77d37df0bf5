"""Training jobs that exist: how they are, what they left, and the endpoint that it becomes."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import uuid

import pytest
import torch

from sm_magics import errors
from sm_magics.hosting import artifacts, connect, deploy, outputs, removal, training
from sm_magics.packaging.proof import prove
from sm_magics.packaging.saved import Saved
from sm_magics.packaging.trained import skeleton

# Newer than any inference image: SDK 2's attach(...).deploy() raises for it.
IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.13.0-cpu-py313-ubuntu22.04-sagemaker"

SCRIPT = """
import os, torch
torch.manual_seed(0)
model = torch.nn.Linear(3, 2)
print("loss=0.25")
folder = os.environ["SM_MODEL_DIR"]
if os.environ["SM_HP_KIND"] == "torchscript":
    torch.jit.script(model).save(os.path.join(folder, "model.pth"))
elif os.environ["SM_HP_KIND"] == "state_dict":
    torch.save(model.state_dict(), os.path.join(folder, "model.pth"))
else:
    raise ValueError("no such kind")
with open(os.path.join(folder, "classes.txt"), "w") as file:
    file.write("cat dog")
"""

BUILD = """
import torch

def build_model():
    return torch.nn.Linear(3, 2)

def model_fn(model_dir):
    model = build_model()
    model.load_state_dict(torch.load(model_dir + "/model.pth", weights_only=True))
    return model.eval()
"""


def make_bucket(name: str) -> None:
    connection = connect()
    client = connection.client("s3")
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": connection.region})


def source_of(connection, bucket) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("train.py")
        member.size = len(SCRIPT)
        tar.addfile(member, io.BytesIO(SCRIPT.encode()))
    connection.client("s3").put_object(Bucket=bucket, Key="source/sourcedir.tar.gz", Body=buffer.getvalue())
    return f"s3://{bucket}/source/sourcedir.tar.gz"


def start(kind: str, compression: str = "GZIP") -> str:
    """Start a job; return its name."""
    connection, name, bucket = connect(), f"fit-{uuid.uuid4().hex[:8]}", "sagemaker-jobs"
    make_bucket(bucket)
    connection.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "train:loss", "Regex": r"loss=(\S+)"}],
        },
        RoleArn=connection.role,
        HyperParameters={
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": json.dumps(source_of(connection, bucket)),
            "kind": json.dumps(kind),
            "epochs": "3",
        },
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output", "CompressionType": compression},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    return name


@pytest.fixture(scope="session")
def jobs():
    """Names of the jobs that earlier tests have run, by what they leave."""
    return {}


@pytest.fixture
def job(machine, jobs):
    """A job of a kind, run once for all tests and waited for."""

    def find(kind, compression="GZIP", settings=None):
        if (kind, compression) not in jobs:
            jobs[kind, compression] = start(kind, compression)
        found = training.attach(jobs[kind, compression], settings)
        if found.is_moving:
            found.wait()
        return found

    return find


def test_a_job_is_followed_to_its_end_and_described(machine, jobs):
    events = []
    jobs["state_dict", "GZIP"] = name = start("state_dict")
    job = training.attach(name)
    assert job.wait(listener=events.append) is job
    assert (job.status, job.detail, job.is_moving, job.reason) == ("Completed", "Completed", False, "")
    assert [event.status for event in events][-1] == "Completed"
    assert {event.name for event in events} == {name}
    assert job.hyperparameters == {"kind": "state_dict", "epochs": 3}
    assert (job.program, job.image, job.instance_type, job.instance_count) == ("train.py", IMAGE, "ml.m5.large", 1)
    assert [(metric.name, metric.value) for metric in job.metrics] == [("train:loss", 0.25)]
    assert "loss=0.25" in job.logs()
    assert job.explain() is None
    assert repr(job) == f"TrainingJob({name!r}, this machine, Completed)"


def test_a_watcher_hears_of_a_job_on_the_same_thread_as_of_endpoints(job):
    import queue

    heard = queue.Queue()
    with job("state_dict").watch(heard.put):
        event = heard.get(timeout=60)
    assert (event.status, event.detail) == ("Completed", "Completed")


def test_a_job_in_a_region_is_the_same_to_boto3(job, as_aws):
    found = job("state_dict", settings=as_aws)
    assert (found.where, found.status) == (as_aws.region, "Completed")
    assert [output.name for output in found.artifacts]


def test_a_job_that_does_not_exist_is_named_with_the_place(machine, as_aws):
    for settings in (None, as_aws):
        with pytest.raises(errors.TrainingJobNotFound, match="no-such-job") as caught:
            training.attach("no-such-job", settings)
        assert "%sm_attach" in caught.value.hint


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
@pytest.mark.parametrize("kind", ["state_dict", "torchscript"])
def test_what_a_job_left_is_told_without_unpickling_it(job, kind, compression):
    found = {output.name: output for output in job(kind, compression).artifacts}
    assert set(found) == {"model.pth", "classes.txt"}
    assert found["model.pth"].saved == Saved(kind)
    assert (found["classes.txt"].size, found["classes.txt"].saved) == (7, None)


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_torchscript_becomes_an_endpoint_without_a_line_of_code(job, tmp_path, compression):
    found = job("torchscript", compression)
    package = found.package(model_dir=tmp_path, sample=[[1.0, 2.0, 3.0]])
    assert {file.name for file in package.files} >= {"model.pth", "classes.txt", "code/inference.py"}
    assert package.source == found.name
    report = prove(package, sample=[[1.0, 2.0, 3.0]])
    assert report.passed, report
    name = f"fit-{uuid.uuid4().hex[:8]}"
    try:
        endpoint = deploy(package, name)
        torch.manual_seed(0)
        expected = torch.nn.Linear(3, 2)(torch.tensor([[1.0, 2.0, 3.0]]))
        assert torch.allclose(torch.tensor(endpoint.predict([[1.0, 2.0, 3.0]]).value), expected)
    finally:
        removal.remove(removal.of(endpoint))


def test_a_state_dict_gets_a_skeleton_and_is_deployed_once_that_is_filled_in(job, tmp_path):
    found = job("state_dict")
    for _ in range(2):
        with pytest.raises(errors.InferenceScriptError, match="build_model") as caught:
            found.package(model_dir=tmp_path)
        assert "build_model" in caught.value.hint
    script = tmp_path / "code" / "inference.py"
    assert "load_state_dict" in script.read_text()
    assert not (tmp_path / "model.tar.gz").exists()
    script.write_text(BUILD)
    package = found.package(model_dir=tmp_path)
    assert prove(package, sample=[[1.0, 2.0, 3.0]]).passed


def test_packaging_again_gives_the_same_package(job, tmp_path):
    found = job("torchscript")
    assert found.package(model_dir=tmp_path).digest == found.package(model_dir=tmp_path).digest


def test_a_job_that_failed_says_where_in_its_script(machine):
    job = training.attach(start("nothing"))
    with pytest.raises(errors.TrainingJobFailed, match="no such kind") as caught:
        job.wait()
    assert caught.value.reason
    assert "train.py" in caught.value.message
    assert job.explain().exception == "ValueError: no such kind"
    with pytest.raises(errors.SmMagicsError):
        _ = job.artifacts


def test_a_job_that_runs_has_left_nothing_yet(machine):
    name = start("state_dict")
    job = training.attach(name)
    if job.is_moving:  # on a machine in no hurry
        with contextlib.suppress(errors.TrainingJobTimeout):
            assert not job.wait(timeout=0).is_moving
        with contextlib.suppress(errors.TrainingJobError):
            assert job.artifacts
    job.wait()


def test_objects_are_packed_as_they_go_by(machine):
    connection = connect()
    client = connection.client("s3")
    make_bucket("sagemaker-objects")
    large = bytes(range(256)) * 20_000
    for name, data in {"a/model.bin": large, "a/empty": b"", "a/b/c.txt": b"c", "ab": b"not below"}.items():
        client.put_object(Bucket="sagemaker-objects", Key=f"job/{name}", Body=data)
    uri = "s3://sagemaker-objects/job/a/"
    assert [(one.name, one.size) for one in outputs.listed(uri, connection)] == [
        ("b/c.txt", 1),
        ("empty", 0),
        ("model.bin", len(large)),
    ]
    with outputs.archive(uri, connection) as stream:
        packed = b"".join(iter(lambda: stream.read(1000), b""))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        held = {member.name: tar.extractfile(member).read() for member in tar}
    assert held == {"b/c.txt": b"c", "empty": b"", "model.bin": large}
    assert artifacts.split(uri) == ("sagemaker-objects", "job/a/")


@pytest.mark.parametrize("kind", ["state_dict", "torchscript", "module"])
def test_a_skeleton_is_python_that_names_the_file(kind):
    text = skeleton("weights.pt", Saved(kind, ("net.Net",)), ["fc.weight (2, 3)"])
    compile(text, "inference.py", "exec")
    assert "weights.pt" in text
    assert ("net.Net" in text) == (kind == "module")
    assert ("fc.weight" in text) == (kind == "state_dict")
