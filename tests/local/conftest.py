"""Services for the tests of ``sm_magics.local``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from local_service import Service, fresh_home


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """One service for all tests that only need one. They use names of their own."""
    with fresh_home() as home:
        running = Service(home)
        try:
            yield running.start("--warm", sys.executable)
        finally:
            running.end()


@pytest.fixture
def own_service() -> Iterator[Service]:
    """A service of this test alone, not started yet."""
    with fresh_home() as home:
        running = Service(home)
        try:
            yield running
        finally:
            running.end()
