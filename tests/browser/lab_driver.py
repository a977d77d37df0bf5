"""A real JupyterLab with real kernels, driven through a headless Chromium as its user would."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, sync_playwright

PATIENCE = 120.0  # seconds: no test waits so long unless something is wrong
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without these it asks hosts outside for updates, variations and certificates.
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
# JupyterLab's own, whatever is installed beside it.
_NOT_OURS = (
    "Failed to load resource: the server responded with a status of 404",
    "jupyterlab-splash",
    "widget model not found",  # ipywidgets, of a card whose kernel has gone
)


def chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    return next((path for name in _CHROMIUM if (path := shutil.which(name))), None)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Start a headless Chromium."""
    path = chromium()
    assert path is not None, "no Chromium: python scripts/chromium.py installs it where it can"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=_QUIET)
        try:
            yield running
        finally:
            running.close()


@dataclass
class Lab:
    """A running JupyterLab server.

    Attributes
    ----------
    url
        Its address, with the base URL, without a slash at the end.
    token
        What a browser has to show.
    root
        The directory that it serves.
    """

    url: str
    token: str
    root: Path

    @classmethod
    @contextlib.contextmanager
    def start(cls, root: Path, environ: dict[str, str], base_url: str = "/") -> Iterator[Lab]:
        """Start one that serves a directory, with no settings, workspaces or kernels of anybody's."""
        state = Path(tempfile.mkdtemp(prefix="lab", dir="/tmp"))
        notification = state / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        notification.parent.mkdir(parents=True)
        notification.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        environ = {**os.environ, **environ, **{name: str(state / folder) for name, folder in folders.items()}}
        port, token = _free_port(), secrets.token_hex(16)
        arguments = [
            *("--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"),
            *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}", f"--ServerApp.base_url={base_url}"),
            *("--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={root}"),
        ]
        with (state / "log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *arguments], env=environ, stdout=log, stderr=log
            )
        lab = cls(f"http://127.0.0.1:{port}{base_url.rstrip('/')}", token, root)
        try:
            lab._wait_until_it_answers(server, state / "log")
            yield lab
        finally:
            server.terminate()
            try:
                server.wait(PATIENCE / 4)
            except subprocess.TimeoutExpired:  # it waits for a kernel that has gone already
                server.kill()
                server.wait(PATIENCE)
            shutil.rmtree(state, ignore_errors=True)

    def _wait_until_it_answers(self, server: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{self.url}/api?token={self.token}", timeout=5)
                return
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    def write(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook with these code cells; return its name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.root / name)
        return name


@dataclass
class Notebook:
    """A notebook that is open in a page.

    Attributes
    ----------
    page
        The page, for whatever has no method here.
    left
        Requests that left this machine. A test asserts that there are none.
    complaints
        Errors in the browser's console.
    """

    page: Page
    left: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser, lab: Lab, name: str, *, width: int = 1100, height: int = 1000) -> Notebook:
        """Open it and wait until its kernel answers."""
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE * 1000)
        self = cls(page)
        page.on("request", self._note_request)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}")
        self.ready()
        return self

    def ready(self) -> None:
        """Wait until JupyterLab is drawn and the kernel answers."""
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self.page.evaluate(
            "async () => { const panel = window.jupyterapp.shell.currentWidget;"
            " await panel.sessionContext.ready; await panel.sessionContext.session.kernel.info; }"
        )

    def command(self, name: str, **arguments: object) -> None:
        """Run one of JupyterLab's commands."""
        self.page.evaluate("([name, args]) => window.jupyterapp.commands.execute(name, args)", [name, arguments])

    def run(self, index: int) -> Locator:
        """Run one cell, without waiting for it; return its outputs."""
        self.page.evaluate(
            "index => { const notebook = window.jupyterapp.shell.currentWidget.content;"
            " notebook.activeCellIndex = index; notebook.deselectAll();"
            " window.jupyterapp.commands.execute('notebook:run-cell'); }",  # its promise ends with the cell
            index,
        )
        return self.outputs(index)

    def run_all(self) -> None:
        """Run all cells and wait until the last has been run, or one has failed."""
        self.command("notebook:run-all-cells")
        self.page.wait_for_function(
            """() => {
                const {content, sessionContext} = window.jupyterapp.shell.currentWidget;
                const cells = Array.from(content.model.cells)
                    .filter(cell => cell.type === 'code' && cell.sharedModel.source.trim());
                const failed = cells.some(cell => cell.sharedModel.outputs.some(o => o.output_type === 'error'));
                const done = cells.every(cell => cell.executionCount !== null);
                return (failed || done) && sessionContext.session.kernel.status === 'idle';
            }"""
        )

    def outputs(self, index: int) -> Locator:
        """Return the outputs of a cell, scrolled into view: JupyterLab draws only what is in sight."""
        self.page.evaluate(
            "index => window.jupyterapp.shell.currentWidget.content.scrollToItem(index, 'center')", index
        )
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{index}'] .jp-OutputArea").first

    def restart(self) -> None:
        """Restart the kernel and wait until it answers."""
        self.page.evaluate(
            "async () => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;"
            " await kernel.restart(); await kernel.info; }"
        )

    def reload(self) -> None:
        """Load the page again, as after closing the browser, and wait until the notebook is there."""
        self.page.reload()
        self.ready()

    def theme(self, name: str) -> None:
        """Switch to the light or the dark theme and wait until it is there."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name.capitalize()}")
        self.page.wait_for_selector(f"body[data-jp-theme-light='{str(name == 'light').lower()}']", state="attached")

    def assert_quiet(self) -> None:
        """Assert that nothing left this machine and that the browser has no error to report."""
        assert not self.left, self.left
        assert not self.complaints, self.complaints

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.hostname not in {"127.0.0.1", "localhost"}:
            self.left.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(known in message.text for known in _NOT_OURS):
            self.complaints.append(message.text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
