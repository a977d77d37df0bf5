"""A notebook that runs cells, and a clean process that loads what was packaged from it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sm_magics.packaging import Package, package

LOADER = Path(__file__).with_name("loader.py")


class Notebook:
    """Cells run in a real InteractiveShell, so that its classes live in a `__main__` of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))

    def run(self, cell: str) -> None:
        self.shell.run_cell(cell, store_history=True).raise_error()

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def package(self, model: Any, **options: Any) -> Package:
        options.setdefault("model_dir", self.directory)
        cells = list(self.shell.history_manager.input_hist_parsed)
        return package(model, cells=cells, namespace=self.shell.user_ns, **options)


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    directory = tmp_path / "notebook"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    made = Notebook(directory)
    made.run("import torch\nfrom torch import nn")
    yield made
    for name in [name for name, module in sys.modules.items() if _is_below(module, directory)]:
        del sys.modules[name]


def _is_below(module: Any, directory: Path) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(str(directory))


class FreshProcess:
    """A process that has imported torch and nothing of ours, and forks one for each archive that it opens."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-I", LOADER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def predict(self, archive: Path, *inputs: Any) -> Any:
        """Extract an archive into an empty directory, load it by its own model_fn and return its answer."""
        number = len(list(self._directory.iterdir()))
        model_dir = self._directory / f"model{number}"
        model_dir.mkdir()
        with tarfile.open(archive) as tar:
            tar.extractall(model_dir, filter="data")
        torch.save(inputs, model_dir.with_suffix(".in"))
        request = {"model_dir": str(model_dir), "result": str(model_dir.with_suffix(".out"))}
        assert self._process.stdin
        assert self._process.stdout
        print(
            json.dumps({**request, "inputs": str(model_dir.with_suffix(".in"))}), file=self._process.stdin, flush=True
        )
        answer = json.loads(self._process.stdout.readline())
        assert answer["error"] == "", answer["error"]
        return torch.load(request["result"], weights_only=False)

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="session")
def fresh_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshProcess]:
    process = FreshProcess(tmp_path_factory.mktemp("fresh"))
    yield process
    process.close()
