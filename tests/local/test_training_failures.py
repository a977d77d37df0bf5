"""Training jobs that fail, and requests for jobs that this machine does not run."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from local_service import BUCKET, archive
from training_jobs import IMAGE, channel, ended, keys, log, request, train

INFERENCE_IMAGE = IMAGE.replace("pytorch-training", "pytorch-inference")


def test_a_script_that_raises_is_described_as_the_container_does(service):
    code = """
import os, sys
with open(os.environ["SM_OUTPUT_DATA_DIR"] + "/half.txt", "w") as file:
    file.write("half")
print("reading")
raise KeyError("no such column")
"""
    job = train(service, "raises", code, hyperparameters={"epochs": "1"})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    reason = job["FailureReason"]
    assert reason.startswith('AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "raise KeyError(')
    assert "KeyError: 'no such column'" in reason
    assert reason.endswith('python train.py --epochs 1", exit code: 1')
    lines = log(service, "raises")
    assert "reading" in lines
    assert "KeyError: 'no such column'" in lines
    assert "Reporting training FAILURE" in lines
    # What it had written is kept, as in AWS.
    assert keys(service, "output/raises/") == ["output/raises/output/output.tar.gz"]
    assert [stage["Status"] for stage in job["SecondaryStatusTransitions"]][-2:] == ["Uploading", "Failed"]


def test_a_script_may_say_itself_why_it_failed(service):
    code = """
import os
with open(os.environ["SM_OUTPUT_DIR"] + "/failure", "w") as file:
    file.write("not enough data" + "!" * 5000)
os.abort()
"""
    reason = train(service, "says-why", code)["FailureReason"]
    assert reason.startswith("AlgorithmError: not enough data!!!")
    assert reason.endswith("!, exit code: 1")
    assert len(reason) == 1024


def test_a_signal_that_ends_the_script_is_named(service):
    job = train(service, "signalled", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert "ExitCode -9\n" in job["FailureReason"]


def test_processes_of_a_script_end_with_it(service):
    code = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print("child", child.pid, flush=True)
"""
    import psutil

    assert train(service, "leaves-some", code)["TrainingJobStatus"] == "Completed"
    [line] = [line for line in log(service, "leaves-some") if line.startswith("child")]
    assert not psutil.pid_exists(int(line.split()[1]))


def test_requirements_that_cannot_be_installed_fail_the_job(service):
    files = {"train.py": "print('never')", "requirements.txt": "--no-index\nno-such-thing-of-sm-magics\n"}
    job = train(service, "unmet", files)
    assert job["FailureReason"].startswith("AlgorithmError: InstallRequirementsError:\nExitCode 1\n")
    assert "no-such-thing-of-sm-magics" in job["FailureReason"]
    assert "never" not in log(service, "unmet")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param(
            {"AlgorithmSpecification": {"TrainingImage": INFERENCE_IMAGE, "TrainingInputMode": "File"}},
            f"ClientError: The training image {INFERENCE_IMAGE} cannot run on this machine: only pytorch-training",
            id="image",
        ),
        pytest.param(
            {"Environment": {"SM_MAGICS_PYTHON": "/no/such/python"}},
            "ClientError: The Python interpreter /no/such/python cannot run the job: ",
            id="interpreter",
        ),
        pytest.param(
            {"hyperparameters": {"sagemaker_program": '"other.py"'}}, "ClientError: s3://sagemaker-tests/", id="script"
        ),
        pytest.param(
            {"hyperparameters": {"sagemaker_program": '"../train.py"'}}, "ClientError: s3://sagemaker", id="outside"
        ),
        pytest.param(
            {"hyperparameters": {"sagemaker_mpi_enabled": "true"}},
            "AlgorithmError: Framework Error: \nDistributed training with sagemaker_mpi_enabled is not available",
            id="mpi",
        ),
        pytest.param({"Environment": {"BAD": "nul\0"}}, "AlgorithmError: ", id="nul"),
    ],
)
def test_what_cannot_run_fails_with_its_name(service, members, reason, request):
    name = f"cannot-{request.node.callspec.id}"
    job = train(service, name, "print('never')", **members)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert "never" not in log(service, name)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'[{"prefix": 1}, "a"]', b'[{"prefix": "s3://sagemaker-tests/"}, "gone"]',
     b'[{"prefix": "s3://sagemaker-tests/manifests/"}, "../manifests/x"]'],
)  # fmt: skip
def test_a_bad_manifest_fails_the_job(service, body):
    service.upload("manifests/x", b"x")
    service.upload("manifests/../manifests/x", b"x")
    url = service.upload("manifests/list", body)
    name = f"manifest-{abs(hash(body))}"
    job = train(service, name, "", InputDataConfig=[channel("train", url, S3DataType="ManifestFile")])
    assert job["FailureReason"].startswith("ClientError: Data download failed: ")


def test_a_source_directory_that_harms_is_not_unpacked(service):
    members = request(service, "harmful", "")
    service.upload("harmful/source/sourcedir.tar.gz", archive({"../train.py": "print('never')"}))
    service.sagemaker.create_training_job(**members)
    assert "leads out of" in ended(service, "harmful")["FailureReason"]


def test_somebody_elses_code_does_not_run(service):
    service.upload("theirs.tar.gz", archive({"train.py": "print('ran')"}))
    theirs = {"account": "210987654321", "sm-magics-account": "210987654321"}
    source = {"Bucket": BUCKET, "Key": "theirs.tar.gz"}
    service.s3.copy_object(CopySource=source, MetadataDirective="REPLACE", Metadata=theirs, **source)
    members = request(service, "theirs", "")
    members["HyperParameters"]["sagemaker_submit_directory"] = json.dumps(f"s3://{BUCKET}/theirs.tar.gz")
    with pytest.raises(ClientError, match=r"copied from account 210987654321.*SM_MAGICS_ALLOW_CODE_FROM=210987654321"):
        service.sagemaker.create_training_job(**members)
    members["Environment"] = {"SM_MAGICS_ALLOW_CODE_FROM": "210987654321"}
    service.sagemaker.create_training_job(**members)
    assert ended(service, "theirs")["TrainingJobStatus"] == "Completed"
    members["HyperParameters"]["sagemaker_submit_directory"] = '"s3://their-bucket/sourcedir.tar.gz"'
    with pytest.raises(ClientError, match=r"in somebody else's bucket: account .* has no bucket their-bucket"):
        service.sagemaker.create_training_job(**{**members, "TrainingJobName": "theirs-2"})


def test_somebody_elses_code_does_not_run_from_a_channel(service):
    theirs = {"sm-magics-account": "210987654321"}
    service.upload("their-code/train.py", b"print('mine')")
    service.s3.put_object(Bucket=BUCKET, Key="their-code/z.py", Body=b"print('theirs')", Metadata=theirs)
    members = request(service, "their-channel", "")
    members["AlgorithmSpecification"]["ContainerEntrypoint"] = ["python", "/opt/ml/input/data/code/z.py"]
    members["InputDataConfig"] = [channel("code", f"s3://{BUCKET}/their-code/")]
    with pytest.raises(ClientError, match=r"their-code/z\.py was copied from account 210987654321"):
        service.sagemaker.create_training_job(**members)
    members["Environment"] = {"SM_MAGICS_ALLOW_CODE_FROM": "1, 210987654321"}
    service.sagemaker.create_training_job(**members)
    assert ended(service, "their-channel")["TrainingJobStatus"] == "Completed"
    assert "theirs" in log(service, "their-channel")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"InputDataConfig": [channel("a", "s3://sagemaker-tests/no/such/")]}, "No S3 objects found under S3 URL "),
        ({"InputDataConfig": [channel("a", "s3://no-such-bucket/x")]}, "No S3 objects found under S3 URL "),
        ({"InputDataConfig": [channel("a", "s3://sagemaker-tests/"), channel("a", "s3://x/")]}, "must be unique"),
        ({"InputDataConfig": [{**channel("a", "s3://x/"), "InputMode": "Pipe"}]}, "Pipe is not available"),
        ({"InputDataConfig": [channel("a", "s3://x/", S3DataType="AugmentedManifestFile")]}, "is not available"),
        ({"OutputDataConfig": {"S3OutputPath": "s3://no-such-bucket/x"}}, "no bucket of the output path"),
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}}, "one instance"),
        ({"EnableNetworkIsolation": True}, "Network isolation of a training job is not available"),
        ({"CheckpointConfig": {"S3Uri": "s3://sagemaker-tests/c", "LocalPath": "/tmp/c"}}, "LocalPath outside of"),
        ({"CheckpointConfig": {"S3Uri": "s3://sagemaker-tests/c", "LocalPath": "/opt/ml/../c"}}, "LocalPath outside"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "at 'stoppingCondition.maxRuntimeInSeconds'"),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": IMAGE,
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "m", "Regex": "("}],
                }
            },
            "regular expression of metric m is not valid",
        ),
    ],
)
def test_what_this_machine_does_not_do_is_refused(service, members, message):
    with pytest.raises(ClientError, match=message) as refused:
        service.client("sagemaker", parameter_validation=False).create_training_job(
            **request(service, "refused", "", **members)
        )
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert not service.sagemaker.list_training_jobs(NameContains="refused")["TrainingJobSummaries"]
