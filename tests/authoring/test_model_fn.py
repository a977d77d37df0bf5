from __future__ import annotations

import pytest

from sm_magics.authoring.contract import check_contract

NOTHING = "def model_fn(model_dir):\n    {}\n"


def codes(source: str) -> list[str]:
    return [finding.code for finding in check_contract(source)]


@pytest.mark.parametrize(
    "body",
    [
        "...",
        "pass",
        '"""Load it."""',
        "return",
        "return None",
        "model = 3",
        "def inner():\n        return 3",
        "inner = lambda: 3",
    ],
)
def test_a_model_fn_that_returns_no_model_is_an_error(body):
    (finding,) = check_contract(NOTHING.format(body))
    assert (finding.code, finding.severity, finding.line) == ("SM108", "error", 1)


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError",
        "return 3",
        "if model_dir:\n        return None\n    return 3",
        "with open(model_dir) as f:\n        return f",
    ],
)
def test_one_that_may_return_a_model_is_none(body):
    assert codes(NOTHING.format(body)) == []


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        ("def predict_fn(data, model):\n    return model(data)\n", ["SM108"]),
        ("def predict_fn(data, model):\n    return sum(data)\n", []),
        ("predict_fn = lambda data, net: net(data)\n", ["SM108"]),
        ("def transform_fn(model, body, kind, accept):\n    return body\n", []),
        ("def transform_fn(model, body, kind, accept):\n    return model(body)\n", ["SM108"]),
        ("from elsewhere import predict\npredict_fn = predict\n", []),
        ("from elsewhere import predict_fn\n", []),
    ],
)
def test_handlers_that_do_without_a_model_may_get_none(handler, found):
    assert codes(handler + NOTHING.format("pass")) == found


def test_a_decorator_may_give_what_the_function_does_not():
    assert codes("@remembered\n" + NOTHING.format("pass")) == []
