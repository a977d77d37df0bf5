"""The record of what could not be tagged."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from sm_magics.hosting import created

ARN = "arn:aws:sagemaker:us-west-2:123456789012:endpoint/digits"
NOW = datetime(2026, 11, 22, 20, 0, 0, 123000, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_is_noted_last_counts():
    assert created.tags(ARN) == {}
    created.note(ARN, {"a": "1"})
    created.note(ARN, {"a": "2"}, NOW)
    assert created.tags(ARN) == {"a": "2"}
    assert created.tags(f"{ARN}-2") == {}


def test_another_endpoint_made_later_under_the_same_name_is_not_it():
    created.note(ARN, {"a": "1"}, NOW)
    elsewhere = NOW.astimezone(timezone(timedelta(hours=2)))
    assert created.tags(ARN, elsewhere) == {"a": "1"}
    assert created.tags(ARN, NOW + timedelta(seconds=1)) == {}


def test_the_record_is_for_this_user_alone_and_half_a_line_is_passed_over(home):
    created.note(ARN, {"a": "1"})
    path = home / "created.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as file:
        file.write('7\n[]\n{"arn": 1}\n{"arn": "x", "tags": {"b"')
    assert created.tags(ARN) == {"a": "1"}
    created.note(ARN, {"a": "2"})
    assert created.tags(ARN) == {"a": "2"}
