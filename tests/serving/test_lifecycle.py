"""Starting, dying and stopping, as the user of the command line sees it."""

from __future__ import annotations

import concurrent.futures
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import scipy.sparse

LOAD_FAILED = 3
DEFAULT_MODEL = Path(__file__).parent / "contract" / "models" / "ts_default"
DIED = {"code": 500, "type": "InternalServerException", "message": "Worker died."}

OBEDIENT = """
import ctypes, json, os, signal, sys, time
def model_fn(model_dir):
    print("loaded by", os.getpid())
    return None
def input_fn(body, content_type): return json.loads(body)
def predict_fn(order, model):
    if order == "exit": os._exit(3)
    if order == "sys.exit": sys.exit(4)
    if order == "interrupt": raise KeyboardInterrupt
    if order == "segfault": ctypes.string_at(0)
    if order == "killed": os.kill(os.getpid(), signal.SIGKILL)
    if order == "137": os._exit(137)
    if order == "last words":
        print("without a line feed", end="")
        os._exit(1)
    if order == "hang": time.sleep(1000)
    if isinstance(order, dict):
        open(order["begun"], "w").close()
        while not os.path.exists(order["until"]): time.sleep(0.01)
    return os.getpid()
def output_fn(prediction, accept): return json.dumps(prediction)
"""


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("code", "last_line"),
    [
        ("def model_fn(model_dir): raise RuntimeError('no weights')", "RuntimeError: no weights"),
        ("def model_fn(model_dir: return 1", "SyntaxError: "),
        ("import a_module_that_is_missing", "ModuleNotFoundError: No module named 'a_module_that_is_missing'"),
        ("import sys\ndef model_fn(model_dir): sys.exit('enough')", "SystemExit: enough"),
        ("def model_fn(model_dir, context, more): return 1", "TypeError: model_fn takes 3 arguments but 1 were given."),
        (
            "def model_fn(d): return 1\ndef transform_fn(m, b, c, a): return b\ndef predict_fn(d, m): return d",
            "ValueError: Cannot use transform_fn implementation in conjunction with",
        ),
        ("def predict_fn(data, model): return data", "Please ensure model is saved using torchscript."),
        ("import os\ndef model_fn(model_dir): os._exit(7)", "while it loaded the model (exit status 7)."),
    ],
)
def test_load_failure_ends_the_server_with_its_traceback(start_server, write_model, code, last_line):
    server = start_server(write_model(code))

    assert server.wait() == LOAD_FAILED
    assert last_line in "\n".join(server.errors[-3:])
    assert not server.port, "it listened although nothing was loaded"
    if "_exit" not in code:
        assert server.errors[0].startswith("Traceback (most recent call last):")
        assert server.errors[-1] in "\n".join(server.output), "the log has the traceback too"
        assert "sm_magics" not in "".join(server.errors), "frames of ours say nothing to the user"


def test_mistyped_program_is_refused(start_server, write_model):
    server = start_server(write_model(OBEDIENT), environ={"SAGEMAKER_PROGRAM": "inferense.py"})

    assert server.wait() == LOAD_FAILED
    assert "'inferense.py'" in server.errors[-1]


def test_program_is_found_in_code_before_the_model_directory(start_server, write_model):
    model = write_model("", serve=OBEDIENT.replace("os.getpid()\ndef output", "'code'\ndef output"))
    (model / "serve.py").write_text("raise SystemError")
    server = start_server(model, environ={"SAGEMAKER_PROGRAM": "serve.py"}).wait_until_listening()

    assert server.json('"x"').body == b'"code"'


def test_modules_of_the_toolkit_hide_those_of_the_same_name(start_server, write_model):
    code = (
        "import importlib.util\n"
        "def model_fn(model_dir): return None\n"
        "def transform_fn(model, body, content_type, accept): return importlib.util.find_spec(body.strip()).origin\n"
    )
    server = start_server(write_model(code, serving="", utils="")).wait_until_listening()

    def place_of(module: str) -> Path:
        return Path(server.send(headers=[("Content-Type", "text/csv")], body=module.encode()).body.decode())

    assert place_of("serving").parent.name == "sagemaker_pytorch_serving_container"
    assert place_of("utils").parent.name == "code"


def test_integer_that_is_none_ends_the_server(start_server, write_model):
    server = start_server(write_model(OBEDIENT), environ={"SAGEMAKER_TS_RESPONSE_TIMEOUT": "soon"})

    assert server.wait() == 1
    assert server.errors == ["SAGEMAKER_TS_RESPONSE_TIMEOUT='soon' is not an integer."]


@pytest.mark.parametrize(
    ("order", "status"),
    [("exit", 500), ("sys.exit", 500), ("interrupt", 500), ("segfault", 500), ("killed", 507), ("137", 507)],
)
def test_death_of_a_worker_is_answered_and_the_next_request_served(start_server, write_model, order, status):
    server = start_server(write_model(OBEDIENT), "--workers", "1").wait_until_listening()
    before = server.json('"pid"').body

    reply = server.json(json.dumps(order))
    after = server.json('"pid"')

    assert (reply.status, json.loads(reply.body)) == (status, {**DIED, "code": status})
    assert reply.content_type == "application/json"
    assert after.status == 200
    assert after.body != before
    assert server.stop() == 0


def test_last_words_of_a_dying_worker_are_in_the_log(start_server, write_model):
    server = start_server(write_model(OBEDIENT), "--workers", "1").wait_until_listening()

    server.json('"last words"')

    line = server.wait_for_line("without a line feed")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}[+-]\d\d:\d\d \[INFO \] MODEL_LOG - without a line feed", line)


def test_requests_are_answered_when_nobody_reads_the_log_any_more(write_model):
    command = [sys.executable, "-m", "sm_magics.serving", str(write_model(OBEDIENT)), "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout.readline, "")
        port = next(int(line.rpartition(":")[2]) for line in lines if line.startswith("Listening on "))
        process.stdout.close()
        try:
            statuses = []
            for order in ("exit", "pid"):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", "/invocations", json.dumps(order), {"Content-Type": "application/json"})
                statuses.append(connection.getresponse().status)
                connection.close()
        finally:
            process.terminate()

    assert statuses == [500, 200]
    assert process.returncode == 0


def test_worker_that_takes_too_long_is_replaced(start_server, write_model):
    environ = {"SAGEMAKER_TS_RESPONSE_TIMEOUT": "4"}  # a busy machine may take a while for an answer that is meant
    server = start_server(write_model(OBEDIENT), environ=environ).wait_until_listening()
    before = server.json('"pid"').body

    reply = server.json('"hang"')

    assert (reply.status, json.loads(reply.body)) == (500, DIED)
    server.wait_for_line("did not respond in given time")
    assert server.json('"pid"').body != before


def test_sigterm_answers_what_is_in_flight_and_refuses_what_is_new(start_server, write_model, tmp_path, lives):
    server = start_server(write_model(OBEDIENT), "--workers", "1").wait_until_listening()
    begun, until = tmp_path / "begun", tmp_path / "until"
    with concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(server.json, json.dumps({"begun": str(begun), "until": str(until)}))
        wait_until(begun.exists, "the first request is being answered")
        idle = server.connect()
        idle.connect()
        descendants = server.processes()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _accepts(server.port), "nobody new is let in")
        until.touch()
        assert first.result().status == 200
    idle.close()
    assert server.wait() == 0
    wait_until(lambda: not any(map(lives, descendants)), "no process is left")


def test_sigterm_waits_for_a_client_that_is_still_reading_its_answer(start_server, write_model):
    size = 6_000_000
    code = f"def model_fn(model_dir): return None\ndef transform_fn(*_, a=0, b=0, c=0): return b'x' * {size}\n"
    server = start_server(write_model(code), "--workers", "1").wait_until_listening()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client, client.makefile("rb") as answer:
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert answer.readline() == b"HTTP/1.1 200 \r\n"
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _accepts(server.port), "nobody new is let in")
        rest = answer.read()
    assert rest.endswith(b"\r\n\r\n" + b"x" * size)
    assert server.wait() == 0


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        return False
    return True


def test_no_process_outlives_a_killed_server(start_server, write_model, short_dir, lives):
    # What is killed cannot tidy up: its temporary directory lies in ours.
    environ = {"TMPDIR": str(short_dir)}
    server = start_server(write_model(OBEDIENT), "--workers", "2", environ=environ).wait_until_listening()
    processes = server.processes()
    assert len(processes) == 4, "the server, the warm process and two workers"

    server.process.kill()
    server.wait()

    wait_until(lambda: not any(map(lives, processes)), "all have ended")


def test_sigterm_while_loading_ends_the_server(start_server, write_model, lives):
    server = start_server(write_model("import time\ndef model_fn(d):\n    print('loading')\n    time.sleep(1000)"))
    server.wait_for_line("loading")
    processes = server.processes()

    assert server.stop() == 0
    wait_until(lambda: not any(map(lives, processes)), "all have ended")


def test_default_is_a_unix_socket_that_only_its_user_may_open():
    with subprocess.Popen(
        [sys.executable, "-m", "sm_magics.serving", str(DEFAULT_MODEL)], stdout=subprocess.PIPE, text=True
    ) as process:
        path = Path(process.stdout.readline().removeprefix("Listening on unix:").strip())
        try:
            assert path.stat().st_mode & 0o777 == 0o600
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not path.parent.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org"])
def test_only_loopback_addresses_are_served(start_server, host):
    server = start_server(DEFAULT_MODEL, "--host", host)

    assert server.wait() == 2
    assert "is not a loopback address" in server.errors[-1]


def test_environment_of_the_handlers_is_clean(start_server, write_model):
    code = (
        "import json, os\ndef model_fn(d): return 1\ndef transform_fn(m, b, c, a): return json.dumps(dict(os.environ))"
    )
    secrets = {"AWS_SECRET_ACCESS_KEY": "s", "MY_TOKEN": "t", "PYTHONPATH": "/nowhere"}
    model = write_model(code)
    environ = {**secrets, "SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_PROGRAMM": "x"}
    server = start_server(model, "--env", "THRESHOLD=0.5", environ=environ).wait_until_listening()

    seen = json.loads(server.json("1").body)

    assert not {"AWS_SECRET_ACCESS_KEY", "MY_TOKEN", "OMP_NUM_THREADS"} & set(seen)
    assert seen["THRESHOLD"] == "0.5"
    assert seen["PATH"] == os.environ["PATH"]
    assert seen["PYTHONPATH"] == str(model / "code")
    assert "SAGEMAKER_PROGRAMM" in server.wait_for_line("is it misspelt")


SPARSE = """
import json, sys
print("before:", [name for name in sys.modules if name.startswith("scipy")])
from sagemaker_inference import decoder
def model_fn(model_dir): return None
def input_fn(body, content_type): return decoder.decode(body, content_type)
def predict_fn(matrix, model):
    import scipy.sparse
    return [type(matrix) is scipy.sparse.csr_matrix, matrix.toarray().tolist()]
def output_fn(prediction, accept): return json.dumps(prediction)
"""


def test_scipy_is_imported_once_somebody_needs_it(start_server, write_model):
    server = start_server(write_model(SPARSE)).wait_until_listening()
    body = io.BytesIO()
    scipy.sparse.save_npz(body, scipy.sparse.csr_matrix([[0, 2], [0, 0]]))

    reply = server.send(headers=[("Content-Type", "application/x-npz")], body=body.getvalue())

    assert json.loads(reply.body) == [True, [[0, 2], [0, 0]]]
    server.wait_for_line("before: []")
