"""The parts that need no server: masking, threads, shared answers, errors as they are told."""

from __future__ import annotations

import asyncio
import inspect
import threading
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics import errors
from sm_magics.hosting import Endpoint
from sm_magics.hosting.cost import Cost
from sm_magics.server import masking, problems, rows
from sm_magics.server.flights import Flights
from sm_magics.server.lanes import Lane
from sm_magics.server.problems import Problem, Refused

SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "password: hunter2hunter2",
    '"hf_token": "abcdef0123456789"',
    "https://user:hunter2hunter2@example.com/x",
    "Authorization: Bearer abcdef0123456789",
    "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=0123456789abcdef",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdef",
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_masked(text):
    shown = masking.text(f"before {text} after")
    assert masking.MASK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    for secret in ("wJalr", "hunter2", "abcdef0123456789", "0123456789abcdef", "opqrstuvwxyz", "eyJzdWIi", "IOSFODNN"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'fc.weight'",
        "arn:aws:sagemaker:us-west-2:123456789012:endpoint/digits",
        "s3://sagemaker-us-west-2-123456789012/sm_magics/abc.tar.gz",
        "2026-11-22 21:57:32 loss=0.25 tokens=51200 max_tokens: 51200, tokenizer=bert-base",
        'File "/opt/ml/model/code/inference.py", line 12, in model_fn',
    ],
)
def test_what_a_person_needs_is_not_masked(text):
    assert masking.text(text) == text


def test_a_long_text_has_a_beginning_and_an_end():
    shown = masking.text("begin " + "a-" * 1_000_000 + " end")
    assert shown.startswith("begin a-a-")
    assert shown.endswith("a-a- end")
    assert len(shown) < 21_000


@given(st.text())
def test_masking_takes_any_text(text):
    masking.text(text)


def test_values_are_masked_by_their_names():
    values = {"team": "vision", "API_TOKEN": "x", "apiKey": "y", "epochs": 3, "note": "password=abcdef", "none": None}
    assert masking.named(values) == {
        "team": "vision",
        "API_TOKEN": "••••",
        "apiKey": "••••",
        "epochs": 3,
        "note": "password=••••",
        "none": None,
    }
    assert masking.named({"max_tokens": 512, "author": "me"}) == {"max_tokens": 512, "author": "me"}
    assert masking.named({"loss": float("nan")}) == {"loss": None}
    assert masking.named({"nested": {"secret": "x"}, "list": ["password=abcdef"], "empty_token": ""}) == {
        "nested": {"secret": "••••"},
        "list": ["password=••••"],
        "empty_token": "",
    }


def every_error():
    return [
        value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.SmMagicsError)
    ]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_ours_has_a_status(kind):
    problem = problems.of(kind("What it is.", hint="do this"))
    assert 400 <= problem.status < 600
    assert problem.status != 500
    assert problem.code.isidentifier()
    assert {"code", "message", "hint"} <= set(problem.shown())
    assert (problem.shown()["message"], problem.shown()["hint"]) == ("What it is.", "do this")


def test_of_an_error_that_is_not_ours_nothing_is_told():
    assert problems.of(ValueError("insides")) is problems.INTERNAL
    assert "insides" not in str(problems.INTERNAL.shown())


async def test_a_lane_is_as_wide_as_it_is_and_refuses_who_would_wait_too_long():
    lane, release, running = Lane("test", width=2, waiting=1), threading.Event(), threading.Semaphore(0)

    def work():
        running.release()
        release.wait(60)
        return threading.current_thread().name

    there = [asyncio.create_task(lane.run(work)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refusal:
        await lane.run(work)
    assert (refusal.value.problem.status, refusal.value.problem.code) == (503, "Busy")
    for _ in range(2):
        await asyncio.to_thread(running.acquire, timeout=60)
    assert not running.acquire(blocking=False)  # the third waits
    release.set()
    assert await asyncio.gather(*there) == ["sm_magics-test"] * 3
    assert await lane.run(lambda: 1) == 1


async def test_whoever_stops_waiting_gives_the_thread_back_when_it_has_ended():
    lane, release = Lane("test", width=1, waiting=1), threading.Event()
    impatient = asyncio.create_task(lane.run(lambda: release.wait(60)))
    queued = asyncio.create_task(lane.run(lambda: 2))
    await asyncio.sleep(0)
    impatient.cancel()
    queued.cancel()
    await asyncio.gather(impatient, queued, return_exceptions=True)
    release.set()
    assert await lane.run(lambda: 3) == 3
    assert await lane.run(lambda: 4) == 4


async def test_what_is_raised_on_a_thread_is_raised_where_it_is_waited_for():
    def work():
        raise errors.EndpointNotFound("gone")

    lane = Lane("test", width=1, waiting=0)
    with pytest.raises(errors.EndpointNotFound):
        await lane.run(work)
    assert await lane.run(lambda: 1) == 1


async def test_all_who_ask_at_once_get_one_answer():
    flights, asked, may_answer = Flights(), [], asyncio.Event()

    async def ask():
        asked.append(1)
        await may_answer.wait()
        return len(asked)

    there = [asyncio.create_task(flights.ask("key", ask, seconds=600, patience=60)) for _ in range(5)]
    other = asyncio.create_task(flights.ask("other", ask, seconds=600, patience=60))
    await asyncio.sleep(0)
    may_answer.set()
    assert len({answer.value for answer in await asyncio.gather(*there)}) == 1
    await other
    assert len(asked) == 2
    assert (await flights.ask("key", ask, seconds=600, patience=60)).asked is not None
    assert len(asked) == 2
    await flights.ask("key", ask, seconds=0, patience=60)
    assert len(asked) == 3


async def test_what_was_known_is_told_while_it_is_not_known_better():
    flights, answers = Flights(), iter([1, errors.Throttled("slower"), 2])

    async def ask():
        value = next(answers)
        if isinstance(value, Exception):
            raise value
        return value

    assert (await flights.ask("key", ask, seconds=2, patience=60)).value == 1
    flights.stale("key")
    second = await flights.ask("key", ask, seconds=2, patience=60)
    assert (second.value, second.problem.code) == (1, "Throttled")
    third = await flights.ask("key", ask, seconds=2, patience=60)
    assert third == second  # not asked again so soon
    fourth = await flights.ask("key", ask, seconds=0, patience=60, after_problem=0)  # but where somebody insists
    assert (fourth.value, fourth.problem) == (2, None)


async def test_what_changes_while_it_is_asked_is_asked_again():
    flights, may_answer, asked = Flights(), asyncio.Event(), []

    async def ask():
        asked.append(1)
        await may_answer.wait()

    first = await flights.ask("key", ask, seconds=600, patience=0)
    assert first.is_waiting
    flights.stale("key")
    may_answer.set()
    await flights.ask("key", ask, seconds=600, patience=60)
    await flights.ask("key", ask, seconds=600, patience=60)
    assert len(asked) == 2


async def test_a_failure_that_is_not_ours_is_logged_and_told_as_such(caplog):
    async def ask():
        raise ZeroDivisionError

    answer = await Flights().ask("key", ask, seconds=1, patience=60)
    assert answer.problem is problems.INTERNAL
    assert "ZeroDivisionError" in caplog.text


async def test_answers_to_questions_that_nobody_asks_any_more_are_forgotten():
    flights = Flights()

    async def ask():
        return 1

    for key in range(200):
        await flights.ask(key, ask, seconds=600, patience=60)
    assert len(flights._questions) <= 65


def test_a_row_says_what_an_endpoint_costs_by_the_hour_and_so_far():
    created = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
    endpoint = Endpoint("digits", "us-west-2", status="InService", created=created)
    price = Cost("2 × ml.m5.large", Decimal("0.23"), Decimal(9))
    details = rows.Details("", price, 2, {"sm-magics:created-by": "sm_magics", "sm-magics:user": "me"})
    row = rows.row(endpoint, details, "me", root="", now=created + timedelta(hours=3, seconds=7))
    assert (row["cost_per_hour"], row["cost_so_far"], row["instance_type"]) == (0.23, 0.69, "2 × ml.m5.large")
    assert (row["mine"], row["made_here"], row["notebook"]) == (True, True, "")
    unknown = rows.row(endpoint, None, "me", root="", now=created)
    assert {unknown[name] for name in ("cost_per_hour", "cost_so_far", "instance_type", "mine", "reason")} == {None}
    another = rows.row(endpoint, details, "you", root="", now=created)
    assert (another["mine"], another["made_here"]) == (False, True)


@pytest.mark.parametrize(
    ("cost", "tags", "is_lasting"),
    [
        (Cost("ml.m5.large", Decimal(1)), {}, True),
        (Cost("ml.m5.large", unknown="no single price"), {}, True),
        (Cost("ml.m5.large", unknown="nobody may ask for prices", is_refused=True), {}, False),
        (Cost("serverless", unknown="billed by the request"), {}, True),
        (Cost(unknown="DescribeEndpointConfig was throttled"), {}, False),
        (Cost("ml.m5.large", Decimal(1)), None, False),
    ],
)
def test_what_could_not_be_had_is_asked_for_again_after_a_time(cost, tags, is_lasting, monkeypatch):
    details = rows.Details("", cost, 1, tags)
    assert details.is_lasting
    monkeypatch.setattr(rows, "_RETRY", 0.0)
    monkeypatch.setattr(rows, "_PRICE_RETRY", 0.0)
    assert details.is_lasting is is_lasting


def test_a_problem_is_told_without_secrets():
    assert Problem(424, "X", "password=hunter2hunter2", "token: abcdefabcdef").shown() == {
        "code": "X",
        "message": "password=••••",
        "hint": "token: ••••",
    }
