"""What is deployed to a name: by one at a time, and what was broken off is known."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import replace

import pytest

from sm_magics.errors import EndpointConflictError
from sm_magics.hosting import begun
from sm_magics.hosting.begun import Begun


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(begun, "home", lambda: tmp_path)
    return tmp_path


def test_one_at_a_time_deploys_to_a_name_and_others_are_free():
    with begun.alone("us-west-2", "digits"):
        with pytest.raises(EndpointConflictError) as caught, begun.alone("us-west-2", "DIGITS"):
            pytest.fail("both hold it")
        assert "%sm_status DIGITS" in caught.value.hint
        with begun.alone("eu-west-1", "digits"), begun.alone("us-west-2", "letters"):
            pass
    with begun.alone("us-west-2", "digits"):
        pass


def test_who_only_clears_away_is_waited_for():
    entered, left = threading.Event(), threading.Event()

    def clear_away():
        with begun.alone("us-west-2", "digits") as attempt:
            attempt.begin(Begun("us-west-2", "digits", state=begun.CLEARING))
            entered.set()
            left.wait(60)
            attempt.end()

    thread = threading.Thread(target=clear_away)
    thread.start()
    assert entered.wait(60)
    threading.Timer(2 * begun._MOMENT, left.set).start()
    with begun.alone("us-west-2", "digits"):
        assert left.is_set()
    thread.join(60)


def test_what_was_begun_is_known_until_it_has_come_to_its_end():
    mine, other = Begun("us-west-2", "Digits", "s3://b/k", "me"), Begun("local", "letters")
    with begun.alone(mine.where, mine.name) as attempt:
        attempt.begin(mine)
        assert begun.broken_off() == []  # somebody is at it
        assert begun.of("us-west-2", "digits") == mine
    with begun.alone(other.where, other.name) as attempt:
        attempt.begin(other)
    assert begun.broken_off() == sorted([mine, other], key=lambda one: one.when)
    with begun.alone(mine.where, mine.name) as attempt:
        attempt.begin(Begun("us-west-2", "Digits"))  # shorter than what stood there
        assert begun.of("us-west-2", "digits").upload == ""
        begun.forget(mine.where, mine.name)  # in vain: it is being deployed
        attempt.begin(mine)
    assert begun.of("us-west-2", "digits") == mine
    begun.forget(mine.where, mine.name)
    begun.forget(mine.where, mine.name)
    assert begun.broken_off() == [other]


def test_a_damaged_record_says_nothing(home):
    with begun.alone("us-west-2", "digits") as attempt:
        attempt.begin(Begun("us-west-2", "digits"))
    (home / "deploying" / "us-west-2.digits").write_text('{"where": "us')
    (home / "deploying" / "us-west-2.other").write_text("[1]")
    assert begun.broken_off() == []


def _begin_and_wait(home, ready):
    begun.home = lambda: home
    with begun.alone("us-west-2", "digits") as attempt:
        attempt.begin(Begun("us-west-2", "digits"))
        ready.set()
        threading.Event().wait()


def test_a_kernel_that_was_killed_leaves_a_deployment_that_was_broken_off(home):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_begin_and_wait, args=(home, ready))
    process.start()
    try:
        assert ready.wait(60)
        assert begun.broken_off() == []
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
    assert [one.name for one in begun.broken_off()] == ["digits"]


def test_what_a_process_goes_on_with_is_not_broken_off_while_it_lives(home):
    mine = Begun("us-west-2", "digits")
    with begun.alone(mine.where, mine.name) as attempt:
        attempt.begin(mine)
    with begun.alone(mine.where, mine.name) as attempt:
        attempt.go_on(begun.BEGUN, os.getpid())
    assert begun.broken_off() == []
    begun.leave(mine.where, mine.name, begun.FAILED)
    assert begun.broken_off() == [replace(mine, state=begun.FAILED)]
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join(60)
    with begun.alone(mine.where, mine.name) as attempt:
        attempt.go_on(begun.CLEARING, process.pid)
    assert [one.name for one in begun.broken_off()] == ["digits"]
    begun.forget(mine.where, mine.name)
    begun.leave(mine.where, mine.name, begun.FAILED)
    with begun.alone(mine.where, mine.name) as attempt:
        attempt.go_on(begun.CLEARING)
    assert begun.of(mine.where, mine.name) is None
