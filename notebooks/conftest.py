"""The notebooks are checked against a SageMaker on this machine of their own, which ends with the test run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

_home = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_home] = tempfile.TemporaryDirectory(prefix="sm_magics-")
    os.environ["SM_MAGICS_HOME"] = config.stash[_home].name
    # The models are small: a second thread would only wait for the first one, for long where others are at work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_sessionfinish(session: pytest.Session) -> None:
    # While the session goes on: those that run notebooks side by side are ended soon after it.
    subprocess.run([sys.executable, "-m", "sm_magics.local", "stop"], check=False, stdout=subprocess.DEVNULL)
    session.config.stash[_home].cleanup()
