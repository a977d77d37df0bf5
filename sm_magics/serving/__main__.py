"""``python -m sm_magics.serving MODEL_DIR``: the container's model server for one extracted model directory.

Exit status: 0 after SIGTERM or Ctrl-C, with all requests answered; 3 if the model cannot be loaded, with the
traceback on standard error; 4 if ``code/requirements.txt`` asks for what is not there; 2 for a wrong command line; 1
for anything else. Standard output is the log, as in the container.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

from sm_magics.errors import ConfigurationError

from .environment import install
from .front import Front
from .layout import requirements_file
from .messages import ModelLoadFailed
from .parent import ParentFailed, WarmParent
from .pool import WorkerPool
from .requirements import RequirementsFailed, check
from .routes import ModelServer
from .settings import Settings
from .unbuffered import unbuffered

_LOAD_FAILED, _REQUIREMENTS_FAILED = 3, 4
_LAST_WORDS = 1.0  # seconds for what is on its way to the clients, however little of the time to drain is left
_PASSED_ON = ("SAGEMAKER_", "TS_", "OMP_", "MKL_", "TORCH_")


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; return the exit status."""
    options = _parser().parse_args(arguments)
    # What a library has to say goes to the log; standard error says why the server ended, and nothing else.
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s [%(levelname)s] %(name)s - %(message)s")
    environ = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    environ.update(options.env)
    try:
        settings = Settings.from_environ(environ)
        options.python = _python(options)
        with contextlib.ExitStack() as resources:
            listener = resources.enter_context(_bound(options))
            directory = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="sm-magics-")))
            return _run(_serve(options, environ, settings, listener, directory))
    except ModelLoadFailed as error:
        _say(sys.stderr, error.traceback.rstrip())
        return _LOAD_FAILED
    except RequirementsFailed as error:
        _say(sys.stderr, str(error))
        return _REQUIREMENTS_FAILED
    except (OSError, ValueError, ParentFailed, ConfigurationError) as error:
        _say(sys.stderr, str(error))
        return 1


def _python(options: argparse.Namespace) -> str:
    """Return the interpreter for the workers, which meets the requirements as far as they are to be met."""
    python: str = options.python
    file = requirements_file(options.model_dir.absolute())
    if file is None or options.requirements == "ignore":
        return python
    if options.requirements == "install":
        return install(file, python, _log)
    check(file, python)
    return python


async def _serve(
    options: argparse.Namespace,
    environ: dict[str, str],
    settings: Settings,
    listener: socket.socket,
    directory: Path,
) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    starting = asyncio.ensure_future(_start(options, environ, settings, directory))
    told = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return 0
    try:
        parent, pool = await starting
    finally:
        if not stopping.is_set():
            told.cancel()
    front = Front(ModelServer(pool).respond, max_request=settings.max_request)
    listener.listen(1024)
    if listener.family == socket.AF_UNIX:
        server: asyncio.AbstractServer = await loop.create_unix_server(front.connect, sock=listener)
    else:
        server = await loop.create_server(front.connect, sock=listener)
    gc.freeze()  # what was made so far stays: no collection looks at it again
    _say(sys.stdout, f"Listening on {_address(listener)}")
    await stopping.wait()
    server.close()
    latest = loop.time() + options.drain
    closing = asyncio.ensure_future(front.close())
    await pool.close(drain=options.drain)
    # Not for ever: a client may not take its answer.
    await asyncio.wait({closing}, timeout=max(latest - loop.time(), _LAST_WORDS))
    closing.cancel()
    await parent.close()
    return 0


async def _start(
    options: argparse.Namespace, environ: dict[str, str], settings: Settings, directory: Path
) -> tuple[WarmParent, WorkerPool]:
    parent = await WarmParent.start(options.python, directory)
    try:
        pool = WorkerPool(
            options.model_dir,
            parent=parent,
            log=_log,
            workers=options.workers or settings.workers,
            environ=environ,
            allow_pickle=options.allow_pickle,
        )
        await pool.start()
    except BaseException:
        await parent.close()
        raise
    return parent, pool


def _run(serving: object) -> int:
    import uvloop

    status: int = uvloop.run(serving)  # type: ignore[arg-type]
    return status


def _log(line: str) -> None:
    # The layout of the container's own log lines.
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    _say(sys.stdout, f"{now} [INFO ] MODEL_LOG - {line}")


def _say(stream: TextIO, text: str) -> None:
    # Whoever read it may have gone, and a disk may be full: requests are answered all the same.
    with contextlib.suppress(OSError):
        stream.write(f"{text}\n")
        stream.flush()


@contextlib.contextmanager
def _bound(options: argparse.Namespace) -> Iterator[socket.socket]:
    """Yield a socket that is bound but does not listen: nobody connects before the model is loaded."""
    with contextlib.ExitStack() as resources:
        if options.port is not None:
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            listener = resources.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((options.host, options.port))
            yield listener
            return
        path = options.uds
        if path is None:
            path = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="sm-magics-"))) / "model.sock"
        listener = resources.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        resources.callback(path.unlink, missing_ok=True)
        path.chmod(0o600)
        yield listener


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sm_magics.serving",
        description="Serve an extracted model directory as the SageMaker PyTorch container does.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "model_dir", type=_directory, metavar="MODEL_DIR", help="what the archive contains: code/, model.pth"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, help="listen on this port of the loopback interface; 0 picks one")
    where.add_argument("--uds", type=Path, metavar="PATH", help="listen on this Unix socket (default: a new one)")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="a loopback address")
    parser.add_argument("--workers", type=int, help="worker processes (default: as many as the container would start)")
    parser.add_argument(
        "--env",
        type=_variable,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the container's environment; those named SAGEMAKER_… are taken over anyway",
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the workers")
    parser.add_argument(
        "--requirements",
        choices=["check", "install", "ignore"],
        default="check",
        help="what to do about code/requirements.txt: compare it with what is installed (the default), install what "
        "is missing into an environment of its own, or nothing",
    )
    parser.add_argument(
        "--drain", type=float, default=30.0, metavar="SECONDS", help="time for requests in flight after SIGTERM"
    )
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="unpickle objects in application/x-npy bodies, as the container does: a request can then run any code",
    )
    return parser


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a directory")
    return path


def _loopback(text: str) -> str:
    address = "127.0.0.1" if text == "localhost" else text
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not a loopback address")


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.stdout = unbuffered(sys.stdout.fileno())
    sys.exit(main())
