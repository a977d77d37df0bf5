"""The service as a process: single, found, killed, started again, gone."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError
from local_service import DOUBLE, Service, gone, wait_until

from sm_magics.home import ServiceAddress
from sm_magics.local.service import AlreadyRunningError, is_running, only_one

HELD = "import time\ndef model_fn(model_dir):\n    time.sleep(600)\n"


def processes_of(service) -> list[psutil.Process]:
    return psutil.Process(service.process.pid).children(recursive=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_this_users_alone(service):
    assert mode(service.home) == 0o700
    for path in service.home.iterdir():
        # The log is the one file that is not the service's own, but of who started it.
        assert not mode(path) & 0o077 or path.name == "service.log", path
    assert {mode(path) for path in service.home.rglob("*") if path.is_socket()} <= {0o600}
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(service.process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_the_service_imports_nothing_of_the_users(service):
    maps = Path(f"/proc/{service.process.pid}/maps")
    if not maps.exists():
        pytest.skip("no /proc on this system")
    loaded = maps.read_text()
    assert "/torch/" not in loaded
    assert "/numpy/" not in loaded


def test_a_second_service_finds_the_first_and_ends_well(service):
    second = service.run()
    assert second.returncode == 0, second.stderr
    assert service.address["url"] in second.stdout
    assert service.address["pid"] == service.process.pid


def evaluated(exports: str, **environ: str) -> dict[str, str]:
    """Return the variables that a shell has when it has evaluated these lines, but for those it always has."""
    ran = subprocess.run(["/bin/sh", "-c", f"{exports}\nenv"], env=environ, capture_output=True, text=True, check=True)
    return {
        name: value
        for name, _, value in (line.partition("=") for line in ran.stdout.splitlines())
        if name not in {"PWD", "OLDPWD", "SHLVL", "_"}
    }


def test_env_leaves_the_users_own_exceptions_from_the_proxy(service):
    exports = service.run("env").stdout
    assert evaluated(exports)["NO_PROXY"] == "127.0.0.1"
    assert evaluated(exports, NO_PROXY="internal.example,10.0.0.0/8")["NO_PROXY"] == (
        "127.0.0.1,internal.example,10.0.0.0/8"
    )


def test_env_prints_what_points_boto3_here(service):
    printed = service.run("env")
    assert printed.returncode == 0
    variables = evaluated(printed.stdout)
    assert set(variables) == {
        *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "NO_PROXY"),
    }
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    asked = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **service.environment,
            **variables,
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == service.address["account"]


def test_status_and_stop(own_service):
    assert own_service.run("status").returncode == 1
    assert own_service.run("env").returncode == 1
    own_service.start()
    own_service.deploy("here")
    printed = own_service.run("status")
    assert printed.returncode == 0
    assert own_service.address["url"] in printed.stdout
    assert "here  InService" in printed.stdout
    workers = processes_of(own_service)
    assert workers
    stopped = own_service.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped.\n")
    assert own_service.process.wait(30) == 0
    assert not (own_service.home / "service.json").exists()
    wait_until(lambda: gone(workers), what="workers gone")
    assert own_service.run("stop").stdout == "No service is running.\n"


def test_it_ends_when_nothing_runs_on_it(own_service):
    own_service.environ["SM_MAGICS_IDLE_STOP"] = "0.5"
    own_service.start("--warm", sys.executable)
    children = processes_of(own_service)
    assert own_service.process.wait(60) == 0
    wait_until(lambda: gone(children), what="the warm parent gone")


def test_it_does_not_end_while_an_endpoint_is_in_service(own_service):
    own_service.environ["SM_MAGICS_IDLE_STOP"] = "2"
    own_service.start()
    deployed = threading.Event()
    # However long a client takes to be made, somebody asks for something meanwhile.
    sts = own_service.client("sts")

    def ask():
        while not deployed.wait(0.2):
            sts.get_caller_identity()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        own_service.deploy("stays")
    finally:
        deployed.set()
        asking.join()
    with pytest.raises(subprocess.TimeoutExpired):
        own_service.process.wait(3)
    own_service.sagemaker.delete_endpoint(EndpointName="stays")
    assert own_service.process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_endpoints_in_service_are_so_again_after_the_service_ended_and_half_made_ones_failed(own_service, number):
    own_service.start()
    own_service.deploy("kept")
    own_service.deploy("updating")
    own_service.create_config("updating-2", HELD)
    own_service.sagemaker.update_endpoint(EndpointName="updating", EndpointConfigName="updating-2")
    own_service.create_endpoint("half-made", HELD)
    own_service.sagemaker.delete_endpoint_config(EndpointConfigName="kept")
    url, access_key = own_service.address["url"], own_service.address["access_key"]
    workers = processes_of(own_service)
    assert len(workers) >= 3
    own_service.close_clients()
    own_service.process.send_signal(number)
    own_service.process.wait(60)
    wait_until(lambda: gone(workers), what="workers gone with the service")
    own_service.start()
    assert (own_service.address["url"], own_service.address["access_key"]) == (url, access_key)
    statuses = {
        endpoint["EndpointName"]: endpoint["EndpointStatus"]
        for endpoint in own_service.sagemaker.list_endpoints()["Endpoints"]
    }
    assert statuses == {"kept": "InService", "updating": "InService", "half-made": "Failed"}
    assert own_service.invoke("kept") == b"[2, 4]"
    assert own_service.invoke("updating") == b"[2, 4]"
    updating = own_service.sagemaker.describe_endpoint(EndpointName="updating")
    assert updating["EndpointConfigName"] == "updating"
    assert "while the endpoint was being updated" in updating["FailureReason"]
    half_made = own_service.sagemaker.describe_endpoint(EndpointName="half-made")
    assert "while the endpoint was being created" in half_made["FailureReason"]
    assert len(list((own_service.home / "endpoints").iterdir())) == 2
    assert own_service.log("kept")
    own_service.delete_endpoint("kept")
    own_service.delete_endpoint("half-made")


def test_an_endpoint_comes_back_when_the_process_its_workers_came_from_was_killed(own_service):
    own_service.start()
    own_service.deploy("orphaned")
    parents = psutil.Process(own_service.process.pid).children()
    assert len(parents) == 1
    parents[0].kill()
    wait_until(lambda: gone(parents), what="the parent gone")

    def answers() -> bool:
        try:
            return own_service.invoke("orphaned") == b"[2, 4]"
        except ClientError:
            return False

    wait_until(answers, what="an answer from new workers")


def test_a_port_that_is_taken_is_said(own_service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        started = own_service.run("--port", str(taken.getsockname()[1]))
    assert started.returncode == 1
    assert "cannot be started: Address already in use" in started.stderr
    assert "Traceback" not in started.stderr


def test_what_is_given_wrongly_is_said_without_a_traceback(own_service):
    for port in ("99999", "-1", "eighty"):
        refused = own_service.run("--port", port)
        assert refused.returncode == 2
        assert "--port" in refused.stderr
        assert "Traceback" not in refused.stderr
    for seconds in ("abc", "-1", "nan", ""):
        own_service.environ["SM_MAGICS_IDLE_STOP"] = seconds
        refused = own_service.run()
        assert refused.returncode == 1
        assert "SM_MAGICS_IDLE_STOP" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_database_that_is_not_there_is_said(own_service):
    own_service.start()
    for path in own_service.home.glob("state.sqlite3*"):
        path.unlink()
    asked = own_service.run("status")
    assert asked.returncode == 1
    assert "cannot be read" in asked.stderr
    assert "Traceback" not in asked.stderr
    assert own_service.address["url"] in asked.stdout


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """Return the calls for the lock in this process, the first three of which find it taken."""
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path))
    whole, calls = fcntl.flock, []

    def taken_at_first(file, operation):
        calls.append(operation)
        if len(calls) <= 3:
            raise BlockingIOError
        whole(file, operation)

    monkeypatch.setattr(fcntl, "flock", taken_at_first)
    return calls


def test_a_start_is_not_refused_because_somebody_looked_in_that_moment(tmp_path, lock):
    with only_one(tmp_path):
        assert len(lock) == 4


def test_a_start_is_refused_at_once_by_a_service_that_lives(tmp_path, lock):
    values = {"url": "http://127.0.0.1:1", "access_key": "a", "secret_key": "b", "region": "us-west-2"}
    ServiceAddress(**values, account="1", pid=os.getpid(), version="0").write()
    with pytest.raises(AlreadyRunningError), only_one(tmp_path):
        pass
    assert len(lock) == 1


def test_those_who_look_do_not_see_each_other(tmp_path):
    with (tmp_path / "service.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not is_running(tmp_path)
    with only_one(tmp_path):
        assert is_running(tmp_path)


def test_what_a_killed_service_left_of_its_workers_is_removed(own_service):
    own_service.start("--warm", sys.executable)
    own_service.deploy("left")
    run = own_service.home / "run"
    left = list(run.iterdir())
    assert left
    own_service.kill()
    own_service.close_clients()
    own_service.start()
    assert own_service.invoke("left") == b"[2, 4]"
    assert len(list(run.iterdir())) == 1
    assert not set(left) & set(run.iterdir())


def test_a_directory_that_cannot_be_used_is_said(own_service):
    (own_service.home / "file").touch()
    broken = Service(own_service.home / "file")
    for command in ("start", "status"):
        ran = broken.run(command)
        assert ran.returncode == 1
        assert "cannot be used" in ran.stderr
        assert "Traceback" not in ran.stderr


def test_a_stale_file_of_a_service_that_was_killed_is_not_believed(own_service):
    own_service.start()
    own_service.kill()
    stale = own_service.home / "service.json"
    # Another process may have its number by now: this one, for example.
    stale.write_text(stale.read_text().replace(str(own_service.process.pid), str(os.getpid())))
    assert own_service.run("status").returncode == 1
    assert own_service.run("stop").returncode == 0
    own_service.start()
    assert own_service.run("status").returncode == 0


def test_requests_in_flight_are_answered_when_it_is_told_to_stop(own_service):
    own_service.start()
    slow = "    import time; print('asked'); time.sleep(1); return json.loads(body)"
    own_service.deploy("slow", DOUBLE.replace("    return json.loads(body)", slow))
    own_service.client("sagemaker-runtime")
    answers: list[bytes] = []
    caller = threading.Thread(target=lambda: answers.append(own_service.invoke("slow")))
    caller.start()
    wait_until(lambda: "asked" in own_service.log("slow"), what="the request at the worker")
    own_service.process.send_signal(signal.SIGTERM)
    caller.join()
    assert answers == [b"[2, 4]"]
    assert own_service.process.wait(60) == 0
