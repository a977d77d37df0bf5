"""A log is followed in one place, until it is enough."""

from __future__ import annotations

import pytest

from sm_magics.errors import BackendError, EndpointNotFound
from sm_magics.hosting import Endpoint
from sm_magics.magics import following


class Kernel:
    _allow_stdin = True


class Growing(Endpoint):
    """An endpoint whose log has one line more each time; in the end the cell is interrupted, or what is given."""

    looks, most, ends = 0, 5, KeyboardInterrupt

    def fetch(self):
        return self

    def logs(self):
        self.looks += 1
        if self.looks > self.most:
            raise self.ends
        return [f"line {number}" for number in range(self.looks)]

    @property
    def connection(self):
        return type("Connection", (), {"is_local": True})


@pytest.fixture
def growing(monkeypatch):
    monkeypatch.setattr(following, "SECONDS", {True: 0.0, False: 0.0})
    return Growing("digits", status="InService")


@pytest.fixture
def in_jupyter(notebook):
    notebook.shell.kernel = Kernel()
    yield notebook
    del notebook.shell.kernel


def test_the_log_stands_in_one_output_with_the_last_lines(in_jupyter, growing):
    lines = following.follow(in_jupyter.session, growing, 3)
    assert lines == [f"line {number}" for number in range(5)]
    outputs = in_jupyter.shell.display_pub.outputs
    assert [output["update"] for output in outputs] == [False, True, True, True, True]
    assert len({output["transient"]["display_id"] for output in outputs}) == 1
    text = outputs[-1]["data"]["text/plain"]
    assert "line 4" in text
    assert "line 1" not in text


def test_a_log_that_does_not_grow_is_not_drawn_again(in_jupyter, growing):
    growing.logs = iter([["one"]] * 20).__next__
    growing.ends = None
    with pytest.raises(StopIteration):
        following.follow(in_jupyter.session, growing, 3)
    assert len(in_jupyter.shell.display_pub.outputs) == 1


def test_a_terminal_prints_each_line_once(notebook, growing, capsys):
    following.follow(notebook.session, growing, 200)
    assert capsys.readouterr().out.splitlines() == [f"line {number}" for number in range(5)]


@pytest.mark.parametrize("status", ["Failed", "Deleted"])
def test_it_ends_with_the_endpoint(in_jupyter, growing, status):
    growing.status = status
    assert following.follow(in_jupyter.session, growing, 3) == ["line 0"]


def test_it_ends_when_the_endpoint_is_gone(in_jupyter, growing):
    growing.ends = EndpointNotFound("gone")
    assert len(following.follow(in_jupyter.session, growing, 3)) == 5


def test_a_log_that_may_not_be_read_is_an_error(in_jupyter, growing):
    growing.most, growing.ends = 0, BackendError("no")
    with pytest.raises(BackendError):
        following.follow(in_jupyter.session, growing, 3)


def test_where_nobody_watches_the_log_is_shown_once(in_jupyter, growing):
    in_jupyter.shell.kernel._allow_stdin = False
    in_jupyter.namespace["ep"] = growing
    assert in_jupyter.succeed("%sm_logs ep --follow") == ["line 0"]
    assert len(in_jupyter.shown) == 1
