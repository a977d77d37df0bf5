"""What the service leaves behind does not grow for ever: its log, and the environments made for requirements."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from sm_magics.local.hosting.environments import NOTE, collect
from sm_magics.local.log_file import bound

DAY = 86_400.0


@pytest.fixture
def log(tmp_path) -> Path:
    file = tmp_path / "service.log"
    file.write_text("old\n" * 100)
    return file


def test_a_log_that_is_too_large_begins_anew_for_all_who_write_there(log):
    with log.open("a") as ours, log.open("a") as a_childs:
        bound(log, descriptor=ours.fileno(), largest=100)
        for writer in (ours, a_childs):
            writer.write("new\n")
            writer.flush()
        assert log.read_text() == "new\n" * 2
        assert log.with_name("service.log.1").read_text() == "old\n" * 100
        ours.write("newer\n" * 100)
        ours.flush()
        bound(log, descriptor=ours.fileno(), largest=100)
    assert log.read_text() == ""
    assert log.with_name("service.log.1").read_text() == "new\n" * 2 + "newer\n" * 100


def test_a_log_that_is_small_or_somebody_elses_stays(log, tmp_path):
    with log.open("a") as ours:
        bound(log, descriptor=ours.fileno(), largest=1000)
    with (tmp_path / "terminal").open("a") as elsewhere:
        bound(log, descriptor=elsewhere.fileno(), largest=100)
        bound(tmp_path / "missing", descriptor=elsewhere.fileno(), largest=100)
    with log.open("r+") as not_appending:
        bound(log, descriptor=not_appending.fileno(), largest=100)
    assert log.read_text() == "old\n" * 100
    assert not log.with_name("service.log.1").exists()


class Kept:
    """A state directory with environments."""

    def __init__(self, directory: Path, now: float) -> None:
        self.directory = directory
        self.now = now
        for name in ("environments", "endpoints"):
            (directory / name).mkdir()

    def make(self, name: str, *, days: float) -> Path:
        """Make one that somebody asked for so many days ago."""
        environment = self.directory / "environments" / name
        (environment / "bin").mkdir(parents=True)
        (environment / "complete").touch()
        lock = environment.with_suffix(".lock")
        lock.touch()
        os.utime(lock, (self.now - days * DAY,) * 2)
        return environment

    def refer(self, environment: Path) -> Path:
        folder = self.directory / "endpoints" / "version" / "AllTraffic"
        folder.mkdir(parents=True)
        (folder / NOTE).write_text(str(environment / "bin" / "python"))
        return folder / NOTE

    def collect(self, *, later: float = 0.0) -> None:
        collect(
            self.directory / "environments",
            self.directory / "endpoints",
            kept=30 * DAY,
            now=self.now + later * DAY,
        )


@pytest.fixture
def kept(tmp_path) -> Kept:
    return Kept(tmp_path, time.time())


def test_an_environment_goes_when_nobody_has_needed_it_for_long(kept):
    old, new = kept.make("old", days=31), kept.make("new", days=29)
    kept.collect()
    assert not old.exists()
    assert (new / "complete").exists()
    kept.collect(later=2)
    assert not new.exists()


def test_an_environment_stays_as_long_as_an_endpoint_refers_to_it_and_a_while_longer(kept):
    environment = kept.make("used", days=100)
    note = kept.refer(environment)
    kept.collect()
    assert environment.exists()
    note.unlink()
    kept.collect(later=29)
    assert environment.exists()
    kept.collect(later=31)
    assert not environment.exists()


def test_an_environment_that_somebody_is_about_to_use_stays(kept):
    environment = kept.make("wanted", days=31)
    with environment.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept.collect()
    assert environment.exists()
