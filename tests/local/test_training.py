"""A training job from its request to its model, as boto3 sees it."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from datetime import timedelta

import pytest
import torch
from botocore.exceptions import ClientError
from local_service import BUCKET, archive
from training_jobs import FIT, IMAGE, channel, described, ended, keys, log, read, request, train, unpacked

POINTS = json.dumps([[x / 10, 3 * x / 10 + 1] for x in range(20)]).encode()

#: Writes what it was started with where the test finds it.
REPORT = """
import json, os, sys
with open(os.path.join(os.environ["SM_MODEL_DIR"], "report.json"), "w") as file:
    json.dump({"arguments": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd()}, file)
"""


def report(service, job) -> dict:
    return json.loads(unpacked(service, job["ModelArtifacts"]["S3ModelArtifacts"])["report.json"])


def completed(service, name, job):
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), log(service, name))
    return job


def test_a_script_trains_a_model(service):
    service.upload("fit/data/points.json", POINTS)
    job = train(
        service,
        "fit",
        FIT,
        hyperparameters={"epochs": "200", "learning-rate": "0.1"},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/fit/data")],
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "train:loss", "Regex": r"loss=(\S+)"}],
        },
    )
    completed(service, "fit", job)
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/output/fit/output/model.tar.gz"
    weights = torch.load(io.BytesIO(unpacked(service, job["ModelArtifacts"]["S3ModelArtifacts"])["model.pth"]))
    assert abs(weights["weight"].item() - 3) < 0.1
    assert abs(weights["bias"].item() - 1) < 0.1
    output = unpacked(service, f"s3://{BUCKET}/output/fit/output/output.tar.gz")
    [metric] = job["FinalMetricDataList"]
    assert metric["MetricName"] == "train:loss"
    assert abs(metric["Value"] - float(output["loss.txt"])) < 1e-5
    assert log(service, "fit")[-2].startswith("epoch 199 loss=")
    measured = service.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="train:loss",
        Dimensions=[{"Name": "TrainingJobName", "Value": "fit"}],
        StartTime=job["TrainingStartTime"] - timedelta(minutes=2),
        EndTime=job["TrainingEndTime"] + timedelta(minutes=2),
        Period=60,
        Statistics=["SampleCount", "Minimum"],
    )["Datapoints"]
    assert sum(point["SampleCount"] for point in measured) == 200
    assert min(point["Minimum"] for point in measured) == pytest.approx(metric["Value"], rel=1e-5)
    stages = [stage["Status"] for stage in job["SecondaryStatusTransitions"]]
    assert stages == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["SecondaryStatus"] == "Completed"
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["TrainingTimeInSeconds"] >= 0


def test_the_script_is_started_under_the_contract_of_the_container(service):
    service.upload("contract/train/a.csv", b"1")
    name = "contract"
    job = train(
        service,
        name,
        {"train.py": REPORT, "other.py": ""},
        hyperparameters={"epochs": "3", "b": "true", "name": '"two words; $HOME"', "layers": '{"a": 1, "b": 2}'},
        Environment={"MINE": "/opt/ml/checkpoints/x", "SM_MAGICS_PYTHON": sys.executable},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/contract/train")],
    )
    found = report(service, completed(service, name, job))
    environ = found["environ"]
    root = environ["SAGEMAKER_BASE_DIR"]
    assert found["arguments"] == ["-b", "True", "--epochs", "3", "--layers", "a=1,b=2", "--name", "two words; $HOME"]
    assert found["cwd"] == f"{root}/code"
    assert environ["SM_MODEL_DIR"] == f"{root}/model"
    assert environ["SM_CHANNEL_TRAIN"] == f"{root}/input/data/train"
    assert environ["SM_OUTPUT_DATA_DIR"] == f"{root}/output/data"
    assert json.loads(environ["SM_HPS"]) == {
        "epochs": 3, "b": True, "name": "two words; $HOME", "layers": {"a": 1, "b": 2},
    }  # fmt: skip
    assert environ["SM_HP_EPOCHS"] == "3"
    assert json.loads(environ["SM_HOSTS"]) == ["algo-1"]
    assert environ["SM_CURRENT_HOST"] == "algo-1"
    assert environ["SM_CURRENT_INSTANCE_TYPE"] == "ml.m5.large"
    assert environ["SM_NUM_GPUS"].isdecimal()
    assert json.loads(environ["SM_CHANNELS"]) == ["train"]
    training = json.loads(environ["SM_TRAINING_ENV"])
    assert training["job_name"] == environ["TRAINING_JOB_NAME"] == name
    assert training["channel_input_dirs"] == {"train": environ["SM_CHANNEL_TRAIN"]}
    assert training["hyperparameters"]["epochs"] == 3
    assert training["module_name"] == environ["SM_MODULE_NAME"] == "train"
    assert json.loads(environ["SM_RESOURCE_CONFIG"])["current_host"] == "algo-1"
    assert environ["MINE"] == f"{root}/checkpoints/x"
    assert environ["AWS_REGION"] == service.address["region"]
    assert "SM_MAGICS_PYTHON" not in environ
    keys = {variable for variable in environ if "KEY" in variable or "TOKEN" in variable}
    assert keys == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert environ["AWS_ACCESS_KEY_ID"].startswith("ASIA"), "its role's here, nobody's elsewhere"
    assert environ["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert described(service, name)["Environment"]["MINE"] == "/opt/ml/checkpoints/x"


def test_channels_hold_the_objects_under_a_prefix_or_in_a_manifest(service):
    for key in ("a.csv", "deep/b.csv", "deep/"):
        service.upload(f"channels/data/{key}", b"" if key.endswith("/") else key.encode())
    service.upload("channels/database.csv", b"also")
    manifest = [{"prefix": f"s3://{BUCKET}/channels/"}, "data/a.csv", "database.csv"]
    service.upload("channels/list.manifest", json.dumps(manifest).encode())
    code = """
import json, os
found = {}
for channel in json.loads(os.environ["SM_CHANNELS"]):
    top = os.environ[f"SM_CHANNEL_{channel.upper()}"]
    found[channel] = sorted(
        os.path.relpath(os.path.join(folder, name), top) for folder, _, names in os.walk(top) for name in names
    )
    for folder, _, names in os.walk(top):
        for name in names:
            with open(os.path.join(folder, name), "a") as file:
                file.write("changed by the job")
with open(os.path.join(os.environ["SM_MODEL_DIR"], "report.json"), "w") as file:
    json.dump(found, file)
"""
    base = f"s3://{BUCKET}/channels"
    sharded = {"S3DataDistributionType": "ShardedByS3Key"}
    job = train(
        service,
        "channels",
        code,
        InputDataConfig=[
            channel("folder", f"{base}/data/", **sharded),
            channel("bare", f"{base}/data"),
            channel("one", f"{base}/data/a.csv"),
            channel("listed", f"{base}/list.manifest", S3DataType="ManifestFile"),
            {**channel("fast", f"{base}/data/deep"), "InputMode": "FastFile"},
        ],
    )
    assert report(service, completed(service, "channels", job)) == {
        "folder": ["a.csv", "deep/b.csv"],
        "bare": ["a.csv", "database.csv", "deep/b.csv"],
        "one": ["a.csv"],
        "listed": ["data/a.csv", "database.csv"],
        "fast": ["b.csv"],
    }
    assert read(service, f"{base}/data/a.csv") == b"a.csv"


def test_outputs_need_not_be_compressed_and_nothing_leaves_nothing(service):
    code = """
import os
os.makedirs(os.environ["SM_MODEL_DIR"] + "/part")
for path in (os.environ["SM_MODEL_DIR"] + "/part/w.bin", os.environ["SM_OUTPUT_DATA_DIR"] + "/notes.txt"):
    with open(path, "w") as file:
        file.write("content")
os.symlink("part/w.bin", os.environ["SM_MODEL_DIR"] + "/link")
"""
    output = {"S3OutputPath": f"s3://{BUCKET}/loose/", "CompressionType": "NONE"}
    job = completed(service, "loose", train(service, "loose", code, OutputDataConfig=output))
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/loose/loose/output/model/"
    assert keys(service, "loose/loose/") == ["loose/loose/output/data/notes.txt", "loose/loose/output/model/part/w.bin"]
    completed(service, "nothing", train(service, "nothing", "print('nothing to keep')"))
    assert keys(service, "output/nothing/") == []


def test_checkpoints_come_back_to_the_next_job(service):
    code = """
import sys
path = sys.argv[sys.argv.index("--checkpoint") + 1] + "/epoch.txt"
try:
    with open(path) as file:
        epoch = int(file.read())
except FileNotFoundError:
    epoch = 0
print("resumed from", epoch)
with open(path, "w") as file:
    file.write(str(epoch + 1))
"""
    url = f"s3://{BUCKET}/checkpoints"
    for number, name in enumerate(("first-half", "second-half")):
        job = train(
            service,
            name,
            code,
            hyperparameters={"checkpoint": '"/opt/ml/checkpoints"'},
            CheckpointConfig={"S3Uri": url},
        )
        completed(service, name, job)
        assert f"resumed from {number}" in log(service, name)
        assert read(service, f"{url}/epoch.txt") == str(number + 1).encode()


def wheel(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(f"{name}.py", "ANSWER = 42\n")
        file.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


def test_requirements_are_installed_for_the_job_alone(service):
    name = "sm_magics_tests_only"
    source = archive(
        {
            "train.py": f"import {name}, torch\nprint({name}.ANSWER)",
            "requirements.txt": f"--no-index\ntorch\n./{name}-1.0-py3-none-any.whl\n",
            f"{name}-1.0-py3-none-any.whl": wheel(name),
        }
    )
    job = request(service, "requirements", "")
    service.upload("requirements/source/sourcedir.tar.gz", source)
    service.sagemaker.create_training_job(**job)
    completed(service, "requirements", ended(service, "requirements"))
    assert "42" in log(service, "requirements")
    with pytest.raises(ImportError):
        __import__(name)


def test_a_shell_script_and_a_package_are_entry_points_too(service):
    shell = {"train.sh": 'echo "got $1 $2"; python -c "import torch; print(torch.__name__)"'}
    hyperparameters = {"sagemaker_program": '"train.sh"', "x": '"a b"'}
    completed(service, "shell", train(service, "shell", shell, hyperparameters=hyperparameters))
    assert {"got -x a b", "torch"} <= set(log(service, "shell"))
    package = {
        "setup.py": "",
        "fitting/__init__.py": "",
        "fitting/__main__.py": "from . import steps",
        "fitting/steps.py": "print('in a package')",
    }
    hyperparameters = {"sagemaker_program": "fitting"}
    completed(service, "package", train(service, "package", package, hyperparameters=hyperparameters))
    assert "in a package" in log(service, "package")


def test_a_command_of_the_container_runs_with_its_own_opt_ml(service):
    service.upload("command/code/go.sh", b"cat /opt/ml/nothing")
    driver = b"""
echo "hello from $(basename $0)"
python3 -c 'import sys; print("prefix", sys.prefix != sys.base_prefix)'
pip --version
echo weights > /opt/ml/model/weights
"""
    service.upload("command/drivers/go.sh", driver)
    name = "command"
    members = request(service, name, "")
    members["AlgorithmSpecification"] |= {
        "ContainerEntrypoint": ["/bin/bash"],
        "ContainerArguments": [
            "-c",
            "chmod +x /opt/ml/input/data/sm_drivers/go.sh && /opt/ml/input/data/sm_drivers/go.sh",
        ],
    }
    members["InputDataConfig"] = [channel("sm_drivers", f"s3://{BUCKET}/command/drivers")]
    del members["HyperParameters"]
    service.sagemaker.create_training_job(**members)
    job = completed(service, name, ended(service, name))
    lines = log(service, name)
    assert lines[:2] == ["hello from go.sh", "prefix True"]
    assert lines[2].startswith("pip ")
    assert unpacked(service, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"weights": b"weights\n"}


def test_the_waiter_ends_with_the_job(service):
    service.sagemaker.create_training_job(**request(service, "waited", "import time\ntime.sleep(3)"))
    client = service.client("sagemaker", user_agent_extra="of-its-own")
    asked = []
    client.meta.events.register("before-call.sagemaker.DescribeTrainingJob", lambda **_: asked.append(1))
    client.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="waited", WaiterConfig={"MaxAttempts": 60, "Delay": 1}
    )
    assert described(service, "waited")["TrainingJobStatus"] == "Completed"
    # By itself it would have asked once a second, and with its own delay once in two minutes.
    assert len(asked) <= 3


def test_jobs_are_listed_tagged_and_deleted(service):
    client = service.sagemaker
    members = request(service, "listed-1", "print(1)", Tags=[{"Key": "team", "Value": "a"}])
    arn = client.create_training_job(**members)["TrainingJobArn"]
    assert arn.endswith(":training-job/listed-1")
    ended(service, "listed-1")
    train(service, "listed-2", "raise SystemExit(3)")
    train(service, "listed-3", "print(3)")
    pages = client.get_paginator("list_training_jobs").paginate(
        NameContains="listed-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    found = [summary for page in pages for summary in page["TrainingJobSummaries"]]
    assert [summary["TrainingJobName"] for summary in found] == ["listed-1", "listed-2", "listed-3"]
    assert [summary["TrainingJobStatus"] for summary in found] == ["Completed", "Failed", "Completed"]
    assert all(summary["TrainingEndTime"] for summary in found)
    failed = client.list_training_jobs(NameContains="listed-", StatusEquals="Failed")["TrainingJobSummaries"]
    assert [summary["TrainingJobName"] for summary in failed] == ["listed-2"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "b"}])
    assert client.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "stage", "Value": "b"},
        {"Key": "team", "Value": "a"},
    ]
    with pytest.raises(ClientError, match=r"ResourceInUse.*already exists \(arn:"):
        client.create_training_job(**members)
    with pytest.raises(ClientError, match=r"ValidationException.*in status Completed"):
        client.stop_training_job(TrainingJobName="listed-1")
    client.delete_training_job(TrainingJobName="listed-1")
    with pytest.raises(ClientError, match=r"ValidationException.*Requested resource not found"):
        described(service, "listed-1")
    train(service, "listed-1", "print('again')")
    assert "again" in log(service, "listed-1")


def test_a_script_has_the_credentials_of_its_role_here_and_no_others(service):
    code = """
import os, boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
print(boto3.client("s3").get_object(Bucket="sagemaker-tests", Key="for-the-script")["Body"].read().decode())
"""
    service.upload("for-the-script", b"hello")
    job = train(service, "with-credentials", code)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    lines = log(service, "with-credentials")
    assert f"arn:aws:sts::{service.address['account']}:assumed-role/sm-magics/SageMaker" in lines
    assert "hello" in lines
    assert not any(service.address["secret_key"] in line for line in lines)
    code = "import os; print(sorted(name for name in os.environ if name.startswith('AWS_')), os.environ['AWS_REGION'])"
    others = {"AWS_ACCESS_KEY_ID": "theirs", "AWS_REGION": "eu-west-1"}
    train(service, "with-others", code, Environment=others)
    [line] = [line for line in log(service, "with-others") if "AWS_ACCESS_KEY_ID" in line]
    assert "AWS_SESSION_TOKEN" not in line
    assert "AWS_ENDPOINT_URL" not in line
    assert line.endswith("eu-west-1")
