"""A model server as its user starts it, and a client that sends exactly what it is told."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sm_magics.serving.parent import WarmParent

SAFETY = 60  # seconds; only a hang takes that long


@dataclass(frozen=True)
class Reply:
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def content_type(self) -> str | None:
        return next((value for name, value in self.headers if name.lower() == "content-type"), None)


class Server:
    """A running `python -m sm_magics.serving`."""

    def __init__(self, model_dir: Path, environ: Mapping[str, str], arguments: tuple[str, ...]) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SAGEMAKER_", "TS_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sm_magics.serving", str(model_dir), "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**clean, **environ},
            cwd=tempfile.gettempdir(),
        )
        self.output: list[str] = []
        self.errors: list[str] = []
        self.port = 0
        self._listening = threading.Event()
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines))
            for stream, lines in ((self.process.stdout, self.output), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines) -> None:
        for line in stream:
            with self._changed:
                lines.append(line.rstrip("\n"))
                self._changed.notify_all()
            if line.startswith("Listening on http://127.0.0.1:"):
                self.port = int(line.rpartition(":")[2])
                self._listening.set()
        self._listening.set()

    def wait_until_listening(self) -> Server:
        assert self._listening.wait(SAFETY)
        assert self.port, "\n".join(self.errors)
        return self

    def wait_for_line(self, text: str) -> str:
        """Return the first line of the log that contains the text."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in line for line in self.output), SAFETY), self.output
            return next(line for line in self.output if text in line)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SAFETY)

    def send(self, method="POST", path="/invocations", headers=(), body: bytes = b"") -> Reply:
        """Send one request on a connection of its own; nothing is added but Host and Content-Length."""
        connection = self.connect()
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Reply(answer.status, answer.reason, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def json(self, value: str) -> Reply:
        return self.send(headers=[("Content-Type", "application/json")], body=value.encode())

    def processes(self) -> list[int]:
        """Return the ids of the server and of all its descendants."""
        server = psutil.Process(self.process.pid)
        return [process.pid for process in (server, *server.children(recursive=True))]

    def stop(self) -> int:
        """End it as its user would; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        try:
            status = self.process.wait(SAFETY)
        finally:
            self.process.kill()
            self.process.wait()
            for reader in self._readers:
                reader.join(SAFETY)
            for stream in (self.process.stdout, self.process.stderr):
                stream.close()
        return status


@pytest.fixture(scope="session")
def start_server() -> Iterator:
    """Start servers; all of them are stopped at the end, if they are not already."""
    servers: list[Server] = []

    def start(model_dir: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Server:
        servers.append(Server(model_dir, environ or {}, arguments))
        return servers[-1]

    yield start
    for server in servers:
        if not server._readers[0].is_alive() and server.process.returncode is not None:
            continue
        server.stop()


@pytest.fixture(scope="session")
def lives():
    """Tell whether a process runs. One that has ended but was not waited for does not."""

    def lives(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return lives


@pytest.fixture
def write_model(tmp_path: Path):
    """Write a model directory whose handlers are the given code."""

    def write(code: str, **files: str) -> Path:
        directory = tmp_path / "model"
        (directory / "code").mkdir(parents=True)
        (directory / "code" / "inference.py").write_text(code)
        (directory / "model.pth").write_bytes(b"")
        for name, text in files.items():
            (directory / "code" / f"{name}.py").write_text(text)
        return directory

    return write


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """Return a directory whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="sm-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def parent(loop) -> Iterator[WarmParent]:
    """Start a warm parent in the module's own `loop`; check that it leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="sm-", dir="/tmp") as directory:
        parent = loop.run_until_complete(WarmParent.start(sys.executable, Path(directory)))
        yield parent
        loop.run_until_complete(parent.close())
        assert not list(Path(directory).iterdir())
