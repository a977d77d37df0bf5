"""A real service process in a fresh state directory, and real boto3 clients that never heard of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import psutil

PATIENCE = 60.0
BUCKET = "sagemaker-tests"
IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker"

#: Doubles what it gets.
DOUBLE = """
import json
def model_fn(model_dir):
    print("loading the model")
    return 2
def input_fn(body, content_type):
    return json.loads(body)
def predict_fn(data, factor):
    return [factor * value for value in data]
def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Tell whether none of them runs. One that has ended but was not waited for does not."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end between two looks
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def wait_until(look: Any, *, what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


def archive(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def model_archive(code: str, **files: str | bytes) -> bytes:
    return archive({"model.pth": b"no weights", "code/inference.py": code, **files})


@dataclass
class Service:
    """A service process, started and ended by the test."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "sm_magics.local", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**clean, "SM_MAGICS_HOME": str(self.home), **self.environ}

    def start(self, *arguments: str) -> Service:
        with (self.home / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*arguments),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._is_up, what="service.json")
        return self

    def _is_up(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.home / "service.log").read_text()
        with contextlib.suppress(OSError, ValueError):
            return self.address["pid"] == self.process.pid
        return False

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.close_clients()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()
                self.process.wait()

    @property
    def address(self) -> dict[str, Any]:
        return json.loads((self.home / "service.json").read_text())

    @property
    def role(self) -> str:
        return f"arn:aws:iam::{self.address['account']}:role/sm-magics"

    def client(self, name: str, **config: Any) -> Any:
        key = f"{name} {config} {self.address['url']}"
        if key not in self._clients:
            address = self.address
            settings = {"retries": {"max_attempts": 0}, "proxies": {}, **config}
            self._clients[key] = boto3.client(
                name,
                endpoint_url=address["url"],
                region_name=address["region"],
                aws_access_key_id=address["access_key"],
                aws_secret_access_key=address["secret_key"],
                config=botocore.config.Config(**settings),
            )
        return self._clients[key]

    def close_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    @property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    def upload(self, key: str, body: bytes) -> str:
        with contextlib.suppress(self.s3.exceptions.BucketAlreadyOwnedByYou):
            self.s3.create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": self.address["region"]}
            )
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def create_model(self, name: str, data: bytes | str, **container: Any) -> str:
        body = model_archive(data) if isinstance(data, str) else data
        container = {"Image": IMAGE, "ModelDataUrl": self.upload(f"{name}/model.tar.gz", body), **container}
        arn: str = self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.role)[
            "ModelArn"
        ]
        return arn

    def create_config(self, name: str, data: bytes | str = DOUBLE, **container: Any) -> str:
        self.create_model(name, data, **container)
        arn: str = self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])[
            "EndpointConfigArn"
        ]
        return arn

    def create_endpoint(self, name: str, data: bytes | str = DOUBLE, **container: Any) -> str:
        self.create_config(name, data, **container)
        arn: str = self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)["EndpointArn"]
        return arn

    def deploy(self, name: str, data: bytes | str = DOUBLE, **container: Any) -> None:
        self.create_endpoint(name, data, **container)
        assert self.settled(name)["EndpointStatus"] == "InService", self.log(name)

    def settled(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            described: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
            return None if described["EndpointStatus"] in {"Creating", "Updating", "Deleting"} else described

        found: dict[str, Any] = wait_until(look, what=f"{name} settled")
        return found

    def delete_endpoint(self, name: str) -> None:
        self.sagemaker.delete_endpoint(EndpointName=name)
        self.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name)

    def invoke(self, name: str, body: bytes = b"[1, 2]", **arguments: Any) -> bytes:
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, Body=body, ContentType=arguments.pop("ContentType", "application/json"), **arguments
        )
        with answer["Body"] as stream:
            data: bytes = stream.read()
            return data

    def log(self, name: str) -> str:
        events = self.client("logs").filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{name}")["events"]
        return "\n".join(event["message"] for event in events)


def variant(model: str, **settings: Any) -> dict[str, Any]:
    return {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        **settings,
    }


@contextlib.contextmanager
def fresh_home() -> Iterator[Path]:
    # Not tmp_path: the path of a Unix socket has at most 107 bytes.
    path = Path(tempfile.mkdtemp(prefix="sm"))
    try:
        yield path
    finally:
        shutil.rmtree(path)
