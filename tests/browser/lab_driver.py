"""A real JupyterLab with real kernels, driven through a headless Chromium as its user would.

`Lab.start` is the server, `Notebook.open` a notebook in a page of its own::

    with browser() as chromium, Lab.start(folder, environ) as lab:
        notebook = Notebook.open(chromium, lab, lab.write("a.ipynb", ["1 + 1"]))
        notebook.run_all()
        expect(notebook.outputs(0)).to_contain_text("2")
        notebook.close()
        notebook.assert_quiet()
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
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
from typing import Any
from urllib.parse import urlsplit

import complaints
import nbformat
import psutil
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, Request, sync_playwright

PATIENCE = 120.0  # seconds: no test waits so long unless something is wrong
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without these it asks hosts outside for updates, variations and certificates.
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
# The notebook's panel, whatever else is open in the main area.
_PANEL = """const app = window.jupyterapp;
const panel = Array.from(app.shell.widgets('main')).find(one => one.context?.path === path);"""


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
    def start(
        cls,
        root: Path,
        environ: dict[str, str],
        base_url: str = "/",
        *,
        python: str | Path = sys.executable,
        app: str = "jupyterlab",
        again: Lab | None = None,
    ) -> Iterator[Lab]:
        """Start one that serves a directory, with no settings, workspaces or kernels of anybody's.

        Parameters
        ----------
        python
            The interpreter whose JupyterLab it is.
        app
            ``jupyterlab``, or ``notebook`` for Notebook 7.
        again
            One that was ended: this one takes its place, at the same address.
        """
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
        port = int(urlsplit(again.url).port or 0) if again else _free_port()
        token = again.token if again else secrets.token_hex(16)
        exposing = {"jupyterlab": "LabApp", "notebook": "JupyterNotebookApp"}[app]
        arguments = [
            *("--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"),
            *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}", f"--ServerApp.base_url={base_url}"),
            *(f"--{exposing}.expose_app_in_browser=True", f"--ServerApp.root_dir={root}"),
        ]
        with (state / "log").open("w") as log:
            server = subprocess.Popen(
                [str(python), "-m", app, *arguments],
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        lab = cls(f"http://127.0.0.1:{port}{base_url.rstrip('/')}", token, root)
        try:
            lab._wait_until_it_answers(server, state / "log")
            yield lab
        finally:
            _end(server)
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

    def ask(self, method: str, path: str) -> Any:
        """Return what the server's REST API answers: ``lab.ask("GET", "api/kernels")``."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE / 4) as answer:
            return json.loads(answer.read() or b"null")

    def shut_down(self, name: str) -> None:
        """Shut down the kernels of a notebook, busy or not."""
        for session in self.ask("GET", "api/sessions"):
            if session["path"] == name:
                self.ask("DELETE", f"api/sessions/{session['id']}")

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
    name
        The notebook's file, in the server's directory.
    left
        Requests that left this machine. A test asserts that there are none.
    complaints
        Errors in the browser's console that are ours.
    """

    page: Page
    lab: Lab
    name: str
    left: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls, browser: Browser, lab: Lab, name: str, *, width: int = 1100, height: int = 1000, scale: int = 1
    ) -> Notebook:
        """Open it, with a workspace of its own, and wait until its kernel answers.

        Parameters
        ----------
        width, height
            The window's size, in pixels of CSS.
        scale
            How many of a picture's pixels are one of CSS.
        """
        page = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale).new_page()
        page.set_default_timeout(PATIENCE * 1000)
        self = cls(page, lab, name)
        page.on("request", self._note_request)
        page.on("console", self._note_console)
        page.on("pageerror", self._note_error)
        page.goto(f"{lab.url}/lab/workspaces/{Path(name).stem}/tree/{name}?token={lab.token}&reset")
        self.ready()
        return self

    def close(self) -> None:
        """Close the page and shut the kernel down, whatever either is doing."""
        with contextlib.suppress(Error):
            self.page.context.close()
        self.lab.shut_down(self.name)

    def ready(self, *, has_kernel: bool = True) -> None:
        """Wait until JupyterLab is drawn and the kernel answers.

        Parameters
        ----------
        has_kernel
            Not to wait for the kernel: it is busy, or there is none.
        """
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        if has_kernel:
            self._wait_for_kernel()

    def _wait_for_kernel(self, before: str = "") -> None:
        """Wait until the kernel answers, after a script: JupyterLab drops what it is told to run before."""
        self.evaluate(
            f"""window.smIsReady = false;
            const later = time => new Promise(done => setTimeout(done, time));
            await panel.sessionContext.ready;
            {before}
            while (!window.smIsReady) {{
                // One that is just being connected forgets what it is asked, or calls it off.
                const kernel = panel.sessionContext.session?.kernel;
                const asked = kernel ? kernel.requestKernelInfo().catch(() => later(100)) : later(100);
                window.smIsReady = Boolean(await Promise.race([asked, later(10000)]));
            }}""",
            waits=False,
        )
        self.page.wait_for_function("window.smIsReady")

    def evaluate(self, script: str, argument: object = None, *, waits: bool = True) -> Any:
        """Return what a script in the page returns; it finds ``app``, the notebook's ``panel`` and ``argument``.

        Parameters
        ----------
        waits
            Whether it is waited for. Nothing limits the time of a script that never ends.
        """
        body = f"([path, argument]) => {{ {_PANEL} const run = async () => {{ {script} }};"
        return self.page.evaluate(f"{body} {'return run();' if waits else 'run();'} }}", [self.name, argument])

    def command(self, name: str, **arguments: object) -> None:
        """Run one of JupyterLab's commands."""
        self.evaluate("await app.commands.execute(...argument);", [name, arguments])

    def run(self, index: int) -> Locator:
        """Run one cell, without waiting for it; return its outputs."""
        self.evaluate(
            "app.shell.activateById(panel.id); panel.content.activeCellIndex = argument; panel.content.deselectAll();"
            " app.commands.execute('notebook:run-cell');",  # its promise ends with the cell
            index,
        )
        return self.outputs(index)

    def run_all(self) -> None:
        """Run all cells and wait until the last has been run, or one has failed."""
        self.evaluate("app.shell.activateById(panel.id); app.commands.execute('notebook:run-all-cells');")
        self.page.wait_for_function(
            f"""path => {{
                {_PANEL}
                const cells = Array.from(panel.content.model.cells)
                    .filter(cell => cell.type === 'code' && cell.sharedModel.source.trim());
                const failed = cells.some(cell => cell.sharedModel.outputs.some(o => o.output_type === 'error'));
                const done = cells.every(cell => cell.executionCount !== null);
                return (failed || done) && panel.sessionContext.session.kernel.status === 'idle';
            }}""",
            arg=self.name,
        )

    def outputs(self, index: int) -> Locator:
        """Return the outputs of a cell, scrolled into view: JupyterLab draws only what is in sight."""
        self.evaluate("panel.content.scrollToItem(argument, 'center');", index)
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{index}'] .jp-OutputArea").first

    def restart(self) -> None:
        """Restart the kernel and wait until it answers."""
        self._wait_for_kernel("await panel.sessionContext.session.kernel.restart();")

    def reload(self, *, has_kernel: bool = True) -> None:
        """Load the page again, as after closing the browser, and wait until the notebook is there."""
        self.page.reload()
        self.ready(has_kernel=has_kernel)

    def theme(self, name: str) -> None:
        """Switch to the light or the dark theme and wait until it is there. The server keeps it for all pages."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name.capitalize()}")
        self.page.wait_for_selector(f"body[data-jp-theme-light='{str(name == 'light').lower()}']", state="attached")

    def assert_quiet(self) -> None:
        """Assert that nothing left this machine and that the browser has no error of ours to report."""
        assert not self.left, self.left
        assert not self.complaints, "\n\n".join(self.complaints)

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.hostname not in {"127.0.0.1", "localhost"}:
            self.left.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        self.complaints += filter(None, [complaints.of_console(message)])

    def _note_error(self, error: Error) -> None:
        self.complaints += filter(None, [complaints.of_page(error)])


def _end(server: subprocess.Popen[bytes]) -> None:
    """End a server and the kernels that it has left: it may wait for one that has gone already."""
    left: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        left = psutil.Process(server.pid).children()
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE / 8)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait(PATIENCE)
    for process in left:  # kernels lead groups of their own
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
