"""A virtual environment on top of an interpreter's own packages, with what a requirements file asks for besides.

It lies in the state directory and is made once for each content of the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from sm_magics.home import home

from .requirements import RequirementsFailed

_LAST_LINES = 20
# What a new environment does not see by itself: packages of a virtual environment, and those of the user alone.
_DESCRIBE = (
    "import json, sys, sysconfig; "
    "packages = [path for path in sys.path if path.endswith(('site-packages', 'dist-packages'))]; "
    "print(json.dumps([sys.version, sysconfig.get_path('purelib'), packages]))"
)


def install(file: Path, python: str, log: Callable[[str], None]) -> str:
    """Return the interpreter of an environment that meets the requirements, made if it is not there.

    Parameters
    ----------
    file
        A requirements file. A change to it makes a new environment; one to a file that it includes does not.
    python
        The interpreter to build on. Its packages are seen, not changed.
    log
        Gets what pip prints, line by line.

    Raises
    ------
    RequirementsFailed
        If pip fails. What it said last is in the message.
    """
    description = _output([python, "-c", _DESCRIBE])
    digest = hashlib.sha256(description.encode() + file.read_bytes()).hexdigest()[:16]
    directory = home() / "environments" / digest
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    executable = directory / "bin" / "python"
    complete = directory / "complete"
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another server may be making it
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)
            log(f"Installing {file} into {directory}.")
            layer(directory, python)
            _pip(executable, file, python, log)
            complete.touch()
    return str(executable)


def layer(directory: Path, python: str) -> str:
    """Make a virtual environment that sees all packages of an interpreter, and return its own interpreter.

    What pip installs there leaves the interpreter's own packages alone.

    Raises
    ------
    RequirementsFailed
        If the interpreter does not run, or cannot make one.
    """
    below = json.loads(_output([python, "-c", _DESCRIBE]))[2]
    _output([python, "-m", "venv", "--without-pip", str(directory)])
    executable = directory / "bin" / "python"
    own = Path(json.loads(_output([str(executable), "-c", _DESCRIBE]))[1])
    # With their own .pth files, which a mere path would not have.
    (own / "below.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in below))
    return str(executable)


def _pip(executable: Path, file: Path, python: str, log: Callable[[str], None]) -> None:
    # The pip that is installed below, run by the new interpreter: it sees what is there and leaves it alone.
    command = [str(executable), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(file)]
    lines = []
    with subprocess.Popen(
        command, cwd=file.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout or ():
            lines.append(line.rstrip())
            log(lines[-1])
    if pip.returncode:
        said = "\n".join(lines[-_LAST_LINES:])
        raise RequirementsFailed(f"pip could not install {file} on top of {python}.\n{said}")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    if done.returncode:
        raise RequirementsFailed(f"{command[0]} does not run: {(done.stderr or done.stdout).strip()}")
    return done.stdout
