"""Whatever goes wrong while an endpoint changes, the change ends. In this process, where anything can be made fail."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from local_service import IMAGE, PATIENCE, variant

from sm_magics.local.account import Account
from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.hosting import endpoint_records
from sm_magics.local.hosting.endpoints import Endpoints
from sm_magics.local.hosting.interpreters import Interpreters
from sm_magics.local.hosting.versions import Version
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.paging import Pages
from sm_magics.local.resources import Resources
from sm_magics.local.s3.blobs import Blobs
from sm_magics.local.s3.objects import Objects
from sm_magics.local.store import Store

SNAPSHOT = {
    "config": {"EndpointConfigName": "any", "ProductionVariants": [variant("any", InitialVariantWeight=1.0)]},
    "models": {"any": {"PrimaryContainer": {"Image": IMAGE}}},
}


@asynccontextmanager
async def made(directory: Path) -> AsyncIterator[Endpoints]:
    store = Store(directory / "state.sqlite3")
    resources = Resources(store, Account.of(store), Pages("secret"))
    objects = Objects(store, Blobs(directory / "objects"))
    interpreters = Interpreters(directory / "run", "/nowhere/python")
    endpoints = Endpoints(resources, objects, interpreters, Logs(store, lambda: None), directory / "endpoints")
    try:
        yield endpoints
    finally:
        await endpoints.close()
        store.close()


async def settled(endpoints: Endpoints, name: str) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        assert asyncio.get_running_loop().time() < deadline
        described = await endpoints.describe(name)
        if described["EndpointStatus"] not in {"Creating", "Updating", "Deleting"}:
            return described
        await asyncio.sleep(0.01)


@pytest.fixture
def comes_up(monkeypatch):
    async def up(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(Version, "bring_up", up)


def failing(error: Exception, *, times: int = 1_000_000):
    """Return what raises, the first times that it is called, and then calls what it replaces."""

    def replace(whole):
        calls = iter(range(times))

        def call(*arguments, **named):
            if next(calls, None) is not None:
                raise error
            return whole(*arguments, **named)

        return call

    return replace


@pytest.mark.usefixtures("comes_up")
def test_an_end_that_cannot_be_recorded_at_once_is_recorded_later(tmp_path, monkeypatch, caplog):
    full = failing(sqlite3.OperationalError("database or disk is full"), times=2)
    monkeypatch.setattr(endpoint_records, "_RETRY", 0.01)

    async def scenario():
        async with made(tmp_path) as endpoints:
            endpoints.create("any", SNAPSHOT, tags=())
            monkeypatch.setattr(Resources, "change", full(Resources.change))
            assert (await settled(endpoints, "any"))["EndpointStatus"] == "InService"
            assert endpoints.serving("any") is not None
            assert "database or disk is full" in caplog.text

    asyncio.run(scenario())


@pytest.mark.usefixtures("comes_up")
def test_a_deletion_that_goes_wrong_can_be_asked_for_again(tmp_path, monkeypatch):
    async def scenario():
        async with made(tmp_path) as endpoints:
            endpoints.create("any", SNAPSHOT, tags=())
            assert (await settled(endpoints, "any"))["EndpointStatus"] == "InService"
            monkeypatch.setattr(Version, "discard", failing(RuntimeError("surprise"), times=1)(Version.discard))
            endpoints.delete("any")
            assert "surprise" in (await settled(endpoints, "any"))["FailureReason"]
            while not endpoints.are_gone():  # noqa: ASYNC110 - the reason is told before the last of it is gone
                await asyncio.sleep(0.01)
            endpoints.delete("any")
            with pytest.raises(ApiError, match="Could not find"):
                await settled(endpoints, "any")

    asyncio.run(scenario())


def test_logs_that_cannot_be_written_do_not_keep_an_endpoint_from_failing(tmp_path, monkeypatch):
    async def scenario():
        async with made(tmp_path) as endpoints:
            endpoints.create("any", SNAPSHOT, tags=())
            monkeypatch.setattr(Store, "run_many", failing(sqlite3.OperationalError("full"))(Store.run_many))
            assert (await settled(endpoints, "any"))["EndpointStatus"] == "Failed"
            endpoints.delete("any")

    asyncio.run(scenario())
