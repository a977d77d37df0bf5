"""What a failed proof says to paste does away with the failure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sm_magics.packaging.proving.remedies import remedy


@pytest.mark.parametrize(
    ("model", "given", "wanted"),
    [
        (nn.Embedding(3, 2), torch.float32, torch.long),
        (nn.Linear(2, 2), torch.long, torch.float32),
        (nn.Linear(2, 2), torch.float64, torch.float32),
        (nn.Linear(2, 2).double(), torch.float32, torch.float64),
        (nn.Linear(2, 2).bfloat16(), torch.float32, torch.bfloat16),
        (nn.Conv1d(2, 2, 1), torch.float64, torch.float32),
        (nn.Conv1d(2, 2, 1).double(), torch.float32, torch.float64),
        (nn.LSTM(2, 2).double(), torch.float32, torch.float64),
    ],
    ids=str,
)
def test_an_input_of_another_type_is_made_of_the_type_that_the_model_takes(model, given, wanted):
    x = torch.ones(2, 2)
    with pytest.raises((RuntimeError, ValueError)) as caught:
        model(x.to(given))
    said = remedy(f"{type(caught.value).__name__}: {caught.value}", handler="predict_fn", files=[])
    scope: dict[str, Any] = {}
    exec(said.paste.removeprefix("%%sm_inference\n"), scope)
    made = scope["input_fn"](str(x.long().tolist()), "application/json")
    assert made.dtype is wanted
    model(made)


def test_what_is_no_tensor_reaches_the_model_by_a_predict_fn():
    for data, called in (
        ([1], "model(data)"),
        ({"a": 1}, "model(**data)"),
        ((1, 2), "model(*data)"),
        ("a", "model(data)"),
    ):
        with pytest.raises(AttributeError) as caught:
            data.to("cpu")
        said = remedy(f"AttributeError: {caught.value}", handler="predict_fn", files=[])
        assert f"return {called}" in said.paste
        compile(said.paste.removeprefix("%%sm_inference\n"), "", "exec")
