"""What a client that never heard of us is given: the variables that ``python -m sm_magics.local env`` prints."""

from __future__ import annotations

import os
import subprocess

import pytest
from local_service import Service

_LEFT = "PATH", "HOME", "LANG", "TMPDIR"


@pytest.fixture(scope="session")
def variables(service: Service) -> dict[str, str]:
    """The variables that a shell has after ``eval "$(python -m sm_magics.local env)"``."""
    clean = {name: os.environ[name] for name in _LEFT if name in os.environ}
    command = service.command("env")
    printed = subprocess.run(command, env=service.environment, check=True, capture_output=True, text=True).stdout
    script = 'eval "$SCRIPT"; env -0'
    told = subprocess.run(["/bin/sh", "-c", script], env={**clean, "SCRIPT": printed}, check=True, capture_output=True)
    pairs = (entry.partition("=") for entry in told.stdout.decode().split("\0") if entry)
    return {
        name: value for name, _, value in pairs if name not in clean and name not in {"SCRIPT", "PWD", "_", "SHLVL"}
    }


@pytest.fixture(scope="session")
def environ(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a client process in a home directory without a trace of AWS."""
    home = tmp_path_factory.mktemp("client-home")
    return {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", **variables}
