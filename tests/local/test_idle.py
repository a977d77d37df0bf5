"""Endpoints that nobody needs, and endpoints whose workers keep dying: with real workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import psutil
from local_service import DOUBLE, IMAGE, PATIENCE, fresh_home, model_archive, variant, wait_until

from sm_magics.local.account import Account
from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.hosting import endpoints as transitions
from sm_magics.local.hosting import fleet
from sm_magics.local.hosting.endpoints import Endpoints
from sm_magics.local.hosting.interpreters import Interpreters
from sm_magics.local.protocol.paging import Pages
from sm_magics.local.resources import Resources
from sm_magics.local.s3.blobs import Blobs
from sm_magics.local.s3.objects import Objects
from sm_magics.local.store import Store
from sm_magics.serving.messages import Request

#: Loads once; from then on its workers die, and none loads again.
DYING = """
import os
def model_fn(model_dir):
    mark = model_dir + "/loaded"
    if os.path.exists(mark):
        raise RuntimeError("never again")
    open(mark, "w").close()
    return 2
def transform_fn(model, body, content_type, accept):
    os._exit(3)
"""
TELLING = DOUBLE.replace('print("loading the model")', 'import os; print("worker", os.getpid())')


def workers(service, name: str) -> list[int]:
    lines = service.log(name).splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("worker ")]


def warm_processes(service) -> list[int]:
    found = []
    for child in psutil.Process(service.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "sm_magics.serving.forkserver" in child.cmdline():
                found.append(child.pid)
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_idle_endpoint_stops_its_workers_says_so_and_wakes_with_the_next_request(own_service):
    own_service.environ["SM_MAGICS_ENDPOINT_IDLE_STOP"] = "0.2"
    own_service.start()
    own_service.deploy("sleepy", TELLING)
    wait_until(lambda: "No request came for 0.2 s: the workers stop." in own_service.log("sleepy"), what="sleep")
    (first,) = workers(own_service, "sleepy")
    wait_until(lambda: not is_running(first), what="the worker gone")
    wait_until(lambda: not warm_processes(own_service), what="the warm process gone")
    assert own_service.sagemaker.describe_endpoint(EndpointName="sleepy")["EndpointStatus"] == "InService"
    assert own_service.invoke("sleepy") == b"[2, 4]"
    assert len(set(workers(own_service, "sleepy"))) == 2
    assert own_service.sagemaker.describe_endpoint(EndpointName="sleepy")["EndpointStatus"] == "InService"


def test_a_service_whose_endpoints_all_sleep_ends_and_the_next_one_wakes_who_is_asked(own_service):
    own_service.start()
    own_service.deploy("asked", TELLING)
    own_service.deploy("forgotten", TELLING)
    own_service.end()
    own_service.environ["SM_MAGICS_ASLEEP_STOP"] = "0.2"
    done = own_service.run()
    assert not done.returncode, "it ended by itself"
    del own_service.environ["SM_MAGICS_ASLEEP_STOP"]
    own_service.start()
    listed = own_service.sagemaker.list_endpoints()["Endpoints"]
    assert {one["EndpointStatus"] for one in listed} == {"InService"}
    assert own_service.invoke("asked") == b"[2, 4]"
    assert len(workers(own_service, "asked")) == 2
    assert len(workers(own_service, "forgotten")) == 1


def test_a_time_that_is_none_is_an_error_with_what_to_do(own_service):
    own_service.environ["SM_MAGICS_ENDPOINT_IDLE_STOP"] = "soon"
    done = own_service.run()
    assert done.returncode
    assert "SM_MAGICS_ENDPOINT_IDLE_STOP must be a number of seconds" in done.stderr
    assert "%env SM_MAGICS_ENDPOINT_IDLE_STOP=7200" in done.stderr


def test_an_endpoint_whose_workers_keep_dying_fails_with_the_traceback_in_its_log(monkeypatch):
    monkeypatch.setattr(fleet, "PATIENCE", 0.0)
    monkeypatch.setattr(transitions, "_LOOK", 0.01)

    async def scenario(home) -> None:
        store = Store(home / "state.sqlite3")
        objects = Objects(store, Blobs(home / "objects"))
        objects.create_bucket("bucket")
        draft = await objects.blobs.receive(_once(model_archive(DYING)))
        objects.put("bucket", "model.tar.gz", *draft, headers={})
        logs = Logs(store, lambda: None)
        interpreters = Interpreters(home / "run", sys.executable)
        resources = Resources(store, Account.of(store), Pages("secret"))
        endpoints = Endpoints(resources, objects, interpreters, logs, home / "endpoints")
        container = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"}
        snapshot = {
            "config": {"EndpointConfigName": "any", "ProductionVariants": [variant("any", InitialVariantWeight=1.0)]},
            "models": {"any": {"PrimaryContainer": container}},
        }
        try:
            endpoints.create("dying", snapshot, tags=())
            assert (await _in(endpoints, "InService"))["EndpointStatus"] == "InService"
            version = endpoints.serving("dying")
            assert version is not None
            answer = await version.ask(version.variants[0], Request("POST", "/invocations", (), b""))
            assert answer.status == 500
            described = await _in(endpoints, "Failed")
            assert "kept dying" in described["FailureReason"]
            assert endpoints.serving("dying") is None
            (stream,) = logs.streams("/aws/sagemaker/Endpoints/dying")
            lines = [event.message for event in logs.events([stream])]
            assert "RuntimeError: never again" in lines
            assert any("kept dying" in line for line in lines)
        finally:
            await endpoints.close()
            await interpreters.close()
            store.close()

    with fresh_home() as home:
        asyncio.run(scenario(home))


async def _once(data: bytes):
    yield data


async def _in(endpoints: Endpoints, status: str) -> dict:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (described := await endpoints.describe("dying"))["EndpointStatus"] != status:
        assert asyncio.get_running_loop().time() < deadline, described
        await asyncio.sleep(0.01)
    return described
