"""The JupyterLab extension as its wheel brings it: in the oldest JupyterLab it promises, and in Notebook 7.

Each has an environment of its own, kept outside the repository and made anew when what goes into it changes. Its server
asks the same SageMaker on this machine as the notebook of the development environment that deploys.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab_driver import PATIENCE, Lab, Notebook
from panel_driver import Panel, pack
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "sm_magics" / "labextension"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def environment(name: str, *packages: str) -> Path:
    """Return the Python of an environment with these packages and our wheel."""
    parts = [*sorted((ROOT / "sm_magics").rglob("*.py")), *sorted(BUILT.rglob("*")), ROOT / "pyproject.toml"]
    content = hashlib.sha256(repr((sys.version_info, packages)).encode())
    for path in parts:
        content.update(path.read_bytes() if path.is_file() else b"")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sm_magics-matrix"
    cache.mkdir(parents=True, exist_ok=True)
    wanted = cache / f"{name}-lab"
    stamp = wanted / "complete"
    with (cache / f"{name}-lab.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != content.hexdigest():
            shutil.rmtree(wanted, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", wanted], check=True)
            install = [wanted / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*install, *packages, ROOT], check=True, timeout=1200)
            stamp.write_text(content.hexdigest())
    return wanted / "bin" / "python"


@pytest.fixture
def elsewhere(tmp_path, machine_home):
    """Start a server of an environment."""
    (tmp_path / "notebooks").mkdir()
    environ = {"SM_MAGICS_HOME": str(machine_home.home)}

    def start(python: Path, app: str = "jupyterlab"):
        return Lab.start(tmp_path / "notebooks", environ, python=python, app=app)

    return start


def test_jupyterlab_4_2(a_browser, open_notebook, lab, elsewhere):
    python = environment("jupyterlab4.2", "jupyterlab==4.2.*")
    deploying = open_notebook("%load_ext sm_magics", f"%sm_deploy {pack(lab.root, 'old.tar.gz')} -e in-the-old")
    deploying.run_all()
    with elsewhere(python) as old:
        notebook = Notebook.open(a_browser, old, old.write("old.ipynb", ["1 + 1"]))
        panel = Panel.show(notebook)
        row = panel.opened("in-the-old")
        row.get_by_role("button", name="Predict").click()
        row.get_by_label("Payload for in-the-old").fill("[1]")
        row.get_by_role("button", name="Send").click()
        expect(row.locator(".jp-SmMagics-answer pre")).to_have_text("[2]")
        row.get_by_role("button", name="Copy snippet").click()
        notebook.page.get_by_text("boto3 into the notebook").click()
        expect(notebook.page.locator(".jp-Cell.jp-mod-active .cm-content")).to_contain_text("boto3")
        notebook.command("sm-magics:insert-handlers")
        expect(notebook.page.locator(".jp-SmMagics-badge")).to_contain_text("code/inference.py")
        notebook.theme("dark")
        panel.delete("in-the-old")
        notebook.close()
        assert not [said for said in notebook.complaints if "sm-magics" in said]


def test_notebook_7(a_browser, elsewhere):
    python = environment("notebook7", "notebook>=7.2,<8")
    with elsewhere(python, "notebook") as server:
        name = server.write("seven.ipynb", ["%%sm_inference\ndef model_fn(model_dir):\n    return None"])
        page = a_browser.new_context(viewport={"width": 1300, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{server.url}/notebooks/{name}?token={server.token}")
        expect(page.locator(".jp-SmMagics-badge")).to_contain_text("code/inference.py")
        page.evaluate("window.jupyterapp.commands.execute('sm-magics:show')")
        node = page.get_by_role("region", name="SageMaker", exact=True)
        expect(node.get_by_role("region", name="This machine")).to_be_visible()
        button = page.locator("[data-jp-item-name='sm-magics']").get_by_role("button")
        button.click()
        expect(page.get_by_role("dialog")).to_contain_text("Package and deploy")
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        page.context.close()
        server.shut_down(name)
