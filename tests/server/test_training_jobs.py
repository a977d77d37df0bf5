"""Training jobs as the panel lists them, and one of them in detail."""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
import uuid

import pytest
from faulty import denied

from sm_magics import hosting
from sm_magics.settings import Settings

IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
SCRIPT = "print('loss=0.25 token=abcdefabcdef', flush=True)\nraise KeyError('no such column')\n"


@pytest.fixture(scope="module")
def trained(machine_home):
    """The name of a job that has failed."""
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SM_MAGICS_HOME", str(machine_home.home))
        connection = hosting.connect(Settings())
        bucket, name = "server-jobs", f"job-{uuid.uuid4().hex[:8]}"
        s3, client = connection.client("s3"), connection.client("sagemaker")
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": connection.region})
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            member = tarfile.TarInfo("train.py")
            member.size = len(SCRIPT)
            tar.addfile(member, io.BytesIO(SCRIPT.encode()))
        s3.put_object(Bucket=bucket, Key="sourcedir.tar.gz", Body=buffer.getvalue())
        client.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            RoleArn=f"arn:aws:iam::{connection.account}:role/training",
            HyperParameters={
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": f'"s3://{bucket}/sourcedir.tar.gz"',
                "epochs": "3",
                "hub_token": '"abcdef0123456789"',
            },
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )
        deadline = time.monotonic() + 120
        while client.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] in {"InProgress", "Stopping"}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return name


async def test_jobs_are_rows(ask, trained):
    answer = await ask("training-jobs", query={"where": "local"})
    [there] = answer.body["places"]
    assert (there["state"], there["problem"]) == ("ok", None)
    row = next(row for row in there["jobs"] if row["name"] == trained)
    assert (row["status"], row["moving"], row["where"]) == ("Failed", False, "local")
    assert row["created"] <= row["ended"]
    assert row["arn"].endswith(trained)


async def test_a_job_in_detail(ask, trained):
    found = (await ask("training-jobs", "local", trained)).body
    assert (found["status"], found["instance_type"], found["instance_count"]) == ("Failed", "ml.m5.large", 1)
    assert found["program"] == "train.py"
    assert found["hyperparameters"] == {"epochs": 3, "hub_token": "••••"}
    assert [(metric["name"], metric["value"]) for metric in found["metrics"]] == [("loss", 0.25)]
    assert "KeyError: 'no such column'" in found["diagnosis"]["text"]
    assert found["attach"] == f"%sm_attach {trained}"
    assert found["image"] == IMAGE


async def test_the_log_of_a_job_has_no_secrets(ask, trained):
    found = (await ask("training-jobs", "local", trained, "log")).body
    assert any("loss=0.25 token=••••" in line for line in found["lines"])
    assert "abcdefabcdef" not in str(found)


async def test_a_job_that_is_not_there_is_not_found(ask, trained):
    for path in ((), ("log",)):
        answer = await ask("training-jobs", "local", "nobody-home", *path)
        assert (answer.status, answer.error["code"]) == (404, "TrainingJobNotFound")


async def test_a_region_that_refuses_says_so(ask, trained, as_aws, faults):
    faults.always("ListTrainingJobs", denied)
    [there] = (await ask("training-jobs", query={"where": as_aws})).body["places"]
    assert (there["state"], there["jobs"], there["problem"]["code"]) == ("problem", [], "AccessDenied")
