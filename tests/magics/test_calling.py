"""What %sm_predict sends and shows, without an endpoint behind it."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from sm_magics import errors
from sm_magics.hosting import Endpoint, Prediction


class Answering(Endpoint):
    """An endpoint that answers with three scores and remembers what it was sent."""

    sent: list = []  # noqa: RUF012 - each test has its own class attribute reset by the fixture

    def predict(self, value, *, content_type, accept, custom_attributes):
        self.sent.append((value, content_type, accept, *filter(None, [custom_attributes])))
        return Prediction([[0.1, 0.7, 0.2]], "application/json", b"", 0.001 * len(self.sent), self.name)


@pytest.fixture
def answering(notebook):
    Answering.sent = []
    notebook.namespace["ep"] = Answering("digits", status="InService")
    return notebook


def best(notebook) -> list[str]:
    return [line.split()[0] for line in notebook.text.splitlines()[1:4]]


@pytest.mark.parametrize(
    "labels", ["names", "\"['cat', 'dog', 'cow']\"", "\"{0: 'cat', 1: 'dog', 2: 'cow'}\"", "labels.txt"]
)
def test_classes_are_named_by_a_list_a_dict_or_a_file(answering, tmp_path, labels):
    (tmp_path / "work" / "labels.txt").write_text("cat\ndog\ncow\n")
    answering.namespace["names"] = ("cat", "dog", "cow")
    assert answering.succeed(f"%sm_predict -e ep --labels {labels} [1]") == [[0.1, 0.7, 0.2]]
    assert best(answering) == ["dog", "cow", "cat"]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [("7", errors.PayloadError), ("nowhere", errors.ExpressionError), ("binary.txt", errors.PayloadError)],
)
def test_labels_that_are_none_are_refused_before_anything_is_sent(answering, tmp_path, labels, kind):
    (tmp_path / "work" / "binary.txt").write_bytes(b"\xff\xfe")
    assert isinstance(answering.raised(f"%sm_predict -e ep --labels {labels} [1]"), kind)
    assert Answering.sent == []


def test_a_value_is_sent_as_often_as_said_and_the_times_are_shown(answering):
    answering.succeed("%sm_predict -e ep --repeat 20 [1]")
    assert len(Answering.sent) == 20
    assert "20 requests · p50 10 ms · p90 18 ms · p99 20 ms" in answering.text
    answering.succeed("%sm_predict -e ep [1]")
    assert "requests" not in answering.text


@pytest.mark.parametrize("line", ["%sm_predict -e ep --repeat 0 [1]", "%sm_predict -e ep"])
def test_nothing_to_send_is_a_mistake(answering, line):
    assert isinstance(answering.raised(line), UsageError)
    assert Answering.sent == []


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("[1] --labels names", "%sm_predict --labels names [1]"),
        ('{"a b": 1} -e ep --repeat=3', '%sm_predict -e ep --repeat=3 {"a b": 1}'),
    ],
)
def test_an_option_behind_the_expression_is_told_where_it_stands(answering, line, hint):
    error = answering.raised(f"%sm_predict {line}")
    assert isinstance(error, UsageError)
    assert str(error).endswith(f"  hint: {hint}")
    assert Answering.sent == []


def test_what_only_looks_like_an_option_is_sent(answering):
    answering.succeed("labels = 1")
    answering.succeed("%sm_predict -e ep 3 --labels + len(' --repeat 3')")
    assert Answering.sent[0][0] == 15


def test_custom_attributes_travel_beside_the_value(answering):
    answering.succeed("%sm_predict -e ep --custom-attributes 'user=me' [1]")
    assert Answering.sent == [([1], "application/json", "application/json", "user=me")]


def test_an_image_goes_out_as_the_file_it_is(answering):
    Image = pytest.importorskip("PIL.Image")  # noqa: N806
    answering.namespace["picture"] = Image.new("RGB", (2, 2), "red")
    answering.succeed("%sm_predict -e ep picture")
    value, content_type, accept = Answering.sent[0]
    assert (value[:4], content_type, accept) == (b"\x89PNG", "image/png", "application/json")
    answering.namespace["picture"] = Image.new("CMYK", (2, 2))
    assert isinstance(answering.raised("%sm_predict -e ep picture"), errors.PayloadError)
    answering.succeed("%sm_predict -e ep --content-type image/x-own b'x'")
    assert Answering.sent[-1][1] == "image/x-own"
