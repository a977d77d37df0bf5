"""Training jobs in a real service, asked for by a real boto3 client."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from local_service import BUCKET, Service, archive, wait_until

IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"

#: Fits y = 3 x + 1 to the numbers in its channel and saves the weights.
FIT = """
import argparse, json, os
import torch
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--learning-rate", type=float)
arguments = parser.parse_args()
with open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "points.json")) as file:
    points = torch.tensor(json.load(file))
torch.manual_seed(0)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=arguments.learning_rate)
for epoch in range(arguments.epochs):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(points[:, :1]), points[:, 1:])
    loss.backward()
    optimizer.step()
    print(f"epoch {epoch} loss={loss.item():.6f}")
torch.save(model.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "loss.txt"), "w") as file:
    file.write(str(loss.item()))
"""


def request(service: Service, name: str, code: str | dict[str, str], **members: Any) -> dict[str, Any]:
    """Return a request for a job that runs a script, sent as SDK 2 sends it."""
    files = {"train.py": code} if isinstance(code, str) else code
    source = service.upload(f"{name}/source/sourcedir.tar.gz", archive(files))
    hyperparameters = {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": f'"{source}"',
        **members.pop("hyperparameters", {}),
    }
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": service.role,
        "HyperParameters": hyperparameters,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **members,
    }


def train(service: Service, name: str, code: str | dict[str, str], **members: Any) -> dict[str, Any]:
    """Run a job to its end; return its description."""
    service.sagemaker.create_training_job(**request(service, name, code, **members))
    return ended(service, name)


def described(service: Service, name: str) -> dict[str, Any]:
    found: dict[str, Any] = service.sagemaker.describe_training_job(TrainingJobName=name)
    return found


def ended(service: Service, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = described(service, name)
        return None if found["TrainingJobStatus"] in {"InProgress", "Stopping"} else found

    found: dict[str, Any] = wait_until(look, what=f"{name} ended")
    return found


def log(service: Service, name: str) -> list[str]:
    logs = service.client("logs")
    events = logs.filter_log_events(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/algo-1-")["events"]
    return [event["message"] for event in events]


def wait_for_line(service: Service, name: str, line: str) -> None:
    wait_until(lambda: line in log(service, name), what=f"{line!r} in the log of {name}")


def read(service: Service, url: str) -> bytes:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    with service.s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
        data: bytes = body.read()
        return data


def unpacked(service: Service, url: str) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(read(service, url)), mode="r:gz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]


def keys(service: Service, prefix: str) -> list[str]:
    found = service.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"] for entry in found.get("Contents", [])]


def channel(name: str, url: str, **members: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": url, **members}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
