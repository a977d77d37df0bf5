"""Packages small enough to deploy in no time, without torch."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import pytest

from sm_magics.packaging import Package

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
