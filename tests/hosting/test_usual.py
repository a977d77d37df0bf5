"""What is usual is what was seen from here, and nothing where nothing was."""

from __future__ import annotations

import pytest

from sm_magics import home
from sm_magics.hosting import usual


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path))


def test_nothing_is_usual_of_a_kind_that_was_never_seen():
    usual.note("us-west-2", "ml.m5.large", 1.0, 200.0)
    assert usual.seconds("us-west-2", "ml.g5.xlarge") is None
    assert usual.seconds("us-east-1", "ml.m5.large") is None
    assert usual.seconds("us-west-2", "ml.m5.large") == (200.0, 200.0)


def test_what_two_cards_see_counts_once():
    for _ in range(5):
        usual.note("local", "", 7.0, 0.4)
    usual.note("local", "", 8.0, 0.6)
    assert usual.seconds("local", "") == (0.4, 0.6)


def test_of_many_the_middle_half_is_usual_and_only_the_newest_are_kept():
    for number in range(100):
        usual.note("local", "", float(number), 1000.0 if number < 80 else number - 79.0)
    least, most = usual.seconds("local", "")
    assert least == 5.75
    assert most == 15.25


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"local ": 3}', '{"local ": {"x": 1}}', '{"local ": {"1": "y"}}', "\0"]
)
def test_a_damaged_note_says_nothing_and_is_replaced(text):
    (home.home() / "usual.json").write_text(text)
    assert usual.seconds("local", "") is None
    usual.note("local", "", 1.0, 2.0)
    assert usual.seconds("local", "") == (2.0, 2.0)
