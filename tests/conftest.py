"""SageMaker on this machine for whoever needs it, in a state directory of its own, stopped at the end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from IPython.core.interactiveshell import InteractiveShell

from sm_magics.home import ServiceAddress

# Whoever starts the tests in the background of a shell starts them with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE = 60.0

# The machine may be busy: how long an example takes says nothing about what is tested. In CI the examples are the same
# every time, as in Hypothesis's own profile for it.
hypothesis.settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    database=None if os.environ.get("CI") else hypothesis.settings.default.database,
)
hypothesis.settings.load_profile("unhurried")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name what is long, or bytes, by its argument.

    A name made of the bytes of an archive has the time in it, so that two processes that collect the same tests, as
    pytest-xdist's do, disagree about their names.
    """
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 80) else None


# What loads or serves a model needs torch, which is the user's: scripts/matrix.py also tests without it.
_NEED_TORCH = (
    "hosting/test_deploying.py",
    "hosting/test_deploying_to_aws.py",
    "hosting/test_exporting.py",
    "hosting/test_injected_faults.py",
    "hosting/test_measuring.py",
    "hosting/test_native.py",
    "hosting/test_deploying_to_aws.py",
    "hosting/test_training_jobs.py",
    "hosting/test_verifying.py",
    "hosting/test_watching.py",
    "local/conformance",
    *(
        f"local/test_{name}.py"
        for name in (
            "capacity",
            "capture",
            "dependencies_of_models",
            "endpoints",
            "hosting",
            "idle",
            "kill",
            "load",
            "logs",
            "metrics",
            "model_data",
            "runtime",
            "serverless",
            "service",
            "streaming",
            "training",
            "training_failures",
            "training_stop",
            "versions",
        )
    ),
    "packaging",
    "serving",
)
collect_ignore = list(_NEED_TORCH) if importlib.util.find_spec("torch") is None else []
if importlib.util.find_spec("pytest_jupyter") is None:
    collect_ignore.append("server")


@pytest.fixture(autouse=True, scope="session")
def _shells_end_with_their_tests() -> Iterator[None]:
    """Every shell registers a clean-up at exit that collects garbage: minutes for the hundreds that the tests make."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(InteractiveShell, "atexit_operations", lambda _shell: None)
        yield


class Machine:
    """A state directory: what runs there is started by the code under test, and ended here."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "SM_MAGICS_HOME": str(self.home)}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "sm_magics.local", *arguments]
        return subprocess.run(line, env=self.environ, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def kill(self) -> int:
        """End the service as a power cut would; return the process id it had."""
        address = ServiceAddress.read()
        assert address is not None
        os.kill(address.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while is_there(address.pid):
            assert time.monotonic() < deadline, "the service survived SIGKILL"
            time.sleep(0.01)
        return address.pid


def is_there(pid: int) -> bool:
    """Whether there is such a process, be it a zombie whose threads still hold its sockets."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def machine_home() -> Iterator[Machine]:
    # Unix sockets lie in it, whose paths are limited to 107 bytes: pytest's own directories are too deep.
    home = Path(tempfile.mkdtemp(prefix="sm", dir="/tmp"))
    machine = Machine(home)
    try:
        yield machine
    finally:
        machine.command("stop")
        running = machine.command("status")
        shutil.rmtree(home)
        assert "No service is running" in running.stdout + running.stderr


@pytest.fixture
def machine(machine_home: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The session's SageMaker on this machine; each test uses endpoint names of its own."""
    monkeypatch.setenv("SM_MAGICS_HOME", str(machine_home.home))
    return machine_home
