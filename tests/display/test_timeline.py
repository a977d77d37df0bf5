"""Phases stand in a line, with how long each took and how fast the present one goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.display import timeline
from sm_magics.display.timeline import AHEAD, BAD, DONE, NOW, Phase, Timeline
from sm_magics.progress import Progress

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"])) | st.sampled_from(["<q>", "</li>", "&lt;"])


def test_phases_follow_each_other_and_the_last_one_goes_on():
    line = Timeline()
    line.add(Progress("Pack", 5, 10), 0.0)
    line.add(Progress("Pack", 10, 10), 2.0)
    line.add(Progress("Upload", 4_000_000, 10_000_000), 2.5)
    line.add(Progress("Upload", 6_000_000, 10_000_000), 4.5)
    assert line.phases(4.5, ["Create"]) == [
        Phase("Pack", DONE, "0.1 kB in 2.5 s"),
        Phase("Upload", NOW, "6.0 MB of 10.0 MB · 3.0 MB/s · 1.3 s left"),
        Phase("Create", AHEAD),
    ]
    line.end(6.0)
    assert [phase.state for phase in line.phases(6.0)] == [DONE, DONE]


def test_a_phase_that_comes_again_is_one_phase():
    line = Timeline()
    line.add(Progress("Save", note="model.pth"), 0.0)
    line.add(Progress("Pack"), 1.0)
    line.add(Progress("Save", 1, 2), 2.0)
    assert [phase.name for phase in line.phases(2.0)] == ["Pack", "Save"]


def test_a_speed_is_told_only_once_it_means_something():
    assert timeline.pace(Progress("Upload", 5000, 10_000), 0.5) == "5.0 kB of 10.0 kB"
    assert timeline.pace(Progress("Upload", 0, 10_000), 5.0) == "0 B of 10.0 kB"
    assert timeline.pace(Progress("Install", note="torch"), 5.0) == "torch"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 ms"),
        (0.0042, "4.2 ms"),
        (0.0423, "42 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (134, "2 min 14 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
        (-5, "0.0 ms"),
    ],
)
def test_times_are_for_people(seconds, said):
    assert timeline.duration(seconds) == said


def test_what_goes_on_is_told_in_whole_seconds():
    assert timeline.elapsed(timedelta(seconds=3.9)) == "3 s"
    assert timeline.elapsed(timedelta(seconds=134.9)) == "2 min 14 s"
    assert timeline.elapsed(timedelta(seconds=-2)) == "0 s"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(Phase, TEXT, st.sampled_from([DONE, NOW, BAD, AHEAD]), TEXT)))
def test_a_line_is_a_list_and_no_text_becomes_markup(read_live, phases):
    drawn = timeline.draw(phases)
    found = read_live(drawn)
    for phase in phases:  # the kinds of white space may have become one
        assert all(word in found.text for word in f"{phase.name} {phase.note}".split())
        assert all(word in drawn.text for word in phase.name.split())
