"""A Jupyter server with the extension loaded, in a directory of its own; SageMaker on this machine behind it."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tarfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403 - its fixtures and hooks, as its documentation has it
from tornado.httpclient import HTTPClientError

from sm_magics import hosting
from sm_magics.hosting import connection, watching
from sm_magics.hosting.machine import ensure_running
from sm_magics.server import asking, endpoints, places, status, training_jobs
from sm_magics.settings import Settings

sys.path.insert(0, str(Path(__file__).parent.parent / "hosting"))  # faulty.py


@dataclass
class Answered:
    """What came back: the status, the JSON, the headers."""

    status: int
    body: Any
    headers: Any = None

    @property
    def error(self) -> dict[str, Any]:
        return self.body["error"]


@pytest.fixture
def jp_server_config():
    return {"ServerApp": {"jpserver_extensions": {"sm_magics": True}}}


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch, tmp_path):
    """No credentials, no configuration and no region of whoever runs the tests; no connection of another test."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "SM_MAGICS_REGION", "SM_MAGICS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(connection, "_aws", {})
    monkeypatch.setattr(connection, "_patience", None)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch):
    """The machine may be busy: nothing here depends on how long it takes."""
    for module in (endpoints, status, training_jobs):
        monkeypatch.setattr(module, "_PATIENCE", 120.0)
    monkeypatch.setattr(asking, "PATIENCE", 120.0)
    monkeypatch.setattr(places, "READ_TIMEOUT", 120.0)


@pytest.fixture
def home(machine, monkeypatch):
    """The state directory that the server uses. pytest-jupyter changes HOME; this is what counts for us."""
    return machine


@pytest.fixture
def ask(home, jp_fetch):
    """Ask the extension; the answer's status and JSON, whatever the status."""

    async def asked(*path: str, query: Any = None, send: Any = None, **more: Any) -> Answered:
        if send is not None:
            more |= {"method": "POST", "body": send if isinstance(send, (str, bytes)) else json.dumps(send)}
        try:
            answer = await jp_fetch("sm-magics", *path, params=query, request_timeout=150, **more)
        except HTTPClientError as error:
            if error.response is None:  # no answer at all
                raise
            return Answered(error.code, json.loads(error.response.body), error.response.headers)
        return Answered(answer.code, json.loads(answer.body), answer.headers)

    return asked


ECHO = """
import json, os

def model_fn(model_dir):
    print("loaded with api_key=abcdef0123456789", flush=True)
    return "echo"

def transform_fn(model, body, content_type, accept):
    if body in ('"raise"', b'"raise"'):
        raise ValueError("this model does not like it: password=hunter2hunter2")
    if content_type == "application/octet-stream":
        return bytes(reversed(bytes(body))), "application/octet-stream"
    if accept == "text/plain":
        return "x" * int(body), "text/plain"
    return json.dumps({"got": json.loads(body)}), "application/json"
"""


@pytest.fixture(scope="session")
def deployed(machine_home, tmp_path_factory):
    """An endpoint in service on this machine, deployed once: ``served`` of the notebook ``a notebook.ipynb``."""
    pytest.importorskip("torch")
    from sm_magics.hosting import Origin, deploy
    from sm_magics.packaging import Package

    path = tmp_path_factory.mktemp("package") / "model.tar.gz"
    path.write_bytes(archive(ECHO))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SM_MAGICS_HOME", str(machine_home.home))
        origin = Origin("/somewhere/else/a notebook.ipynb", str(path.parent), deployer())
        return deploy(Package.open(path), "served", origin=origin, tags={"team": "vision", "api-token": "abcdef012345"})


def archive(code: str) -> bytes:
    """Return a model.tar.gz of an inference script and a model file that nobody reads."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {"model.pth": b"none", "code/inference.py": code.encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def deployer() -> str:
    """Return who deploys on this machine."""
    return hosting.connect(Settings()).user


@pytest.fixture
def as_aws(home, monkeypatch):
    """The name of an AWS region which this machine answers for: boto3's own variables lead here."""
    address = ensure_running()
    for name, value in {
        "AWS_ENDPOINT_URL": address.url,
        "AWS_ACCESS_KEY_ID": address.access_key,
        "AWS_SECRET_ACCESS_KEY": address.secret_key,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return address.region


@pytest.fixture
def faults(as_aws, jp_serverapp, monkeypatch):
    """What happens to requests to that region, also to those of a session that is made later."""
    from faulty import Faults

    found = Faults(hosting.connect(Settings(region=as_aws)).session)
    make = connection.aws_session

    def made(profile: str, region: str) -> Any:
        session = make(profile, region)
        session.events.register("before-send", found._meet)
        return session

    monkeypatch.setattr(connection, "aws_session", made)
    monkeypatch.setattr(watching, "aws_session", made)
    found.region = as_aws
    return found


TRAINING_IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
SCRIPT = "print('loss=0.25 token=abcdefabcdef', flush=True)\nraise KeyError('no such column')\n"


@pytest.fixture(scope="session")
def trained(machine_home):
    """The name of a job that has failed."""
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SM_MAGICS_HOME", str(machine_home.home))
        here = hosting.connect(Settings())
        bucket, name = "server-jobs", f"job-{uuid.uuid4().hex[:8]}"
        s3, client = here.client("s3"), here.client("sagemaker")
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": here.region})
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            member = tarfile.TarInfo("train.py")
            member.size = len(SCRIPT)
            tar.addfile(member, io.BytesIO(SCRIPT.encode()))
        s3.put_object(Bucket=bucket, Key="sourcedir.tar.gz", Body=buffer.getvalue())
        client.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={
                "TrainingImage": TRAINING_IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            RoleArn=f"arn:aws:iam::{here.account}:role/training",
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
