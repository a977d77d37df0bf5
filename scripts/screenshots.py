"""Run notebooks in JupyterLab and take pictures of every cell's outputs, light and dark, into screenshots/.

Arguments: notebooks; default: all tutorials. They run on SageMaker on this machine, in a state directory of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "tests" / "browser"))

from lab_driver import Lab, Notebook, browser  # noqa: E402

TARGET = PROJECT / "screenshots"


def main(paths: list[Path]) -> None:
    """Take the pictures."""
    TARGET.mkdir(exist_ok=True)
    home, root = (Path(tempfile.mkdtemp(prefix="sm", dir="/tmp")) for _ in range(2))
    try:
        with browser() as chromium, Lab.start(root, {"SM_MAGICS_HOME": str(home)}) as lab:
            for path in paths:
                shutil.copy(path, root)
                notebook = Notebook.open(chromium, lab, path.name)
                notebook.command("application:toggle-left-area")
                notebook.run_all()
                for theme in ("light", "dark"):
                    notebook.theme(theme)
                    _shoot(notebook, f"{path.stem}-{theme}")
                notebook.command("kernelmenu:shutdown")
                notebook.page.close()
    finally:
        stop = [sys.executable, "-m", "sm_magics.local", "stop"]
        subprocess.run(stop, env={**os.environ, "SM_MAGICS_HOME": str(home)}, check=False)
        for directory in (home, root):
            shutil.rmtree(directory, ignore_errors=True)


def _shoot(notebook: Notebook, name: str) -> None:
    count = notebook.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")
    for index in range(count):
        outputs = notebook.outputs(index)
        if outputs.count() and outputs.is_visible() and outputs.inner_text().strip():
            outputs.screenshot(path=TARGET / f"{name}-{index:02}.png")
    print(f"{name}: {len(list(TARGET.glob(f'{name}-*.png')))} pictures in {TARGET.name}/")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted((PROJECT / "notebooks").glob("*.ipynb")))
