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
    rows = [line.split() for line in shown.text.splitlines()[2:-1]]  # below the picture
    assert rows == [[str(row * 100 + column) for column in range(12)] for row in range(10)]
    assert "911" in read(shown).text
    assert "20 more rows, 8 more columns" in shown.text
    assert "30 more values" in answers.prediction(prediction([float(number) for number in range(42)])).text


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
    assert "2.0 kB of binary data" in answers.prediction(prediction(b"\xff" * 2000, "application/octet-stream")).text


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


def test_classes_have_names_where_they_are_given(read):
    names = ["cat", "dog<b>", "cow"]
    shown = answers.prediction(prediction([[0.1, 0.7, 0.2]]), names)
    assert [line.split()[0] for line in shown.text.splitlines()[1:4]] == ["dog<b>", "cow", "cat"]
    assert "dog<b>" in read(shown).text
    logits = answers.prediction(prediction([-2.0, 5.0, 1.0]), {0: "cat", "1": "dog", 2: "cow"})
    assert [line.split()[0] for line in logits.text.splitlines()[1:4]] == ["dog", "cow", "cat"]
    several = answers.prediction(prediction([[0.1, 0.7, 0.2], [0.9, 0.05, 0.05]]), names)
    assert [line.split()[:2] for line in several.text.splitlines()[1:3]] == [["0", "dog<b>"], ["1", "cat"]]


@pytest.mark.parametrize("value", [[0.1, 0.9], "text", {"a": 1}, [["x", "y", "z"]], [], [[]], None])
def test_labels_that_do_not_fit_the_answer_change_nothing(value):
    assert answers.prediction(prediction(value), ["a", "b", "c"]) == answers.prediction(prediction(value))


def test_many_numbers_are_a_picture_with_their_extent(read):
    line = answers.prediction(prediction([float(number) for number in range(100)]))
    assert "img" in read(line).tags
    assert "0 to 99, mean 49.5" in line.text
    heat = answers.prediction(prediction([[float(x * y) for x in range(28)] for y in range(-14, 14)]))
    assert "img" in read(heat).tags
    assert "-378 to 351" in heat.text
    few = answers.prediction(prediction([[1.0, 2.0], [3.0, 4.0]]))
    assert "img" not in read(few).tags


def test_numbers_that_are_not_finite_are_counted():
    values = [float("nan"), float("inf"), *([1.0] * 20)]
    assert "1 to 1, mean 1, 2 not finite" in answers.prediction(prediction(values)).text
    assert "no finite number" in answers.prediction(prediction([float("nan")] * 20)).text


def test_a_heat_map_is_an_image_that_others_read(read):
    import base64
    import io

    Image = pytest.importorskip("PIL.Image")  # noqa: N806
    shown = answers.prediction(prediction([[float(x - y) for x in range(30)] for y in range(20)]))
    encoded = shown.html.partition("base64,")[2].partition('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.size == (210, 140)
        assert image.getpixel((0, 0))[3] == 0  # nothing: the background shines through
        assert image.getpixel((209, 0))[3] == 255


def test_an_image_is_shown_as_one(read):
    shown = answers.prediction(prediction(b"\x89PNG...", "image/png"))
    assert "img" in read(shown).tags
    assert "image/png, 0.1 kB" in shown.text
    huge = answers.prediction(prediction(b"x" * (answers.MAX_IMAGE + 1), "image/png"))
    assert "img" not in read(huge).tags
    other = answers.prediction(prediction(b"<svg onload='x'>", "image/svg+xml"))
    assert "img" not in read(other).tags


def test_long_json_is_folded_below_what_is_in_it(read):
    value = {"status": "ok", "boxes": [[index, index] for index in range(30)], "meta": {"a": [1], "b": 2}}
    shown = answers.prediction(prediction(value))
    assert {"details", "summary"} <= read(shown).tags
    text = read(shown).text
    assert "[…] 30 × 2 int" in text
    assert "{…} 2 names" in text
    assert "details" not in read(answers.prediction(prediction({"a": [1]}))).tags


def test_how_long_repeated_requests_took_is_a_histogram(read):
    shown = answers.prediction(prediction([1]), seconds=[0.001 * number for number in range(1, 101)])
    assert "100 requests · p50 50 ms · p90 90 ms · p99 99 ms" in shown.text
    counts = [int(line.split()[-1]) for line in shown.text.splitlines() if "█" in line]
    assert sum(counts) == 100
    assert "sm-bar" in read(shown).classes
    assert "5 requests" in answers.prediction(prediction([1]), seconds=[0.002] * 5).text


@with_read
@given(JSON_VALUES, st.lists(st.text(), max_size=5))
def test_any_labels_are_text(read, value, labels):
    read(answers.prediction(prediction(value), labels))
