"""What users install: the wheel and the sdist, without Node, into a clean environment, where Jupyter finds all of it.

The environment's other packages are the development environment's, by a path; ours come from the archive alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import tarfile
import time
import urllib.error
import urllib.request
import venv
import zipfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "sm_magics" / "labextension" / "static" / "style.js"
PATIENCE = 120.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BUILT.exists(), reason="the front end is not built: make frontend"),
]


def run(*command: str | Path, **more) -> str:
    # Not where the tests run: Python would find the sources there.
    here = {"cwd": Path(command[0]).parent if "/" in str(command[0]) else ROOT, **more}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=600, **here
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The wheel and the sdist, built from a copy of the sources as git has them, with the front end as it is built."""
    source = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.splitlines():
        if name.startswith(("sm_magics/", "labextension/", "jupyter-config/")) or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    shutil.copytree(BUILT.parents[1], source / "sm_magics" / "labextension")
    builder = source.parent / "builder"
    venv.create(builder, with_pip=True)
    python = builder / "bin" / "python"
    constraints = source / "constraints.txt"
    tools = ["hatchling", "hatch-jupyter-builder", "jupyter-builder"]
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints, *tools)
    dist = source.parent / "dist"
    run(python, "-m", "hatchling", "build", "-d", dist, cwd=source, env=without_node(builder))
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def without_node(environment: Path) -> dict[str, str]:
    """Return variables under which nothing but an environment's own programs is found."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "PIP_INDEX_URL") if name in os.environ}
    return {**kept, "PATH": str(environment / "bin")}


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request, archives, tmp_path_factory):
    """The Python of an environment with the archive installed, and the variables to run it with."""
    environment = tmp_path_factory.mktemp(request.param) / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    variables = without_node(environment)
    archive = archives[request.param]
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", archive, env=variables)
    # A path in a .pth file is searched last, and the .pth files in it are not read: not ours in development.
    (site / "development.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME"):
        variables[name] = str(environment.parent / name.lower())
        Path(variables[name]).mkdir(exist_ok=True)
    home = Path(run(python, "-c", "import sm_magics; print(sm_magics.__file__)", env=variables).strip())
    assert home.is_relative_to(site)
    return python, variables


def test_jupyterlab_finds_the_extension(installed):
    python, variables = installed
    said = run(python, "-c", "from jupyterlab.labextensions import main; main()", "list", env=variables)
    [line] = [line for line in said.splitlines() if "sm-magics" in line]
    assert f"v{version('sm-magics')}" in line
    assert "enabled" in line
    assert "OK" in line
    assert "X" not in line.replace("sm-magics", "")


def test_the_jupyter_server_finds_the_routes(installed):
    python, variables = installed
    said = run(python, "-m", "jupyter_server.extension.serverextension", "list", env=variables)
    assert "sm_magics" in said
    after = said[said.index("sm_magics") :]
    assert "enabled" in after.splitlines()[0]
    assert f"sm_magics {version('sm-magics')}" in said.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "OK" in after


def test_a_server_that_is_just_started_answers(installed, tmp_path):
    python, variables = installed
    runtime = Path(variables["JUPYTER_RUNTIME_DIR"])
    log = tmp_path / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [python, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0", "--ServerApp.base_url=/a/b"],
            env={**variables, "SM_MAGICS_HOME": str(tmp_path / "h")},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        told = _told(server, runtime, log)
        request = urllib.request.Request(
            f"{told['url']}sm-magics/status?aws=false", headers={"Authorization": f"token {told['token']}"}
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    status = json.load(answer)
                break
            except urllib.error.URLError as error:  # it has said where it will listen, and does not yet
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                    raise
        assert status["version"] == status["installed"] == version("sm-magics")
        assert status["local"]["running"] is False
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _told(server, runtime: Path, log: Path) -> dict[str, str]:
    """Return where the server says it is."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        for path in runtime.glob(f"jpserver-{server.pid}.json"):
            with suppress(ValueError):  # being written
                return json.loads(path.read_text())
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_the_wheel_has_the_front_end_once_and_nothing_that_builds_it(archives):
    names = zipfile.ZipFile(archives["wheel"]).namelist()
    shared = [name for name in names if "/share/jupyter/labextensions/sm-magics/" in name]
    assert {name.rpartition("/")[2] for name in shared} >= {"package.json", "install.json", "style.js"}
    assert [name for name in names if name.endswith("etc/jupyter/jupyter_server_config.d/sm_magics.json")]
    assert not [name for name in names if "node_modules" in name or name.endswith((".ts", ".tsx", "hatch_build.py"))]
    entries = [name for name in names if "remoteEntry" in name]
    assert len(entries) == 1


def test_the_sdist_has_what_builds_the_front_end_and_the_front_end(archives):
    with tarfile.open(archives["sdist"]) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    for name in ("labextension/src/index.ts", "labextension/yarn.lock", "sm_magics/labextension/static/style.js"):
        assert name in names
    assert not [name for name in names if "node_modules" in name or ".yarn/" in name]
    assert archives["sdist"].stat().st_size < 5 << 20
