"""``python -m sm_magics.local``: start the service, or ask about the one that runs."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sm_magics.errors import ConfigurationError
from sm_magics.home import ServiceAddress, home

from .service import AlreadyRunningError, is_running, run

#: Seconds to wait for another process: to say where it listens, or to end.
_PATIENCE = 30.0
_Found = TypeVar("_Found")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sm_magics.local", description="SageMaker on this machine.")
    parser.add_argument(
        "command",
        nargs="?",
        choices=["start", "env", "status", "stop"],
        default="start",
        help="start: run the service in the foreground (the default); env: print the variables that point boto3 and "
        "the AWS CLI at the running service; status: say what runs; stop: end it",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="where to listen on 127.0.0.1")
    parser.add_argument("--warm", metavar="PYTHON", help="start the workers' parent for this interpreter at once")
    options = parser.parse_args(arguments)
    try:
        if options.command == "start":
            return _start(options.port, options.warm)
        command = {"env": _env, "status": _status, "stop": _stop}[options.command]
        return command()
    except ConfigurationError as error:
        return _fail(str(error))


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError(f"{number} is not between 0 and 65535")
    return number


def _start(port: int | None, warm: str | None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        run(port=port, warm=warm)
    except AlreadyRunningError:
        found = _wait(ServiceAddress.read)
        if found is None:
            return _fail("Another service holds the lock, but does not say where it listens.")
        _say(f"SageMaker on this machine runs already, at {found.url} (process {found.pid}).")
    except (OSError, sqlite3.Error) as error:
        return _fail(f"The service cannot be started: {getattr(error, 'strerror', None) or error}.")
    return 0


def _env() -> int:
    address = ServiceAddress.read() if is_running(home()) else None
    if address is None:
        return _fail("No service is running.")
    variables = {
        "AWS_ENDPOINT_URL": address.url,
        "AWS_ACCESS_KEY_ID": address.access_key,
        "AWS_SECRET_ACCESS_KEY": address.secret_key,
        "AWS_DEFAULT_REGION": address.region,
    }
    for name, value in variables.items():
        _say(f"export {name}={shlex.quote(value)}")
    # What is there already stays.
    _say('export NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}"')
    return 0


def _status() -> int:
    directory = home()
    address = ServiceAddress.read() if is_running(directory) else None
    if address is None:
        _say("No service is running.")
        return 1
    _say(f"SageMaker on this machine {address.version} at {address.url}, process {address.pid}, state in {directory}")
    try:
        endpoints = _endpoints(directory / "state.sqlite3")
    except sqlite3.Error as error:
        return _fail(f"The endpoints cannot be read: {error}.")
    for name, status in endpoints:
        _say(f"{name}  {status}")
    if not endpoints:
        _say("No endpoints.")
    return 0


def _stop() -> int:
    directory = home()
    address = ServiceAddress.read() if is_running(directory) else None
    if address is None:
        _say("No service is running.")
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(address.pid, signal.SIGTERM)
    if not _wait(lambda: not is_running(directory)):
        return _fail(f"Process {address.pid} has not ended yet: it lets requests in flight be answered.")
    _say("Stopped.")
    return 0


def _endpoints(database: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        query = "SELECT name, status FROM resources WHERE kind = 'ENDPOINT' ORDER BY name"
        return connection.execute(query).fetchall()


def _wait(look: Callable[[], _Found]) -> _Found | None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    return None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
