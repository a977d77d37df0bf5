"""JupyterLab in a browser: one server, one Chromium and one local service for all tests.

Each test has notebooks of its own, and each notebook its own page, cookies, workspace and kernel, so that one that
fails leaves nothing to the next.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from lab_driver import PATIENCE, Lab, Notebook, browser, chromium
from playwright.sync_api import Browser, Error, expect

expect.set_options(timeout=PATIENCE * 1000)

_MOST = 600
"""Seconds of a test on a machine that is busy with other things."""

_WRITTEN = ("code", ".sm_magics.json", "model.pth", "model.tar.gz")
"""What the magics write beside a notebook."""

_FAILURES = Path(__file__).parents[2] / "build" / "browser"
"""Where the pages of tests that failed are pictured."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("browser")
            item.add_marker(pytest.mark.timeout(_MOST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[_HAS_FAILED] = report.failed
    return report


_HAS_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def a_browser() -> Iterator[Browser]:
    if chromium() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs Chromium: python scripts/chromium.py")
    with browser() as running:
        yield running


@pytest.fixture(scope="session")
def lab(machine_home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.start(tmp_path_factory.mktemp("notebooks"), {"SM_MAGICS_HOME": str(machine_home.home)}) as running:
        yield running


@pytest.fixture
def open_notebook(a_browser: Browser, lab: Lab, request) -> Iterator[Callable[..., Notebook]]:
    """Write a notebook with the given cells and open it, or one that is there by its name.

    Asserts at the end that the browser had nothing to say.
    """
    opened: list[Notebook] = []

    def write_and_open(*cells: str, name: str = "", **options) -> Notebook:
        if not name:
            name = lab.write(f"{request.node.name.removeprefix('test_')[:60]}_{len(opened)}.ipynb", cells)
        notebook = Notebook.open(a_browser, lab, name, **options)
        opened.append(notebook)
        return notebook

    yield write_and_open
    has_failed = request.node.stash.get(_HAS_FAILED, False)
    for notebook in opened:
        if has_failed:
            _FAILURES.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(Error):
                notebook.page.screenshot(path=_FAILURES / f"{Path(notebook.name).stem}.png", timeout=10_000)
        notebook.close()
    for name in _WRITTEN:  # by another notebook, which the next one would not be allowed to replace
        path = lab.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if not has_failed:
        for notebook in opened:
            notebook.assert_quiet()
