"""What the workers print, read as CloudWatch Logs."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sm_magics.local.cloudwatch import logs as log_store
from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.store import Store

GROUP = "/aws/sagemaker/Endpoints/talking"
TALKING = """
def model_fn(model_dir):
    for number in range(25):
        print(f"line {number:02d} of the model")
    import sys
    print("to stderr", file=sys.stderr)
    return None
def transform_fn(model, body, content_type, accept):
    print("predicting")
    return "{}", accept
"""


@pytest.fixture(scope="module")
def logs(service):
    service.deploy("talking", TALKING)
    return service.client("logs")


@pytest.fixture(scope="module")
def stream(logs):
    return logs.describe_log_streams(logGroupName=GROUP)["logStreams"][0]


def messages(answer) -> list[str]:
    return [event["message"] for event in answer["events"]]


def test_the_group_and_stream_are_those_of_the_endpoint(service, logs, stream):
    found = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert [group["logGroupName"] for group in found] == [GROUP]
    assert found[0]["arn"].endswith(f":log-group:{GROUP}:*")
    assert found[0]["storedBytes"] > 0
    assert stream["logStreamName"].startswith("AllTraffic/i-")
    now = time.time() * 1000
    assert now - 600_000 < stream["firstEventTimestamp"] <= stream["lastEventTimestamp"] <= now + 1000


def test_pages_follow_the_forward_token_until_it_repeats(logs, stream):
    named = {"logGroupName": GROUP, "logStreamName": stream["logStreamName"], "limit": 10}
    page = logs.get_log_events(**named, startFromHead=True)
    collected = messages(page)
    while True:
        following = logs.get_log_events(**named, nextToken=page["nextForwardToken"])
        if following["nextForwardToken"] == page["nextForwardToken"]:
            break
        collected += messages(following)
        page = following
    assert [line for line in collected if line.startswith("line")] == [f"line {n:02d} of the model" for n in range(25)]
    assert len(collected) == len(set(collected))
    assert "to stderr" in collected


def test_without_a_start_the_latest_events_come_and_the_backward_token_leads_to_the_older_ones(logs, stream):
    named = {"logGroupName": GROUP, "logStreamName": stream["logStreamName"], "limit": 5}
    everything = messages(logs.get_log_events(**{**named, "limit": 10_000}, startFromHead=True))
    page = logs.get_log_events(**named)
    collected = messages(page)
    assert collected == everything[-5:]
    while True:
        older = logs.get_log_events(**named, nextToken=page["nextBackwardToken"])
        if older["nextBackwardToken"] == page["nextBackwardToken"]:
            break
        collected = messages(older) + collected
        page = older
    assert collected == everything


def test_a_forward_token_at_the_end_finds_what_is_printed_later(service, logs, stream):
    named = {"logGroupName": GROUP, "logStreamName": stream["logStreamName"]}
    end = logs.get_log_events(**named)["nextForwardToken"]
    assert messages(logs.get_log_events(**named, nextToken=end)) == []
    service.invoke("talking", b"{}")
    assert "predicting" in messages(logs.get_log_events(**named, nextToken=end))


def test_events_are_filtered_by_terms_and_paged(logs):
    def found(pattern, **named):
        return messages(logs.filter_log_events(logGroupName=GROUP, filterPattern=pattern, **named))

    assert found("line 07") == ["line 07 of the model"]
    assert found('"07 of"') == ["line 07 of the model"]
    assert found("?07 ?08") == ["line 07 of the model", "line 08 of the model"]
    assert "to stderr" in found("-line")
    assert not [line for line in found("-line") if line.startswith("line")]
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP, filterPattern="line", PaginationConfig={"PageSize": 7}
    )
    assert [event["message"] for page in pages for event in page["events"]] == [
        f"line {n:02d} of the model" for n in range(25)
    ]
    assert found("line", endTime=1) == []
    with pytest.raises(ClientError, match="Filter patterns for JSON"):
        found("{ $.a = 1 }")


def test_what_is_not_there_is_named(logs):
    for call, what in (
        (lambda: logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/none"), "group"),
        (lambda: logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/none"), "group"),
        (lambda: logs.get_log_events(logGroupName=GROUP, logStreamName="none"), "stream"),
    ):
        with pytest.raises(ClientError, match=f"The specified log {what} does not exist.") as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    with pytest.raises(ClientError, match="InvalidParameterException"):
        logs.filter_log_events(logGroupName=GROUP, nextToken="x")


# In this process


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "state.sqlite3")
    yield store
    store.close()


def path_of(store: Store) -> Path:
    return Path(store.row("SELECT file FROM pragma_database_list WHERE name = 'main'")[0])


def lines_of(logs: Logs, group: str = "group") -> list[str]:
    streams = logs.streams(group)
    return [event.message for event in logs.events(streams)] if streams else []


def test_a_line_that_is_no_text_is_kept_as_well_as_it_can_be(store):
    logs = Logs(store, lambda: None)
    append = logs.writer("group", "stream")
    append("half a \ud800 character")
    append("whole \U0001f600 one")
    assert lines_of(logs) == ["half a ? character", "whole \U0001f600 one"]


def test_lines_that_could_not_be_written_are_written_later(store, monkeypatch, caplog):
    scheduled = []
    logs = Logs(store, lambda: scheduled.append(1))
    append = logs.writer("group", "stream")

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    append("one")
    with monkeypatch.context() as patch:
        patch.setattr(store, "run_many", full)
        logs.flush()
        append("two")
        logs.flush()
        assert len(scheduled) == 3, "once for the first line, and again after each failure"
    assert [record.levelname for record in caplog.records] == ["ERROR"], "said once"
    assert lines_of(logs) == ["one", "two"]


def test_of_lines_that_cannot_be_written_only_the_latest_are_held(store, monkeypatch):
    monkeypatch.setattr(log_store, "MOST_HELD", 100)
    logs = Logs(store, lambda: None)
    append = logs.writer("group", "stream")

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "run_many", full)
        for number in range(30):
            append(f"line {number:05d}")
            logs.flush()
    assert lines_of(logs) == [f"line {number:05d}" for number in range(20, 30)]


def test_all_logs_together_stay_within_their_bound_and_the_oldest_lines_go_first(store, monkeypatch):
    monkeypatch.setattr(log_store, "MOST_STORED", 1 << 20)
    monkeypatch.setattr(log_store, "TRIM_EVERY", 1 << 16)
    logs = Logs(store, lambda: None)
    appends = [logs.writer("group", f"stream-{number}") for number in range(4)]
    for number in range(4000):
        appends[number % 4](f"{number:06d} " + "x" * 1000)
        if not number % 50:
            logs.flush()
    kept = [int(line[:6]) for line in lines_of(logs)]
    assert kept == list(range(kept[0], 4000)), "the latest, without a gap"
    assert 300 < len(kept) < 1200
    assert sum(file.stat().st_size for file in path_of(store).parent.iterdir() if "-" not in file.name) < 2 << 20


def test_one_stream_keeps_its_latest_lines(store, monkeypatch):
    monkeypatch.setattr(log_store, "KEPT", 5)
    logs = Logs(store, lambda: None)
    append = logs.writer("group", "stream")
    for number in range(8):
        append(str(number))
    logs.flush()
    assert lines_of(Logs(store, lambda: None)) == ["3", "4", "5", "6", "7"], "trimmed when the service starts, too"


def test_streams_that_got_nothing_for_long_are_gone_at_the_next_start(store, monkeypatch):
    now = time.time_ns()
    logs = Logs(store, lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now - (log_store.DAYS + 1) * 86400 * 10**9)
        logs.writer("gone", "old")("a line")
        logs.writer("gone", "silent")
        still = logs.writer("there", "old but in use")
        logs.flush()
    still("another line")
    logs.writer("there", "new")
    logs.flush()
    again = Logs(store, lambda: None)
    assert [name for name, *_ in again.groups()] == ["there"]
    assert [stream.name for stream in again.streams("there")] == ["new", "old but in use"]
    assert store.row("SELECT count(*) FROM events WHERE message = 'a line'")[0] == 0
