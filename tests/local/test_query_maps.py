"""Maps in the forms of the query protocol, whatever a form says of them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.local.protocol import codec
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.query import document
from sm_magics.local.service import service_model

ENTRY = "EntityMetricData.member.1.Entity.Attributes.entry.1."


def test_an_entry_has_a_key_and_a_value() -> None:
    shape = service_model("cloudwatch").operation_model("PutMetricData").input_shape
    asked = document(shape, {f"{ENTRY}key": "k", f"{ENTRY}value": "v"})
    assert asked["EntityMetricData"][0]["Entity"]["Attributes"] == {"k": "v"}
    for bad in ({f"{ENTRY}key": "k"}, {f"{ENTRY}value": "v"}, {f"{ENTRY}key.x": "k", f"{ENTRY}value": "v"}):
        with pytest.raises(ApiError) as caught:
            document(shape, bad)
        assert caught.value.code == "SerializationException"


words = st.sampled_from(
    ["MetricData", "member", "1", "2", "x", "EntityMetricData", "Entity", "Attributes", "entry", "key", "value", "",
     "Dimensions", "Name", "Value", "Values", "Counts", "Timestamp", "StatisticValues", "Sum", "Namespace"]
)  # fmt: skip
values = st.sampled_from(["", "1", "-1", "1e400", "NaN", "x", "true", "2026-01-01T00:00:00Z", "0001-01-01", "\0"])


@given(st.dictionaries(st.lists(words, min_size=1, max_size=8).map(".".join), values, max_size=6))
def test_any_form_is_read_or_refused_and_never_an_accident(form: dict[str, str]) -> None:
    shape = service_model("cloudwatch").operation_model("PutMetricData").input_shape
    with contextlib.suppress(ApiError):
        codec.request(shape, document(shape, form))
