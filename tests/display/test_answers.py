"""A prediction is shown as what it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.display import answers
from sm_magics.hosting import Prediction

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["<q>", "</pre>", "&lt;"]),
    lambda inner: st.lists(inner, max_size=15) | st.dictionaries(st.text() | st.just("<q>"), inner, max_size=5),
    max_leaves=30,
)
with_read = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def prediction(value, kind="application/json", name="digits"):
    return Prediction(value, kind, b"", 0.123456789, name)


@pytest.mark.parametrize(
    ("value", "described"),
    [
        ([[0.1, 0.9]], "1 × 2 float"),
        ([1, 2, 3], "3 int"),
        ([True], "1 bool"),
        (["a", "b"], "2 text"),
        ([{"a": 1}], "1 object"),
        ([{"a": 1}, {"a": 2}], "2 objects"),
        ([[1], [2, 3]], ""),
        ([[[1], [2, 3]]], ""),
        ([[]], ""),
        ([], ""),
        ("text", ""),
        (7, ""),
        ({"a": 1}, ""),
        (b"12345" * 1000, "5.0 kB"),
        (np.zeros((2, 3), np.float32), "2 × 3 float32"),
        (np.float32(3), "float32"),
    ],
)
def test_an_answer_is_described_in_a_few_words(value, described):
    assert answers.describe(value) == described


def test_probabilities_are_bars_the_most_likely_first(read):
    shown = answers.prediction(prediction([[0.05, 0.7, 0.2, 0.05]]))
    rows = shown.text.splitlines()[1:4]
    assert [row.split()[0] for row in rows] == ["1", "2", "0"]
    assert "0.700" in rows[0]
    assert "1 more, none above 0.050" in shown.text
    assert "sm-bar" in read(shown).classes


@pytest.mark.parametrize(
    "value", [[0.5, 0.6], [1.0], [0, 1], [-0.5, 1.5], [0.5, float("nan")], [[0.5, 0.5], [0.5, 0.5]]]
)
def test_other_numbers_are_not_taken_for_probabilities(read, value):
    assert "sm-bar" not in read(answers.prediction(prediction(value))).classes


def test_rows_are_a_table_cut_to_what_can_be_read(read):
    shown = answers.prediction(prediction([[row * 100 + column for column in range(20)] for row in range(30)]))
    rows = [line.split() for line in shown.text.splitlines()[1:-1]]
    assert rows == [[str(row * 100 + column) for column in range(12)] for row in range(10)]
    assert "911" in read(shown).text
    assert "20 more rows, 8 more columns" in shown.text


def test_objects_are_a_table_with_their_names(read):
    shown = answers.prediction(prediction([{"label": "cat", "score": 0.91}, {"label": "dog"}]))
    assert "th" in read(shown).tags
    assert shown.text.splitlines()[1].split() == ["label", "score"]
    assert "0.91" in shown.text
    one = answers.prediction(prediction({"label": "cat", "score": 0.91}))
    assert "label" in one.text
    assert "cat" in one.text


def test_an_array_is_shown_as_its_rows(read):
    shown = answers.prediction(prediction(np.arange(6, dtype=np.float32).reshape(2, 3), "application/x-npy"))
    assert "2 × 3 float32" in shown.text
    assert "table" in read(shown).tags


def test_bytes_are_told_by_their_size():
    assert "2.0 kB of binary data" in answers.prediction(prediction(b"\xff" * 2000, "image/png")).text


def test_how_long_it_took_is_not_saved_with_the_notebook():
    shown = answers.prediction(prediction([1, 2]))
    assert "0.12" not in shown.html + shown.text


@pytest.mark.parametrize(
    "huge",
    [
        "x" * 10**6,
        ["x" * 10**6],
        [["x" * 10**6]],
        {"image": "x" * 10**6},
        [{"a": "x" * 10**6}],
        [{"x" * 10**6: 1}],
        {str(i): i for i in range(10**5)},
        ["x"] * 10**5,
    ],
)
def test_a_huge_answer_is_cut_short(huge):
    shown = answers.prediction(prediction(huge))
    assert len(shown.html) < 20_000
    assert len(shown.text) < 20_000
    assert "more" in shown.text or "…" in shown.text


@pytest.mark.parametrize("value", [[], {}, [[]], [[], []], [{}], "", None, [None], {"a": []}, [[1], []], [[[1]]]])
def test_an_answer_with_nothing_in_it_is_shown_too(read, value):
    read(answers.prediction(prediction(value)))


@with_read
@given(JSON_VALUES, st.text(), st.text())
def test_any_answer_is_shown_and_none_becomes_markup(read, value, kind, name):
    read(answers.prediction(prediction(value, kind, name)))


@with_read
@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=1000))
def test_text_is_shown_as_it_is(read, text):
    shown = answers.prediction(prediction(text, "text/plain"))
    for line in text.splitlines():
        assert line in read(shown).text
