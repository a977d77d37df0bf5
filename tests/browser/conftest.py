"""JupyterLab in a browser: one server, one Chromium and one local service for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from lab_driver import PATIENCE, Lab, Notebook, browser, chromium
from playwright.sync_api import Browser, expect

expect.set_options(timeout=PATIENCE * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("browser")


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
    """Write a notebook with the given cells and open it; asserts at the end that the browser had nothing to say."""
    opened: list[Notebook] = []

    def write_and_open(*cells: str, **options) -> Notebook:
        name = f"{request.node.name.removeprefix('test_')[:60]}_{len(opened)}.ipynb"
        notebook = Notebook.open(a_browser, lab, lab.write(name, cells), **options)
        opened.append(notebook)
        return notebook

    yield write_and_open
    for notebook in opened:
        notebook.command("kernelmenu:shutdown")
        notebook.page.close()
        notebook.assert_quiet()
