"""A worker: a forked process that loads one model and answers one request at a time.

It never returns into the code that forked it. What it prints goes to the log pipe unbuffered, so that nothing is
lost when it dies.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import random
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, BinaryIO, NoReturn

import numpy as np
import sagemaker_pytorch_serving_container
import torch

from .context import provide_torchserve
from .imports import restrict
from .layout import model_directory
from .messages import LENGTHS_SIZE, Assignment, Headers, Parts, frame, lengths
from .model import Model
from .settings import cores, inherited
from .unbuffered import unbuffered

_SHORT = 1 << 16  # bytes: cheaper to copy than to send by themselves


def run(assignment: Assignment, connection: socket.socket, log: int) -> NoReturn:
    """Be a worker until the connection ends. To be called in a freshly forked process.

    Parameters
    ----------
    assignment
        What to serve.
    connection
        Where requests come from, and answers go to.
    log
        File descriptor that gets everything that is printed. Closed here once it stands for 1 and 2.
    """
    status = 1
    try:
        _take_over(log)
        model = _load(assignment, connection)
        if model is not None:
            connection.sendall(frame({"ready": True}))
            gc.freeze()  # what is loaded stays: no collection looks at it again
            _serve(model, connection)
            status = 0
    except SystemExit as error:
        traceback.print_exc()
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - the last line of a process
        traceback.print_exc()
    finally:
        os._exit(status & 0xFF)


def _take_over(log: int) -> None:
    os.setsid()
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = unbuffered(1), unbuffered(2)
    faulthandler.enable(file=2)
    # As TorchServe configures its workers: handlers that log show up like those that print.
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO, force=True)


def _load(assignment: Assignment, connection: socket.socket) -> Model | None:
    try:
        directory = model_directory(Path(assignment.model_dir))
        code = str(directory / "code")
        _set_environment(assignment.environ, code)
        _seed_and_thread()
        os.chdir(directory)
        # sys.path began with the directory that the forking process was started in. In the container it begins with
        # the toolkit's own modules, which hide those of the user's that are called the same (serving, torchserve, …).
        toolkit = str(Path(sagemaker_pytorch_serving_container.__file__).parent)
        sys.path[0:1] = [toolkit, code, str(directory)]
        sys.argv = ["model_service_worker"]
        # As little as in the container does a pickle find what it names of the notebook, or of ours.
        sys.modules["__main__"] = ModuleType("__main__")
        sys.dont_write_bytecode = True  # the model directory stays as it was packed
        provide_torchserve()
        if assignment.importable is not None:
            restrict(assignment.importable, own=(toolkit, code, str(directory)))
        model = Model(directory, allow_pickle=assignment.allow_pickle, max_response=assignment.max_response)
        model.load()
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are failures too
        text = "".join(traceback.format_exception(type(error), error, _beyond_this_package(error.__traceback__)))
        print(text, end="", file=sys.stderr)  # noqa: T201 - the log
        connection.sendall(frame({"failed": text}))
        return None
    return model


def _set_environment(environ: Mapping[str, str], code: str) -> None:
    basis = inherited(os.environ)
    os.environ.clear()
    os.environ.update({**basis, **environ})
    # As the toolkit's handler service does, for processes that handlers start.
    os.environ["PYTHONPATH"] = ":".join(filter(None, (code, os.environ.get("PYTHONPATH", ""))))


def _seed_and_thread() -> None:
    random.seed()
    np.random.seed()  # noqa: NPY002 - it is the state that forked processes share
    torch.default_generator.seed()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    torch.set_num_threads(int(threads) if threads.isdigit() and int(threads) > 0 else cores())


def _beyond_this_package(tb: TracebackType | None) -> TracebackType | None:
    here = str(Path(__file__).parent)
    while tb is not None and tb.tb_next is not None and tb.tb_frame.f_code.co_filename.startswith(here):
        tb = tb.tb_next
    return tb


def _serve(model: Model, connection: socket.socket) -> None:
    # Not socket.makefile, which goes through Python for each read.
    with open(connection.fileno(), "rb", buffering=1 << 16, closefd=False) as requests:
        while True:
            prefix = requests.read(LENGTHS_SIZE)
            if len(prefix) < LENGTHS_SIZE:
                return
            (path, headers, in_pieces), body = _read(requests, *lengths(prefix))
            if in_pieces:
                for piece in model.stream(path, headers, body):
                    _send(connection, piece)
            else:
                _send(connection, model.answer(path, headers, body).frame())


def _send(connection: socket.socket, parts: Parts) -> None:
    if len(parts[1]) <= _SHORT:
        connection.sendall(b"".join(parts))
    else:
        for part in parts:
            connection.sendall(part)


def _read(requests: BinaryIO, head_length: int, body_length: int) -> tuple[tuple[str, Headers, bool], bytearray]:
    head = _parsed(requests.read(head_length))
    body = bytearray(body_length)
    requests.readinto(body)  # type: ignore[attr-defined]  # typeshed's BinaryIO lacks it
    return head, body


@lru_cache(maxsize=64)  # a client's heads are the same for all its requests
def _parsed(head: bytes) -> tuple[str, Headers, bool]:
    """Return a request's path, its headers, and whether it may be answered in pieces."""
    said: dict[str, Any] = json.loads(head)
    return said["path"], tuple((name, value) for name, value in said["headers"]), "stream" in said
