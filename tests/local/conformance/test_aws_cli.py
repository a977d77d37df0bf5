"""The AWS CLI, a process for each command. Run by scripts/matrix.py, which says in ``CLIENT`` where `aws` is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_service import DOUBLE, IMAGE, Service, model_archive

AWS = Path(os.environ.get("CLIENT", ""), "bin", "aws")

pytestmark = pytest.mark.skipif(not AWS.exists(), reason="needs the AWS CLI: scripts/matrix.py aws-cli")

Command = Callable[..., Any]


@pytest.fixture
def aws(environ: dict[str, str], tmp_path: Path) -> Command:
    """Runs one command; returns what it prints, parsed if it is JSON."""

    def run(*arguments: str, fails: bool = False) -> Any:
        done = subprocess.run(
            [str(AWS), *arguments],
            env={**environ, "AWS_DEFAULT_OUTPUT": "json"},
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert (done.returncode != 0) is fails, done.stderr + done.stdout
        if fails:
            return done.stderr
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout

    return run


@pytest.fixture
def role(service: Service) -> str:
    return service.role


def test_an_endpoint_is_made_called_watched_and_removed_from_a_shell(aws, role, tmp_path):
    (tmp_path / "model.tar.gz").write_bytes(model_archive(DOUBLE))
    aws("s3", "mb", "s3://cli-bucket")
    aws("s3", "cp", "model.tar.gz", "s3://cli-bucket/cli/model.tar.gz")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://cli-bucket/cli/model.tar.gz"}
    model = aws(
        *("sagemaker", "create-model", "--model-name", "cli", "--execution-role-arn", role),
        *("--primary-container", json.dumps(container), "--tags", "Key=made-by,Value=cli"),
    )["ModelArn"]
    assert aws("sagemaker", "list-tags", "--resource-arn", model)["Tags"] == [{"Key": "made-by", "Value": "cli"}]
    variant = "VariantName=AllTraffic,ModelName=cli,InitialInstanceCount=1,InstanceType=ml.m5.large"
    aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", "cli", "--production-variants", variant)
    arn = aws("sagemaker", "create-endpoint", "--endpoint-name", "cli", "--endpoint-config-name", "cli")["EndpointArn"]
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli")
    described = aws("sagemaker", "describe-endpoint", "--endpoint-name", "cli")
    assert (described["EndpointArn"], described["EndpointStatus"]) == (arn, "InService")
    assert aws(
        *("sagemaker", "list-endpoints", "--name-contains", "cli", "--query", "Endpoints[].EndpointName"),
        *("--output", "text"),
    ).split() == ["cli"]

    (tmp_path / "body.json").write_text("[1, 2]")
    answered = aws(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "cli", "--content-type", "application/json"),
        *("--accept", "application/json", "--body", "fileb://body.json", "answer.json"),
    )
    assert (tmp_path / "answer.json").read_text() == "[2, 4]"
    assert answered == {"ContentType": "application/json", "InvokedProductionVariant": "AllTraffic"}
    refusal = aws(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "cli", "--content-type", "application/json"),
        *("--body", "fileb://model.tar.gz", "answer.json"),
        fails=True,
    )
    assert "(ModelError)" in refusal
    assert "UnicodeDecodeError" in refusal

    group = "/aws/sagemaker/Endpoints/cli"
    messages = aws("logs", "filter-log-events", "--log-group-name", group, "--query", "events[].message")
    assert "loading the model" in messages
    stream = aws("logs", "describe-log-streams", "--log-group-name", group)["logStreams"][0]["logStreamName"]
    assert stream.startswith("AllTraffic/i-")
    events = aws("logs", "get-log-events", "--log-group-name", group, "--log-stream-name", stream)["events"]
    assert [event["message"] for event in events] == messages

    aws("sagemaker", "delete-endpoint", "--endpoint-name", "cli")
    aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "cli")
    missing = aws("sagemaker", "describe-endpoint", "--endpoint-name", "cli", fails=True)
    assert (
        f'(ValidationException) when calling the DescribeEndpoint operation: Could not find endpoint "{arn}".'
        in missing
    )
    aws("sagemaker", "delete-endpoint-config", "--endpoint-config-name", "cli")
    aws("sagemaker", "delete-model", "--model-name", "cli")


def test_files_go_to_s3_and_back(aws, tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep er").mkdir(parents=True)
    contents = {"a.txt": b"a", "deep er/ü+&.bin": bytes(range(256)) * 50, "large.bin": os.urandom(9 << 20)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    aws("s3", "mb", "s3://cli-files")
    aws("s3", "sync", "folder", "s3://cli-files/there", "--no-progress")
    listed = aws("s3", "ls", "s3://cli-files/there/", "--recursive")
    assert [line.split(None, 3)[3] for line in listed.splitlines()] == [f"there/{name}" for name in sorted(contents)]
    assert "PRE deep er/" in aws("s3", "ls", "s3://cli-files/there/")
    aws("s3", "sync", "s3://cli-files/there", "back", "--no-progress")
    for name, data in contents.items():
        assert (tmp_path / "back" / name).read_bytes() == data, name
    assert aws("s3", "sync", "folder", "s3://cli-files/there", "--no-progress") == ""
    aws("s3", "cp", "s3://cli-files/there/large.bin", "s3://cli-files/copy.bin")
    head = aws("s3api", "head-object", "--bucket", "cli-files", "--key", "copy.bin")
    assert head["ContentLength"] == 9 << 20
    aws("s3", "mv", "s3://cli-files/copy.bin", "moved.bin")
    assert (tmp_path / "moved.bin").read_bytes() == contents["large.bin"]
    assert "(404)" in aws("s3api", "head-object", "--bucket", "cli-files", "--key", "copy.bin", fails=True)
    assert "BucketNotEmpty" in aws("s3", "rb", "s3://cli-files", fails=True)
    aws("s3", "rb", "s3://cli-files", "--force")
    assert "NoSuchBucket" in aws("s3", "ls", "s3://cli-files", fails=True)


def test_the_caller_is_an_assumed_role(aws, service):
    identity = aws("sts", "get-caller-identity")
    assert identity["Account"] == service.address["account"]
    assert ":assumed-role/" in identity["Arn"]
