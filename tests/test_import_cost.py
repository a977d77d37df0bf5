"""``%load_ext sm_magics`` costs next to nothing: what is heavy loads when it is first needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["boto3", "botocore", "sagemaker", "torch", "numpy", "ipywidgets", "libcst", "pyflakes", "uvloop"]

LOADED = """
import json, sys
{code}
heavy = {heavy!r}
print(json.dumps([name for name in heavy if name in sys.modules]))
"""

LOAD = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
before = set(sys.modules)
shell.run_line_magic("load_ext", "sm_magics")
assert "sm_deploy" in shell.magics_manager.magics["line"]
"""

COMPLETE = """
from IPython.core.completer import provisionalcompleter
with provisionalcompleter():
    for line in ("%sm_deploy --", "%sm_deploy --instance-type ml.", "%sm_package ", "%sm_deploy "):
        assert list(shell.Completer.completions(line, len(line))) or line.endswith(" ")
shell.run_cell("%sm_deploy?")
"""


def loaded(code: str, tmp_path) -> list[str]:
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path),
        "SM_MAGICS_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", LOADED.format(code=code, heavy=HEAVY)],
        check=False,
        capture_output=True,
        text=True,
        env=environ,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("code", ["import sm_magics", LOAD])
def test_nothing_heavy_is_imported_by(code, tmp_path):
    assert loaded(code, tmp_path) == []


def test_tab_and_help_load_no_torch_and_no_sdk(tmp_path):
    assert not {"torch", "sagemaker", "ipywidgets", "libcst"} & set(loaded(LOAD + COMPLETE, tmp_path))


def test_hosting_and_display_load_neither_torch_nor_the_sdk(tmp_path):
    code = "import sm_magics.hosting, sm_magics.display.render, sm_magics.display.answers, sm_magics.packaging"
    assert not {"torch", "sagemaker", "ipywidgets", "numpy"} & set(loaded(code, tmp_path))
