"""A fleet in this process, with pools that do what the test says: moments that a client cannot hit on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sm_magics.local.hosting.fleet import MOST_LOSSES, PATIENCE, Fleet, VersionFailedError
from sm_magics.local.protocol.errors import ApiError
from sm_magics.serving.messages import Answer, Request

REQUEST = Request("POST", "/invocations", (), b"")
ANSWER = Answer(200, "", (), b"answered")


class Pool:
    """What a fleet needs of a ``WorkerPool``."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.healthy = True
        self.idle_losses = 0
        self.closed = False
        self.answers: list[asyncio.Future[Answer]] = []

    def submit(self, _request: Request, *, stream: bool) -> asyncio.Future[Answer]:
        assert not stream
        assert not self.closed
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    async def close(self, *, drain: float) -> None:
        self.closed = True
        for answer in self.answers:
            await answer


class Made:
    """A fleet, its pools and what it said."""

    def __init__(self, size: int = 1, **settings: Any) -> None:
        self.pools: list[Pool] = []
        self.lines: list[str] = []
        self.failures: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = ""
        settings = {"concurrency": None, "idle_after": 10.0, "spread": False, **settings}
        self.fleet = Fleet(size, self.open, log=self.lines.append, on_failed=self.failures.append, **settings)

    async def open(self, number: int) -> Any:
        await self.gate.wait()
        if self.broken:
            raise VersionFailedError(self.broken)
        self.pools.append(Pool(number))
        return self.pools[-1]

    def look(self, seconds: float) -> None:
        """Let the fleet look at itself so many seconds from now."""
        self.fleet.look(asyncio.get_running_loop().time() + seconds)


def run(scenario: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


async def until(look: Callable[[], Any]) -> None:
    """Let everything else go on until something is so."""
    while not look():  # noqa: ASYNC110 - no event says it
        await asyncio.sleep(0)


async def begun(made: Made, *, pool: int = 0, asked: int = 1) -> None:
    """Wait until a pool has been asked so many times."""
    await until(lambda: len(made.pools) > pool and len(made.pools[pool].answers) == asked)


def test_nobody_asks_and_the_workers_stop_until_somebody_does():
    async def scenario() -> None:
        made = Made()
        await made.fleet.start()
        made.look(9)
        assert not made.fleet.asleep
        made.look(11)
        assert made.lines == ["No request came for 10 s: the workers stop. The next request starts them again."]
        await until(lambda: made.fleet.at_rest)
        assert made.pools[0].closed
        asked = [made.fleet.ask(REQUEST) for _ in range(3)]
        await begun(made, pool=1, asked=3)
        assert len(made.pools) == 2, "one start for all who wait"
        for answer in made.pools[1].answers:
            answer.set_result(ANSWER)
        assert await asyncio.gather(*asked) == [ANSWER] * 3
        await made.fleet.close(drain=1)

    run(scenario)


def test_workers_with_something_to_do_do_not_stop():
    async def scenario() -> None:
        made = Made()
        await made.fleet.start()
        asked = made.fleet.ask(REQUEST)
        await begun(made)
        made.look(1000)
        assert not made.fleet.asleep
        made.pools[0].answers[0].set_result(ANSWER)
        assert await asked == ANSWER
        await asyncio.sleep(0)  # who waited is told first
        made.look(9)
        assert not made.fleet.asleep, "it was used just now"
        made.look(11)
        await until(lambda: made.fleet.at_rest)
        await made.fleet.close(drain=1)

    run(scenario)


def test_a_request_that_waits_for_the_workers_is_answered_though_the_fleet_is_closed():
    async def scenario() -> None:
        made = Made()
        await made.fleet.start()
        made.look(11)
        made.gate.clear()
        asked = made.fleet.ask(REQUEST)
        closing = asyncio.create_task(made.fleet.close(drain=60))
        await asyncio.sleep(0)
        made.gate.set()
        await begun(made, pool=1)
        made.pools[1].answers[0].set_result(ANSWER)
        assert await asked == ANSWER
        await closing
        assert made.pools[1].closed

    run(scenario)


def test_workers_that_cannot_be_woken_fail_the_endpoint_and_the_requests_that_wait():
    async def scenario() -> None:
        made = Made()
        await made.fleet.start()
        made.look(11)
        made.broken = "The weights are gone."
        outcomes = await asyncio.gather(made.fleet.ask(REQUEST), made.fleet.ask(REQUEST), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == [made.broken] * 2
        assert made.failures == [made.broken]
        await made.fleet.close(drain=1)

    run(scenario)


def test_one_who_stops_waiting_for_the_workers_does_not_stop_them():
    async def scenario() -> None:
        made = Made()
        await made.fleet.start()
        made.look(11)
        made.gate.clear()
        impatient = made.fleet.ask(REQUEST)
        await asyncio.sleep(0)
        impatient.cancel()
        patient = made.fleet.ask(REQUEST)
        made.gate.set()
        await begun(made, pool=1)
        made.pools[1].answers[0].set_result(ANSWER)
        assert await patient == ANSWER
        assert impatient.cancelled()
        await made.fleet.close(drain=1)

    run(scenario)


def test_workers_that_keep_dying_fail_the_endpoint_after_a_while_and_only_then():
    async def scenario() -> None:
        made = Made(idle_after=1e9)
        await made.fleet.start()
        made.pools[0].healthy = False
        made.look(0)
        made.look(PATIENCE / 2)
        made.pools[0].healthy = True
        made.look(PATIENCE)
        made.pools[0].healthy = False
        made.look(PATIENCE + 1)
        made.look(2 * PATIENCE)
        assert not made.failures
        made.look(2 * PATIENCE + 2)
        (failure,) = made.failures
        assert failure.startswith("The workers of the primary container kept dying.")
        assert "kept dying" in made.lines[-1]
        await made.fleet.close(drain=1)

    run(scenario)


def test_workers_that_die_by_themselves_fail_the_endpoint_when_it_has_been_often_enough():
    async def scenario() -> None:
        made = Made(size=2)
        await made.fleet.start()
        made.pools[1].idle_losses = MOST_LOSSES - 1
        made.look(1)
        assert not made.failures
        made.pools[1].idle_losses = MOST_LOSSES
        made.look(2)
        assert len(made.failures) == 1
        assert made.lines == ["The workers kept dying: 6 in a row, without having been asked anything."]
        await made.fleet.close(drain=1)

    run(scenario)


def test_requests_go_to_the_instance_with_the_fewest_and_not_to_a_sick_one():
    async def scenario() -> None:
        made = Made(size=3)
        await made.fleet.start()
        made.pools[1].healthy = False
        asked = [made.fleet.ask(REQUEST) for _ in range(4)]
        await until(lambda: sum(len(pool.answers) for pool in made.pools) == 4)
        assert [len(pool.answers) for pool in made.pools] == [2, 0, 2]
        for pool in made.pools:
            for answer in pool.answers:
                answer.set_result(ANSWER)
        await asyncio.gather(*asked)
        await made.fleet.close(drain=1)

    run(scenario)


def test_instances_that_go_answer_what_they_were_asked():
    async def scenario() -> None:
        made = Made(size=2)
        await made.fleet.start()
        asked = [made.fleet.ask(REQUEST) for _ in range(2)]
        await begun(made, pool=1)
        await made.fleet.scale(1)
        await until(lambda: made.pools[1].closed)
        assert not made.pools[0].closed
        for pool in made.pools:
            pool.answers[0].set_result(ANSWER)
        assert await asyncio.gather(*asked) == [ANSWER] * 2
        await made.fleet.close(drain=1)

    run(scenario)


def test_a_sleeping_fleet_has_its_new_size_when_it_wakes():
    async def scenario() -> None:
        made = Made()
        await made.fleet.start()
        made.look(11)
        await made.fleet.scale(3)
        assert made.fleet.asleep
        asked = made.fleet.ask(REQUEST)
        await begun(made, pool=1)
        assert [pool.number for pool in made.pools] == [0, 0, 1, 2]
        made.pools[1].answers[0].set_result(ANSWER)
        await asked
        await made.fleet.close(drain=1)

    run(scenario)


def test_of_instances_that_cannot_all_be_started_none_is_left():
    async def scenario() -> None:
        made = Made()
        await made.fleet.start()
        opened = made.open

        async def last_is_broken(number: int) -> Any:
            if number == 2:
                await until(lambda: len(made.pools) == 2)
                raise VersionFailedError("no third")
            return await opened(number)

        made.fleet._open_instance = last_is_broken
        with pytest.raises(VersionFailedError, match="no third"):
            await made.fleet.scale(3)
        assert [pool.closed for pool in made.pools] == [False, True]
        await made.fleet.close(drain=1)

    run(scenario)


def test_more_than_the_concurrency_is_turned_away_also_while_the_workers_wake():
    async def scenario() -> None:
        made = Made(concurrency=1)
        await made.fleet.start()
        made.look(11)
        asked = made.fleet.ask(REQUEST)
        await begun(made, pool=1)
        with pytest.raises(ApiError) as caught:
            made.fleet.ask(REQUEST)
        assert caught.value.code == "ThrottlingException"
        made.pools[1].answers[0].set_result(ANSWER)
        await asked
        again = made.fleet.ask(REQUEST)
        await begun(made, pool=1, asked=2)
        made.pools[1].answers[1].set_result(ANSWER)
        assert await again == ANSWER
        await made.fleet.close(drain=1)

    run(scenario)
