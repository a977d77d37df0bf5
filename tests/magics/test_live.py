"""Progress is drawn in one place in the cell, which holds the result in the end."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from sm_magics.display import page
from sm_magics.magics import live
from sm_magics.magics.live import Live
from sm_magics.progress import Progress, StatusChanged

RESULT = page.card(page.OK, "digits", "done")


class Kernel:
    def __init__(self, *, watched):
        self._allow_stdin = watched


@pytest.fixture
def now(monkeypatch):
    """A clock that the test moves."""
    clock = [0.0]
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


@pytest.fixture
def watched(notebook):
    notebook.shell.kernel = Kernel(watched=True)
    yield notebook
    del notebook.shell.kernel


def work(notebook, now, *, fails=False):
    """Let work report its progress over ten seconds."""
    with Live(notebook.session, "digits") as shows:
        for second in range(1, 11):
            now[0] = float(second)
            shows(Progress("Upload", second, 10))
        if fails:
            raise ValueError
        shows.finish(RESULT)


def test_progress_and_result_stand_in_one_place(watched, now):
    work(watched, now)
    outputs = watched.shell.display_pub.outputs
    assert [output["update"] for output in outputs] == [False] + [True] * 10
    assert len({output["transient"]["display_id"] for output in outputs}) == 1
    assert outputs[-1]["data"] == RESULT.bundle()
    assert "Upload" in outputs[0]["data"]["text/plain"]


def test_where_nobody_watches_the_result_alone_is_shown(notebook, now):
    notebook.shell.kernel = Kernel(watched=False)
    try:
        work(notebook, now)
    finally:
        del notebook.shell.kernel
    assert [output["data"] for output in notebook.shell.display_pub.outputs] == [RESULT.bundle()]
    assert not notebook.shell.display_pub.outputs[0]["update"]


def test_a_terminal_which_cannot_update_shows_the_result_alone(notebook, now):
    work(notebook, now)
    assert notebook.shown == [RESULT.bundle()]


def test_work_that_is_done_at_once_shows_no_progress(watched, now):
    with Live(watched.session, "digits") as shows:
        shows(Progress("Upload", 1, 10))
        shows(StatusChanged("digits", "Creating"))
        shows.finish(RESULT)
    assert watched.shown == [RESULT.bundle()]


def test_updates_come_no_faster_than_can_be_read_but_every_status_does(watched, now):
    with Live(watched.session, "digits") as shows:
        now[0] = 1.0
        for done in range(100):
            shows(Progress("Upload", done, 100))
        assert len(watched.shown) == 1
        shows(StatusChanged("digits", "Creating"))
        shows(StatusChanged("digits", "InService"))
        assert len(watched.shown) == 3


def test_work_that_fails_leaves_no_progress_behind(watched, now):
    with pytest.raises(ValueError):  # noqa: PT011 - the one that the work raises
        work(watched, now, fails=True)
    last = watched.shell.display_pub.outputs[-1]
    assert (last["data"], last["update"]) == ({"text/plain": ""}, True)


def test_a_result_that_was_shown_stays_when_an_error_follows_it(watched, now):
    with contextlib.suppress(ValueError), Live(watched.session, "digits") as shows:
        now[0] = 1.0
        shows(Progress("Upload", 1, 10))
        shows.finish(RESULT)
        raise ValueError
    assert watched.shown[-1] == RESULT.bundle()


def test_work_that_fails_at_once_draws_nothing(watched, now):
    with pytest.raises(ValueError), Live(watched.session, "digits"):  # noqa: PT011
        raise ValueError
    assert watched.shown == []
