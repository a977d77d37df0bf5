"""Where SageMaker on this machine keeps its state, and how its address is told."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from sm_magics.errors import ConfigurationError
from sm_magics.home import ServiceAddress, home

ADDRESS = ServiceAddress(
    url="http://127.0.0.1:1234",
    access_key="AKIA",
    secret_key="secret",
    region="us-west-2",
    account="123456789012",
    pid=os.getpid(),
    version="0",
)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    path = tmp_path / "state" / "sm"
    monkeypatch.setenv("SM_MAGICS_HOME", str(path))
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_home_is_made_for_this_user_alone(state):
    assert home() == state
    assert mode(state) == 0o700


@pytest.mark.parametrize("others", [0o755, 0o750, 0o703, 0o1777])
def test_a_directory_that_others_may_enter_is_refused_and_left_as_it_is(state, others):
    state.mkdir(parents=True)
    state.chmod(others)
    with pytest.raises(ConfigurationError, match="open to other users") as caught:
        home()
    assert f"chmod 700 {state}" in caught.value.hint
    assert mode(state) == others
    state.chmod(0o700)
    assert home() == state


def test_home_defaults_to_the_user_state_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("SM_MAGICS_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home().is_relative_to(tmp_path)


def test_a_home_that_cannot_be_made_is_our_own_error(state, monkeypatch):
    state.parent.mkdir()
    state.write_text("a file stands here")
    for path in (state, state / "below"):
        monkeypatch.setenv("SM_MAGICS_HOME", str(path))
        with pytest.raises(ConfigurationError, match="cannot be used") as caught:
            home()
        assert "SM_MAGICS_HOME" in caught.value.hint


def test_a_home_of_another_user_is_refused(monkeypatch):
    home()
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(ConfigurationError, match="another user"):
        home()


def test_the_address_comes_back_as_it_was_written():
    ADDRESS.write()
    assert ServiceAddress.read() == ADDRESS
    assert mode(ServiceAddress.path()) == 0o600
    assert [path.name for path in home().iterdir()] == ["service.json"]


def test_there_is_no_address_before_a_service_has_run():
    assert ServiceAddress.read() is None


def test_the_address_of_a_dead_process_is_none():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    ServiceAddress(**{**vars(ADDRESS), "pid": process.pid}).write()
    assert ServiceAddress.read() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"url": "http://127.0.0.1:1"}',
        json.dumps({**vars(ADDRESS), "pid": "x"}),
        json.dumps({**vars(ADDRESS), "pid": 10**30}),
        json.dumps({**vars(ADDRESS), "more": 1}),
        "\x00\xff",
    ],
)
def test_a_file_that_is_no_address_counts_as_none(text):
    ServiceAddress.path().write_text(text, encoding="latin-1")
    assert ServiceAddress.read() is None
