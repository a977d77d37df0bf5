"""The tests under other versions: what the floors in pyproject.toml promise, other Pythons, SageMaker SDK 2 and 3.

Each row has a virtual environment of its own under build/matrix. PyTorch is only installed for the interpreter that
runs this script, whose version constraints.txt pins; elsewhere the tests that need it are skipped. Arguments: rows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST_TOOLS = ("hypothesis", "pytest", "pytest-timeout")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Row:
    """One environment: its interpreter, what goes into it, and the tests that are run in it."""

    name: str
    python: str = HERE
    packages: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("tests",)
    pinned: bool = False


def floors() -> tuple[str, ...]:
    """Return every dependency of the package at the oldest version that pyproject.toml allows."""
    own = [line for line in requires("sm-magics") or () if "extra ==" not in line]
    matches = [re.match(r"([\w-]+)>=([\d.]+)", line) for line in own]
    return tuple(f"{match[1]}=={match[2]}" for match in matches if match)


SDK_TESTS = ("tests/hosting", "tests/magics")
ROWS = (
    # An SDK 2 as old as its floor: the only one that goes with a boto3 as old as ours.
    Row("floors", python="3.10", packages=(*floors(), "sagemaker==2.237.0")),
    Row("python3.12", python="3.12"),
    Row("python3.13", python="3.13"),
    Row("sdk2", packages=("sagemaker>=2.237,<3", "torch"), tests=SDK_TESTS, pinned=True),
    Row("sdk3", packages=("sagemaker>=3", "torch"), tests=SDK_TESTS, pinned=True),
)


def interpreter(version: str) -> str | None:
    """Return a Python of that version that runs, if the machine has one."""
    if version == HERE:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    names = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
    for name in filter(None, names):
        answer = subprocess.run([name, "-c", "print('runs')"], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == "runs":
            return name
    return None


def run(row: Row) -> bool | None:
    """Make a row's environment and run its tests. Return whether they pass, None without its interpreter."""
    python = interpreter(row.python)
    if python is None:
        return None
    environment = ROOT / "build" / "matrix" / row.name
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([python, "-m", "venv", environment], check=True)
    own = environment / "bin" / "python"
    install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if "torch" in row.packages:  # by itself first: a range would take the newest build, with CUDA
        pin = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
        subprocess.run([*install, pin[0] if pin else "torch"], check=True)
    subprocess.run([*install, *TEST_TOOLS, "--editable", str(ROOT), *row.packages], check=True)
    tests = [own, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *row.tests]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode == 0


def main(names: list[str]) -> int:
    """Run the rows of these names, or all; print what came of each; return the exit status."""
    results = {row.name: run(row) for row in ROWS if not names or row.name in names}
    print()
    for name, passed in results.items():
        print(f"{name:12}", {True: "passed", False: "FAILED", None: "skipped: no such Python on this machine"}[passed])
    return int(False in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
