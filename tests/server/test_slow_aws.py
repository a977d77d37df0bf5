"""AWS that does not answer holds up nobody: not the other places, not the event loop, not whoever asks next."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

import pytest

from sm_magics.hosting import connection
from sm_magics.hosting.machine import ensure_running
from sm_magics.server import asking, endpoints, lanes, places, state

REGION = "eu-central-1"


class Stalled:
    """An address that takes every connection and answers none, until it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.taken: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                self.taken.append(self._listener.accept()[0])

    def close(self) -> None:
        with suppress(OSError):  # it is closed
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self.taken:
            one.close()

    async def end(self) -> None:
        """Close, and wait for all who ask: a thread that makes its client later would ask whoever is there by then."""
        self.close()
        await self.left_alone()

    async def left_alone(self) -> None:
        """Wait until nobody asks."""
        while asking := [thread for thread in threading.enumerate() if thread.name == "sm_magics-aws"]:
            for thread in asking:
                await asyncio.to_thread(thread.join)


@pytest.fixture
def stalled(monkeypatch):
    there = Stalled()
    monkeypatch.setenv("AWS_ENDPOINT_URL", there.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody-knows-it")
    monkeypatch.setattr(endpoints, "_PATIENCE", 0.05)
    monkeypatch.setattr(asking, "PATIENCE", 0.05)
    yield there
    there.close()


async def test_a_place_that_does_not_answer_waits_alone(ask, stalled):
    ensure_running()
    answer = await ask("endpoints", query=[("where", REGION), ("where", "local")])
    there, _ = answer.body["places"]
    assert (there["where"], there["state"], there["endpoints"], there["problem"]) == (REGION, "waiting", [], None)
    answer = await ask("endpoints", REGION, "served")
    assert (answer.status, answer.error["code"]) == (504, "Timeout")
    assert (await ask("removals")).status == 200
    await stalled.end()


async def test_whoever_asks_again_waits_for_the_same_request(ask, stalled):
    for _ in range(3):
        there = await asyncio.gather(*(ask("endpoints", query={"where": REGION, "fresh": "true"}) for _ in range(4)))
        assert {one.body["places"][0]["state"] for one in there} == {"waiting"}
    threads = [thread.name for thread in threading.enumerate() if thread.name == "sm_magics-aws"]
    assert len(threads) == 1
    assert len(stalled.taken) <= 1  # it is on its way there
    await stalled.end()


async def test_it_is_given_up_after_a_time(ask, stalled, monkeypatch):
    monkeypatch.setattr(places, "READ_TIMEOUT", 0.2)
    while True:
        there = (await ask("endpoints", query={"where": REGION})).body["places"][0]
        if there["state"] != "waiting":
            break
    assert (there["state"], there["problem"]["code"]) == ("problem", "Timeout")
    assert there["problem"]["hint"]
    await stalled.left_alone()
    taken = len(stalled.taken)
    assert taken >= 2  # attempts
    assert "nobody-knows-it" not in str(there)
    # For a while that is the answer: nobody is asked.
    assert (await ask("endpoints", query={"where": REGION})).body["places"][0]["state"] == "problem"
    assert len(stalled.taken) == taken
    await stalled.end()


@pytest.fixture
def narrow(monkeypatch):
    """One request at a time, and one more that waits."""
    monkeypatch.setattr(state, "Lane", lambda name, **_: lanes.Lane(name, width=1, waiting=1))


async def test_too_many_different_questions_are_refused(narrow, stalled, ask):
    there = await asyncio.gather(*(ask("endpoints", REGION, f"served-{number}") for number in range(4)))
    assert sorted((one.status, one.error["code"]) for one in there) == [(503, "Busy")] * 2 + [(504, "Timeout")] * 2
    assert (await ask("removals")).status == 200
    await stalled.end()


async def test_the_process_waits_no_longer_than_a_browser(ask, stalled):
    await ask("endpoints", query={"where": REGION})
    while ("", REGION) not in connection._aws:
        assert (await ask("removals")).status == 200
    client = connection._aws["", REGION].client("sagemaker")
    assert client.meta.config.read_timeout == places.READ_TIMEOUT
    assert client.meta.config.connect_timeout == places.CONNECT_TIMEOUT
    await stalled.end()
