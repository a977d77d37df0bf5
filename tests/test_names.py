"""The tests' own names: two processes that collect them must come to the same, or pytest-xdist runs none of them."""

from __future__ import annotations

import pytest


def test_no_test_is_named_by_the_bytes_of_an_archive_which_have_the_time_in_them(request: pytest.FixtureRequest):
    assert [item.nodeid for item in request.session.items if r"\x1f\x8b" in item.nodeid] == []
