"""Packages small enough to deploy in no time, without torch."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import botocore.endpoint
import pytest

from sm_magics.hosting import connection, endpoints, training
from sm_magics.hosting.machine import ensure_running
from sm_magics.packaging import Package
from sm_magics.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))

ECHO = """
import json

def model_fn(model_dir):
    return {answer!r}

def transform_fn(model, body, content_type, accept):
    return json.dumps([model, json.loads(body)]), "application/json"
"""


def archive(code: str) -> bytes:
    """Return a model.tar.gz of an inference script and a model file that nobody reads."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, content in {"model.pth": b"none", "code/inference.py": code.encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def pack(tmp_path):
    """Make a package whose handlers answer with the word given, or whose script is the one given."""

    def make(answer: str = "one", *, code: str = "") -> Package:
        content = archive(code or ECHO.format(answer=answer))
        path = tmp_path / hashlib.sha256(content).hexdigest()[:8] / "model.tar.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return Package.open(path)

    return make


@pytest.fixture
def as_aws(machine, monkeypatch):
    """Settings that lead to SageMaker on this machine as if it were a region of AWS: by boto3's own variables."""
    address = ensure_running()
    for name, value in {
        "AWS_ENDPOINT_URL": address.url,
        "AWS_ACCESS_KEY_ID": address.access_key,
        "AWS_SECRET_ACCESS_KEY": address.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(machine.home / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(machine.home / "no-credentials"),
        "AWS_MAX_ATTEMPTS": "1",  # what is injected is not tried again behind the test's back
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(connection, "_aws", {})
    # This machine answers sooner than AWS: nobody has to wait for it as long.
    monkeypatch.setitem(endpoints.POLL_SECONDS, False, endpoints.POLL_SECONDS[True])
    monkeypatch.setitem(training.POLL_SECONDS, False, training.POLL_SECONDS[True])
    return Settings(
        region=address.region, instance_type="ml.m5.large", role=f"arn:aws:iam::{address.account}:role/sm-magics"
    )


@pytest.fixture
def patient(as_aws, monkeypatch):
    """boto3 tries five times, as it does by itself, and does not wait in between."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _seconds: None))
