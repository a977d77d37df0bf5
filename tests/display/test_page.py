"""The pieces of a card: the same facts as HTML and as text, and nothing but text from values."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sm_magics.display import page

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])) | st.sampled_from(
    ["<q>", "</div>", "<script>alert(1)</script>", "&lt;q&gt;", "\"'", "<!--", "]]>", "<style>", "a\u2028b"]
)
STATES = st.sampled_from([page.OK, page.BUSY, page.BAD, page.WARN])
with_read = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@with_read
@given(STATES, st.lists(TEXT, min_size=3, max_size=3), st.lists(TEXT))
def test_no_text_becomes_markup(read, state, texts, lines):
    name, what, code = texts
    shown = page.card(
        state,
        name,
        what,
        page.paragraph(name, code=code),
        page.paragraph(what, dim=True),
        page.listing(lines),
        page.table([[f"x{name}", page.code(code), page.dim(what), page.sign(state, name), page.bar(0.5)]], [what] * 5),
    )
    found = read(shown)
    for text in (name, what, code, *lines):
        assert text in found.text
        assert text in shown.text


@given(STATES, TEXT, TEXT)
def test_a_bundle_has_both_forms(state, name, what):
    bundle = page.card(state, name, what).bundle()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"].startswith(("●", "◐", "!"))


def test_a_card_says_its_state_without_colours():
    heads = {state: page.card(state, "x", "y").text for state in (page.OK, page.BUSY, page.WARN)}
    assert len(set(heads.values())) == len(heads)


@given(st.lists(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"])), min_size=3, max_size=3)))
def test_columns_stand_below_each_other(rows):
    lines = page.columns(rows)
    assert len(lines) == len(rows)
    start = 0
    for column in range(3):
        for line, row in zip(lines, rows, strict=True):
            assert line.ljust(500)[start:].startswith(row[column])
        start += max((len(row[column]) for row in rows), default=0) + 2


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 B"),
        (1, "0.1 kB"),
        (940, "0.9 kB"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (5_000_000, "5.0 MB"),
        (12_345_678_901, "12.3 GB"),
        (10**18, "1000000.0 TB"),
    ],
)
def test_sizes_are_for_people(number, shown):
    assert page.size(number) == shown


@given(st.integers(0, 10**15))
@example(999_999_999)
def test_a_size_has_at_most_three_digits_before_the_point(number):
    assert re.fullmatch(r"0 B|\d{1,3}\.\d [kMGT]B", page.size(number)) or number >= 10**15 - 10**11


@given(st.floats(0, 1))
def test_a_bar_is_never_empty_and_never_too_long(share):
    bar = page.bar(share)
    assert 1 <= len(bar.text) <= 20
    assert 2 <= int(re.search(r"width:(\d+)px", bar.html)[1]) <= 220
