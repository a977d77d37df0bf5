"""An environment with the container's own versions of Python, torch and what the code imports, made once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sm_magics.authoring.checks.imported import imported
from sm_magics.authoring.needs.distribution_names import modules_of
from sm_magics.home import home
from sm_magics.progress import Listener, Progress
from sm_magics.serving.layout import requirements_file

_LAST_LINES = 4
_SERVING = ("numpy", "sagemaker-pytorch-inference", "packaging", "platformdirs")  # what a warm process imports
_TORCH = "torch"


class NotToBeHad(Exception):  # noqa: N818 - what happened
    """No such environment can be made here. The message says why, and what to do."""


@dataclass(frozen=True)
class Built:
    """An environment that is there.

    Attributes
    ----------
    executable
        Its interpreter.
    python, torch
        The versions that it has.
    """

    executable: str
    python: str
    torch: str


def build(python: str, torch: str, packages: Mapping[str, str], model_dir: Path, listener: Listener) -> Built:
    """Return an environment like the container's, made if it is not there.

    Parameters
    ----------
    python, torch
        The container's versions.
    packages
        What else the container has: of these, what the code imports is installed, all in the container's versions.
    model_dir
        The extracted model directory, with ``code/`` and its ``requirements.txt``.
    listener
        Is told what is being installed.

    Raises
    ------
    NotToBeHad
        If there is no interpreter of that version, or something cannot be installed.
    """
    if not python or not torch:
        raise NotToBeHad("It is not known which versions the container has: --framework-version says which image.")
    minor = ".".join(python.split(".")[:2])
    base = interpreter(minor)
    if base is None:
        raise NotToBeHad(f"There is no Python {minor} on this machine: `uv python install {minor}` gets one.")
    file = requirements_file(model_dir)
    requirements = file.read_bytes() if file else b""
    wanted = [f"{_TORCH}=={torch}", *sorted(_wanted(model_dir, packages))]
    pins = "".join(f"{name}=={pin}\n" for name, pin in sorted(packages.items()) if name != _TORCH)
    digest = hashlib.sha256("\n".join([base, *wanted, pins]).encode() + requirements).hexdigest()[:16]
    directory = home() / "environments" / f"like-{digest}"
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    executable = directory / "bin" / "python"
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another notebook may be making it
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            try:
                _make(directory, base, wanted, pins, file=file, listener=listener)
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
            (directory / "complete").touch()
    said = json.loads(_output([str(executable), "-c", _DESCRIBE]))
    return Built(str(executable), said["python"], said["torch"])


_DESCRIBE = (
    "import json, platform; from importlib.metadata import version; "
    "print(json.dumps({'python': platform.python_version(), 'torch': version('torch')}))"
)


def interpreter(minor: str) -> str | None:
    """Return an interpreter of a version such as ``3.12`` that runs, None if the machine has none."""
    uv = shutil.which("uv")
    found: list[str | None] = []
    if uv:
        with suppress(NotToBeHad):
            found.append(_output([uv, "python", "find", "--no-python-downloads", minor]).strip())
    found.append(shutil.which(f"python{minor}"))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found += map(str, sorted(pyenv.glob(f"versions/{minor}.*/bin/python{minor}")))
    for one in filter(None, found):
        with suppress(NotToBeHad):  # a launcher for a version that is not there
            said = _output([one, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"])
            version, _, executable = said.strip().partition(" ")
            if version == minor:
                return executable
    return None


def _make(directory: Path, base: str, wanted: list[str], pins: str, *, file: Path | None, listener: Listener) -> None:
    listener(Progress("Install", note=f"{wanted[0]} for Python"))
    uv = shutil.which("uv")
    executable = str(directory / "bin" / "python")
    if uv:
        _output([uv, "venv", "--quiet", "--python", base, str(directory)])
        command = [uv, "pip", "install", "--python", executable]
    else:
        _output([base, "-m", "venv", str(directory)])
        command = [executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    constraints = directory / "constraints.txt"
    constraints.write_text(pins)
    _install([*command, "--constraint", str(constraints), *wanted], listener)
    if file is not None:  # what the package asks for wins over what the image has, as in the container
        _install([*command, "--requirement", str(file)], listener)
    purelib = _output([executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
    # The model server itself, and nothing else of where it is installed.
    (Path(purelib) / "sm_magics").symlink_to(Path(__file__).parents[2], target_is_directory=True)


def _install(command: list[str], listener: Listener) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.strip())
                listener(Progress("Install", note=lines[-1][:80]))
        except BaseException:
            process.kill()  # Ctrl-C leaves nothing running
            raise
    if process.returncode:
        said = " ".join(line for line in lines[-_LAST_LINES:] if line)
        raise NotToBeHad(f"The container's packages cannot be installed here: {said}")


def _output(command: list[str]) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    except OSError as error:
        raise NotToBeHad(f"{command[0]} does not run: {error.strerror or error}.") from error
    if done.returncode:
        raise NotToBeHad(f"{command[0]} does not run: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _wanted(model_dir: Path, packages: Mapping[str, str]) -> Iterator[str]:
    """Yield what is installed besides torch: what the model server needs, and what the code imports of the image."""
    yield from _SERVING
    code = model_dir / "code"
    files = [path.relative_to(code).as_posix() for path in code.rglob("*.py")]
    modules = {one.top for one in imported(code, files)}
    skipped = {_TORCH, *_SERVING}
    yield from (name for name in packages if name not in skipped and modules.intersection(modules_of(name)))
