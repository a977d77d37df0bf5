"""The proof under the container's own versions."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from sm_magics.packaging import package
from sm_magics.packaging.proof import prove
from sm_magics.packaging.proving import like_container, warm
from sm_magics.packaging.proving.container import Container

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [version for version in ("3.10", "3.11", "3.12", "3.13") if version != HERE]


@pytest.fixture(autouse=True)
def home(monkeypatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sm", dir="/tmp") as directory:
        monkeypatch.setenv("SM_MAGICS_HOME", directory)
        yield Path(directory)
        warm.close()


def tiny(tmp_path):
    net = nn.Linear(4, 2).eval()
    return net, package(net, name="tiny", model_dir=tmp_path)


def test_an_interpreter_of_another_version_is_found_or_not_there():
    assert like_container.interpreter("3.99") is None
    found = {version: like_container.interpreter(version) for version in (HERE, *OTHERS)}
    assert found[HERE]
    for version, executable in found.items():
        if executable is not None:
            said = subprocess.run([executable, "--version"], check=True, capture_output=True, text=True).stdout
            assert said.startswith(f"Python {version}.")


def test_a_python_that_the_machine_does_not_have_is_said(tmp_path):
    net, made = tiny(tmp_path)
    sample = torch.rand(1, 4)
    report = prove(made, sample=sample, model=net, container=Container("3.99.1", "2.6.0", {}), like=True)
    step = report.step("environment")
    assert step.status == "warning"
    assert step.details == ("There is no Python 3.99 on this machine: `uv python install 3.99` gets one.",)
    assert report.passed  # under this notebook's versions, which is said
    assert report.step("versions").what.startswith("checked under Python")


def test_a_torch_that_cannot_be_installed_is_said_in_pips_words(tmp_path, home, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    net, made = tiny(tmp_path)
    heard = []
    container = Container(f"{HERE}.1", "0.0.1", {"numpy": "1.0"})
    report = prove(made, sample=torch.rand(1, 4), model=net, container=container, like=True, listener=heard.append)
    step = report.step("environment")
    assert step.status == "warning"
    assert "cannot be installed here" in step.details[0]
    assert "torch" in step.details[0]
    assert any(event.phase == "Install" for event in heard)
    assert not list((home / "environments").glob("like-*/bin"))  # nothing half made stays


def test_versions_that_are_not_known_are_asked_for(tmp_path):
    net, made = tiny(tmp_path)
    report = prove(made, sample=torch.rand(1, 4), model=net, like=True)
    assert "--framework-version" in report.step("environment").details[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_package_is_proven_in_an_environment_of_its_own(tmp_path, home):
    net, made = tiny(tmp_path)
    release = torch.__version__.partition("+")[0]
    container = Container(f"{HERE}.0", release, {})
    heard = []
    report = prove(made, sample=torch.rand(1, 4), model=net, container=container, like=True, listener=heard.append)
    step = report.step("environment")
    if step.status == "warning":
        pytest.skip(f"no torch {release} can be installed here: {step.details[0]}")
    assert report.passed, report.failure
    assert report.step("compare").status == "passed"
    assert report.torch.startswith(release)
    count = len([event for event in heard if event.phase == "Install"])
    assert prove(made, sample=torch.rand(1, 4), model=net, container=container, like=True, listener=heard.append).passed
    assert len([event for event in heard if event.phase == "Install"]) == count  # it is kept
