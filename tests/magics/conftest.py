"""A real shell per test: nothing of one test is seen by another, nothing of the user's is touched."""

from __future__ import annotations

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class Notebook:
    """A shell with the extension loaded, and what each cell shows."""

    def __init__(self) -> None:
        self.shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
        self.shell.display_pub = CapturingDisplayPublisher()
        self.shell.run_line_magic("load_ext", "sm_magics")

    @property
    def session(self):
        return self.shell.sm_magics_session

    @property
    def namespace(self):
        return self.shell.user_ns

    def run(self, cell: str):
        """Run a cell; return IPython's record of it. `shown` then holds what it displayed."""
        self.shell.display_pub.outputs.clear()
        return self.shell.run_cell(cell, store_history=True)

    def raised(self, cell: str) -> BaseException:
        """Run a cell that must fail; return what it raised."""
        result = self.run(cell)
        error = result.error_before_exec or result.error_in_exec
        assert error is not None, f"raised nothing: {cell}"
        return error

    def succeed(self, cell: str):
        """Run a cell that must not fail; return its value."""
        result = self.run(cell)
        result.raise_error()
        return result.result

    @property
    def shown(self) -> list[dict]:
        """The MIME bundles that the last cell displayed, besides its value."""
        return [output["data"] for output in self.shell.display_pub.outputs]

    @property
    def text(self) -> str:
        return "\n".join(bundle.get("text/plain", "") for bundle in self.shown)


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    made = Notebook()
    yield made
    made.shell.run_line_magic("unload_ext", "sm_magics")
    made.namespace.clear()  # what the cells made goes with the test
