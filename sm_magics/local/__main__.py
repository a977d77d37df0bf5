"""``python -m sm_magics.local``: start the service, or ask about the one that runs."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

from sm_magics.errors import ConfigurationError
from sm_magics.home import ServiceAddress, home

from . import profile
from .service import AlreadyRunningError, is_running, run

#: Seconds to wait for another process: to say where it listens, or to end.
_PATIENCE = 30.0
#: After which clients shall ask for keys again (botocore does so a quarter of an hour before).
_ASK_AGAIN = timedelta(hours=1)
_AGAIN = "python -m sm_magics.local env --profile NAME"
_Found = TypeVar("_Found")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sm_magics.local", description="SageMaker on this machine.")
    parser.add_argument(
        "command",
        nargs="?",
        choices=["start", "env", "credentials", "status", "stop"],
        default="start",
        help="start: run the service in the foreground (the default); env: print the variables that point boto3 and "
        "the AWS CLI at the running service, or with --profile write a profile that does; credentials: print the keys "
        "as a credential_process does, and start the service if it does not run; status: say what runs; stop: end it",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="where to listen on 127.0.0.1")
    parser.add_argument("--profile", metavar="NAME", help="with env: write a profile into your AWS configuration")
    parser.add_argument("--print", action="store_true", help="with env --profile: print the profile, write nothing")
    parser.add_argument("--warm", metavar="PYTHON", help="start the workers' parent for this interpreter at once")
    options = parser.parse_args(arguments)
    try:
        if options.command == "start":
            return _start(options.port, options.warm)
        if options.command == "env" and options.profile:
            return _profile(options.profile, write=not options.print)
        if options.command == "credentials":
            return _credentials(options.port)
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
    address = _address()
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


def _profile(name: str, *, write: bool) -> int:
    address = _address()
    if address is None:
        return _fail("No service is running.")
    port = address.url.rpartition(":")[2]
    command = [sys.executable, "-m", "sm_magics.local", "credentials", "--port", port]
    if given := os.environ.get("SM_MAGICS_HOME"):
        command = ["/usr/bin/env", f"SM_MAGICS_HOME={Path(given).expanduser().absolute()}", *command]
    text = profile.text(name, url=address.url, region=address.region, command=command)
    if not write:
        _say(text.rstrip())
        return 0
    path, done = profile.write(name, text)
    _say(f"The profile {name} in {path} is {done}.\nexport AWS_PROFILE={name}")
    return 0


def _credentials(port: int | None) -> int:
    """Print what the AWS SDKs' ``credential_process`` wants (AWS SDKs and tools reference guide)."""
    address = _address() or _wait(_address, _spawn(port))
    if address is None:
        return _fail(f"The service does not start. Its log: {home() / 'service.log'}")
    if port is not None and not address.url.endswith(f":{port}"):
        return _fail(f"The service listens at {address.url} now. Write the profile again: {_AGAIN}")
    # Not that they would expire: who holds them asks again, and so starts a service that has ended meanwhile.
    expires = datetime.now(timezone.utc) + _ASK_AGAIN
    keys = {
        "Version": 1,
        "AccessKeyId": address.access_key,
        "SecretAccessKey": address.secret_key,
        "Expiration": expires.isoformat(timespec="seconds"),
    }
    _say(json.dumps(keys))
    return 0


def _address() -> ServiceAddress | None:
    return ServiceAddress.read() if is_running(home()) else None


def _spawn(port: int | None) -> subprocess.Popen[bytes]:
    """Start the service; it outlives this process."""
    descriptor = os.open(home() / "service.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sm_magics.local", *(("--port", str(port)) if port is not None else ())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home(),
            start_new_session=True,
        )


def _status() -> int:
    directory = home()
    address = _address()
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
    address = _address()
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


def _wait(look: Callable[[], _Found], process: subprocess.Popen[bytes] | None = None) -> _Found | None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        if process and process.poll():
            return None
        time.sleep(0.02)
    return None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
