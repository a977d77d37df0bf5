"""Tests and tutorials under other versions: the floors in pyproject.toml, other Pythons, SageMaker SDK 2 and 3.

Each row has a virtual environment of its own, kept outside the repository for the next run and made anew when what goes
into it changes, and every week for what it leaves open. The next one is made while the tests run in one. PyTorch is
only installed for the interpreter that runs this script, whose version constraints.txt pins; elsewhere the tests that
need it are skipped.

A row runs the tests of what it may break, and no others; `make test` has run all of them already. Arguments: rows.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST_TOOLS = ("hypothesis", "pytest", "pytest-timeout")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Row:
    """One environment: its interpreter, what goes into it, and the tests that are run in it.

    Attributes
    ----------
    client
        The environment holds no more than `packages`, a client of the service: the tests are run by the interpreter
        that runs this script, and find the environment in the variable ``CLIENT``.
    tutorials
        The tutorials are executed in it, with all that they import, in place of tests.
    seconds
        What was spent on it, by what it was spent on.
    """

    name: str
    python: str = HERE
    packages: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("tests",)
    client: bool = False
    tutorials: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measured(self, what: str) -> Iterator[None]:
        """Record how long something takes."""
        started = time.perf_counter()
        yield
        self.seconds[what] = time.perf_counter() - started


def dependencies() -> list[str]:
    """Return what the package depends on, as pyproject.toml says it now."""
    text = (ROOT / "pyproject.toml").read_text()
    lines = text.partition("\ndependencies = [\n")[2].partition("\n]\n")[0].splitlines()
    return [line.strip(' ",') for line in lines if not line.lstrip().startswith("#")]


def floors() -> tuple[str, ...]:
    """Return every dependency of the package at the oldest version that pyproject.toml allows."""
    matches = [re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in dependencies()]
    return tuple(f"{match[1]}=={match[2]}" for match in matches if match)


def torch() -> str:
    """Return the PyTorch that is tested with: that of constraints.txt."""
    pin = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return pin[0] if pin else "torch"


CONFORMANCE = "tests/local/conformance/test_{}.py".format
#: Every module can be imported, and what parses and runs the user's code does so: in each Python of its own.
LANGUAGE = ("tests/test_exported_members.py", "tests/authoring", "tests/magics")
#: The package reads the SDK's table of images and asks it for a role; the SDK itself is a client of the service.
SDK = tuple(f"tests/hosting/test_{name}.py" for name in ("images", "plan", "deploying_to_aws", "native", "exporting"))
#: What the tutorials run in: the oldest that is promised, beside an SDK 2, and the newest, beside SDK 3.
OLDEST_JUPYTER = ("ipykernel==6.*", "jupyterlab==4.2.*", "sagemaker==2.237.0", "torch")
ROWS = (
    # An SDK 2 as old as its floor: the only one that goes with a boto3 as old as ours. Each module uses one or another
    # of the dependencies, and the oldest Python: all tests, but those that only read the source.
    Row(
        "floors",
        python="3.10",
        packages=(*floors(), "sagemaker==2.237.0"),
        tests=("tests", "--ignore=tests/test_dependencies.py"),
    ),
    Row("python3.12", python="3.12", tests=LANGUAGE),
    # The newest also has the newest of what the service and the pages are made of: event loop, SQLite, archives, XML.
    Row("python3.13", python="3.13", tests=(*LANGUAGE, "tests/display", "tests/local")),
    Row("sdk2", packages=("sagemaker>=2.237,<3", "torch"), tests=(*SDK, CONFORMANCE("sdk2"))),
    Row("sdk3", packages=("sagemaker>=3", "torch"), tests=(*SDK, CONFORMANCE("sdk3"))),
    Row("tutorials-floors", packages=(*floors(), *OLDEST_JUPYTER), tutorials=True),
    Row("tutorials-newest", packages=("sagemaker>=3", "torch"), tutorials=True),
    Row("aws-cli", packages=("awscli",), tests=(CONFORMANCE("aws_cli"),), client=True),
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


def environment(row: Row) -> Path:
    """Return where a row's environment is, or will be: what goes into it says where."""
    declared = [dependencies(), torch()] if not row.client else []
    week = date.today().isocalendar()[:2]  # noqa: DTZ011 - the week of whoever runs this
    content = repr((row.python, row.packages, row.client or str(ROOT), row.tutorials, declared, TEST_TOOLS, week))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "sm_magics-matrix" / f"{row.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def make(row: Row) -> Path | None:
    """Return a row's environment, made if it is not there; None without its interpreter."""
    python = interpreter(row.python)
    if python is None:
        return None
    wanted = environment(row)
    complete = wanted / "complete"
    if complete.exists():
        return wanted
    with row.measured("install"):
        for older in wanted.parent.glob(f"{row.name}-{'?' * 12}"):
            shutil.rmtree(older)
        subprocess.run([python, "-m", "venv", str(wanted)], check=True)
        # What is imported is compiled then: that is far less than all.
        options = ("--quiet", "--disable-pip-version-check", "--no-compile")
        install = [str(wanted / "bin" / "python"), "-m", "pip", "install", *options]
        if "torch" in row.packages:  # by itself first: a range would take the newest build, with CUDA
            subprocess.run([*install, torch()], check=True)
        own = () if row.client else (*TEST_TOOLS, "--editable", f"{ROOT}[tutorials]" if row.tutorials else str(ROOT))
        # The front end is tested by itself.
        subprocess.run([*install, *own, *row.packages], check=True, env={**os.environ, "HATCH_BUILD_NO_HOOKS": "true"})
        complete.touch()
    return wanted


#: Hypothesis imports libcst where it is, which SDK 2 brings, to say what failed: its warnings would end the whole run.
_QUIET = ("-W", "ignore:mypy_extensions.TypedDict is deprecated:DeprecationWarning")


def run(row: Row, made: Path | None) -> bool | None:
    """Run a row's tests in its environment. Return whether they pass, None without the environment."""
    if made is None:
        return None
    python = sys.executable if row.client else str(made / "bin" / "python")
    command = [python, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *_QUIET, *row.tests]
    if row.tutorials:
        command = [python, "scripts/execute_notebooks.py", "--check"]
    environ = {**os.environ, "CLIENT": str(made), "PATH": f"{made / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    with row.measured("tests"):
        return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode == 0


def main(names: list[str]) -> int:
    """Run the rows of these names, or all; print what came of each; return the exit status."""
    rows = [row for row in ROWS if not names or row.name in names]
    with ThreadPoolExecutor(1) as pool:
        making = [pool.submit(make, row) for row in rows]
        results = [run(row, made.result()) for row, made in zip(rows, making, strict=True)]
    print()
    width = max((len(row.name) for row in rows), default=0)
    outcomes = {True: "passed", False: "FAILED", None: "skipped: no such Python on this machine"}
    for row, passed in zip(rows, results, strict=True):
        spent = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in row.seconds.items())
        print(f"{row.name:{width}}  {outcomes[passed]}  {spent}")
    return int(False in results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
