"""The next request lies before the only worker while it is at the one before."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_driver import until

from sm_magics.serving.messages import Request
from sm_magics.serving.pool import WorkerPool

# Each request leaves its number in a file of its own, once for each time it is begun.
COUNTING = """
import json, os, time
def model_fn(model_dir): return None
def input_fn(body, content_type): return json.loads(body)
def predict_fn(order, model):
    with open(order["begun"], "ab", buffering=0) as file: file.write(b"x")
    if "until" in order:
        while not os.path.exists(order["until"]): time.sleep(0.005)
    if "exit" in order: os._exit(order["exit"])
    return os.getpid()
def output_fn(prediction, accept): return json.dumps(prediction)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows what a worker has read")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def make_pool(loop, parent, write_model):
    pools: list[WorkerPool] = []

    def make(**options) -> WorkerPool:
        pools.append(WorkerPool(write_model(COUNTING), parent=parent, log=lambda _: None, **options))
        return pools[-1]

    yield make
    for pool in pools:
        loop.run_until_complete(pool.close(drain=0))


class Orders:
    """Requests, and how often each was begun."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.made = 0

    def new(self, **what) -> Request:
        self.made += 1
        body = json.dumps({"begun": str(self._directory / f"begun-{self.made}"), **what}).encode()
        return Request("POST", "/invocations", (("Content-Type", "application/json"),), body)

    def begun(self, number: int) -> int:
        path = self._directory / f"begun-{number}"
        return path.stat().st_size if path.exists() else 0


@pytest.fixture
def orders(tmp_path) -> Orders:
    return Orders(tmp_path)


@LINUX
def test_next_request_lies_before_the_only_worker_and_is_not_begun(loop, make_pool, orders, tmp_path):
    async def scenario():
        pool = make_pool()
        await pool.start()
        first = asyncio.ensure_future(pool.invoke(orders.new(until=str(tmp_path / "gate"))))
        await until(lambda: orders.begun(1))
        rest = [asyncio.ensure_future(pool.invoke(orders.new())) for _ in range(3)]
        assert (len(pool._ahead), len(pool._waiting)) == (1, 2)
        assert orders.begun(2) == 0
        (tmp_path / "gate").touch()
        assert {answer.status for answer in await asyncio.gather(first, *rest)} == {200}
        assert [orders.begun(number) for number in range(1, 5)] == [1, 1, 1, 1]

    loop.run_until_complete(scenario())


def test_nothing_lies_before_a_worker_where_another_may_be_free_first(loop, make_pool, orders, tmp_path):
    async def scenario():
        pool = make_pool(workers=2)
        await pool.start()
        stuck = asyncio.ensure_future(pool.invoke(orders.new(until=str(tmp_path / "gate"))))
        await until(lambda: orders.begun(1))
        rest = [pool.invoke(orders.new()) for _ in range(10)]
        assert {answer.status for answer in await asyncio.gather(*rest)} == {200}
        assert not stuck.done()
        (tmp_path / "gate").touch()
        assert (await stuck).status == 200

    loop.run_until_complete(scenario())


@pytest.mark.parametrize("signal_number", [None, signal.SIGKILL])
def test_worker_that_dies_takes_one_request_with_it(loop, make_pool, orders, tmp_path, signal_number):
    async def scenario():
        pool = make_pool()
        await pool.start()
        how = {"exit": 1} if signal_number is None else {}
        dying = asyncio.ensure_future(pool.invoke(orders.new(until=str(tmp_path / "gate"), **how)))
        await until(lambda: orders.begun(1))
        rest = [asyncio.ensure_future(pool.invoke(orders.new())) for _ in range(4)]
        if signal_number is None:
            (tmp_path / "gate").touch()
        else:
            os.kill(next(iter(pool._busy)).pid, signal_number)
        assert (await dying).status == (500 if signal_number is None else 507)
        assert {answer.status for answer in await asyncio.gather(*rest)} == {200}
        assert [orders.begun(number) for number in range(1, 6)] == [1, 1, 1, 1, 1]

    loop.run_until_complete(scenario())


def test_worker_that_takes_too_long_takes_one_request_with_it(loop, make_pool, orders):
    async def scenario():
        pool = make_pool(environ={"SAGEMAKER_TS_RESPONSE_TIMEOUT": "1"})
        await pool.start()
        late = asyncio.ensure_future(pool.invoke(orders.new(until="/never")))
        await until(lambda: orders.begun(1))
        following = asyncio.ensure_future(pool.invoke(orders.new()))
        assert (await late).status == 500
        assert (await following).status in {200, 500}, "500 if its own second was over, on a very slow machine"
        assert orders.begun(1) == 1

    loop.run_until_complete(scenario())


def test_closing_refuses_what_lies_before_a_worker(loop, make_pool, orders):
    async def scenario():
        pool = make_pool()
        await pool.start()
        asked = [asyncio.ensure_future(pool.invoke(orders.new(until="/never")))]
        await until(lambda: orders.begun(1))
        asked += [asyncio.ensure_future(pool.invoke(orders.new())) for _ in range(2)]
        await asyncio.sleep(0)
        await pool.close(drain=0.01)
        assert [answer.status for answer in await asyncio.gather(*asked)] == [500, 503, 503]

    loop.run_until_complete(scenario())


@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_any_moment_lose_no_more_than_was_begun_and_repeat_nothing(loop, make_pool, orders, workers):
    chance = random.Random(workers)

    async def scenario():
        pool = make_pool(workers=workers)
        await pool.start()
        statuses: dict[int, int] = {}
        kills = 0

        async def client() -> None:
            while kills < 12:
                request = orders.new()
                number = orders.made
                statuses[number] = (await pool.invoke(request)).status

        clients = [asyncio.ensure_future(client()) for _ in range(4)]
        while kills < 12:
            answered = len(statuses)
            await until(lambda seen=answered: len(statuses) > seen + 3)
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            for worker in [*pool._busy, *pool._idle][:1]:
                os.kill(worker.pid, signal.SIGKILL)
            kills += 1
        await asyncio.gather(*clients)
        lost = [number for number, status in statuses.items() if status != 200]
        assert len(lost) <= kills
        assert {statuses[number] for number in lost} <= {500, 507}
        begun = {number: orders.begun(number) for number in statuses}
        assert {begun[number] for number in statuses if number not in lost} == {1}
        assert {begun[number] for number in lost} <= {0, 1}, "0 if it was killed after it had read the request"

    loop.run_until_complete(scenario())
