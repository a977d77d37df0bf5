"""Workers of a parent that another process started."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sm_magics.serving.client import ParentClient, ask, find_parent
from sm_magics.serving.messages import Assignment, ModelLoadFailed, Request
from sm_magics.serving.parent import ParentFailed

OWNER = """
import asyncio, sys
from pathlib import Path
from sm_magics.serving.parent import WarmParent
async def own():
    parent = await WarmParent.start(sys.executable, Path(sys.argv[1]))
    print(parent.address, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await parent.close()
asyncio.run(own())
"""
OBEDIENT = """
import gc, json, os, time
print("loading")
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept): return json.dumps(eval(body))
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    directory = tmp_path_factory.mktemp("warm")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        yield Path(owner.stdout.readline().strip())
        owner.stdin.close()
        assert owner.wait(60) == 0


@pytest.fixture
def log(tmp_path):
    with (tmp_path / "log").open("w+") as file:
        yield file


def to(model_dir: Path, **environ: str) -> Assignment:
    return Assignment(str(model_dir), environ, allow_pickle=False, max_response=1000)


def evaluate(worker, expression: str):
    request = Request("POST", "/invocations", (("Content-Type", "application/json"),), expression.encode())
    answer = ask(worker, request)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_worker_answers_in_its_own_process_and_environment(address, log, write_model):
    model = write_model(OBEDIENT)
    with ParentClient(address, timeout=60) as client, client.fork(to(model, COLOUR="red"), log=log.fileno()) as worker:
        assert evaluate(worker, "[os.getcwd(), os.environ['COLOUR']]") == [str(model), "red"]
        assert evaluate(worker, "os.getpid()") != os.getpid()
    assert Path(log.name).read_text() == "loading\n"


def test_what_the_parent_imported_is_out_of_the_collectors_sight(address, log, write_model):
    with ParentClient(address) as client, client.fork(to(write_model(OBEDIENT)), log=log.fileno()) as worker:
        assert evaluate(worker, "gc.get_freeze_count()") > 100_000


def test_several_workers_end_when_their_client_closes(address, log, write_model, lives):
    model = write_model(OBEDIENT)
    with ParentClient(address) as client:
        workers = [client.fork(to(model), log=log.fileno()) for _ in range(3)]
        pids = [evaluate(worker, "os.getpid()") for worker in workers]
        assert all(map(lives, pids))
    until(lambda: not any(map(lives, pids)))
    for worker in workers:
        worker.close()


@pytest.mark.parametrize(
    ("code", "traceback"),
    [
        ("def model_fn(model_dir): raise RuntimeError('no weights')", "RuntimeError: no weights\n"),
        ("import os\nos._exit(7)", "The worker died while it loaded the model (exit status 7)."),
    ],
)
def test_load_failure_is_raised_with_its_traceback(address, log, write_model, code, traceback):
    with ParentClient(address) as client:
        with pytest.raises(ModelLoadFailed) as raised:
            client.fork(to(write_model(code)), log=log.fileno())
        assert raised.value.traceback.endswith(traceback)


def test_loading_that_takes_too_long_is_ended(address, log, write_model, tmp_path, lives):
    pid = tmp_path / "pid"
    code = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(1000)"
    with ParentClient(address, timeout=1) as client:
        with pytest.raises(TimeoutError):
            client.fork(to(write_model(code)), log=log.fileno())
        until(lambda: not pid.exists() or not pid.read_text() or not lives(int(pid.read_text())))


def test_death_over_a_request_is_an_error_of_the_connection(address, log, write_model):
    with ParentClient(address) as client:
        worker = client.fork(to(write_model(OBEDIENT)), log=log.fileno())
        with worker, pytest.raises(ConnectionError):
            evaluate(worker, "os._exit(1)")
        with client.fork(to(Path(log.name).parent / "model"), log=log.fileno()) as another:
            assert evaluate(another, "1") == 1


def test_parent_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ParentFailed, match="No warm process listens at"):
        ParentClient(tmp_path / "nothing")


def test_a_running_parent_is_found_by_its_interpreter(address, tmp_path):
    directory = address.parent.parent
    assert find_parent(directory, sys.executable) == address
    assert find_parent(directory, "/another/python") is None
    assert find_parent(tmp_path, sys.executable) is None
    gone = tmp_path / "warm-gone"
    gone.mkdir()
    (gone / "python").write_text(sys.executable)
    assert find_parent(tmp_path, sys.executable) is None


IMPORTING = (
    OBEDIENT
    + """
import importlib, importlib.util, sys
def tried(name):
    try:
        return importlib.import_module(name).__name__
    except ModuleNotFoundError as error:
        return str(error)
"""
)


def test_what_is_not_importable_is_as_if_it_were_not_installed(address, log, write_model):
    model = write_model(IMPORTING, helper="")
    torch_needs = ("torch", "numpy", "sagemaker_inference", "sagemaker_pytorch_serving_container", "typing_extensions")
    restricted = dataclasses.replace(to(model), importable=torch_needs)
    with ParentClient(address) as client, client.fork(restricted, log=log.fileno()) as worker:
        assert client.pid == evaluate(worker, "os.getpid()")
        assert evaluate(worker, "tried('pytest')") == "No module named 'pytest'"
        assert evaluate(worker, "importlib.util.find_spec('pytest') is None") is True
        assert evaluate(worker, "tried('sm_magics')") == "No module named 'sm_magics'"
        for name in ("helper", "torch", "numpy.fft", "xml.dom", "ts"):
            assert evaluate(worker, f"tried('{name}')") == name
    with ParentClient(address) as client, client.fork(to(model), log=log.fileno()) as worker:
        assert evaluate(worker, "tried('pytest')") == "pytest"
