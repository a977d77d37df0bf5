"""From a value to a payload and from an answer to a value."""

from __future__ import annotations

import io
import json
import math
import zipfile

import numpy as np
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sm_magics.errors import (
    AccessDenied,
    BackendError,
    EndpointNotFound,
    ModelError,
    PayloadError,
    PredictionError,
    Throttled,
)
from sm_magics.hosting import invoking
from sm_magics.hosting.connection import Connection
from sm_magics.hosting.invoking import CSV, JSON, NPY, decode, encode
from sm_magics.settings import Settings

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
ARRAYS = npst.arrays(
    st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]),
    npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@given(JSON_VALUES)
def test_json_comes_back_as_it_was_sent(value):
    assert decode(encode(value), JSON) == value


@given(ARRAYS)
def test_an_array_comes_back_from_npy_with_its_type_and_shape(array):
    back = decode(encode(array, NPY), NPY)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)


@given(ARRAYS)
def test_an_array_is_sent_as_the_nested_lists_it_is(array):
    assert encode(array) == json.dumps(array.tolist()).encode()


@given(npst.arrays(np.float32, npst.array_shapes(max_dims=2, max_side=4), elements=st.floats(-1e6, 1e6, width=32)))
def test_a_table_is_sent_as_csv_row_by_row(array):
    rows = [[np.float32(cell) for cell in row] for row in decode(encode(array, CSV), CSV)]
    np.testing.assert_allclose(rows, np.atleast_2d(array), rtol=1e-6)


@given(st.binary())
def test_bytes_are_sent_as_they_are_whatever_the_type(body):
    for value in (body, bytearray(body), memoryview(body)):
        for kind in (JSON, CSV, NPY, "image/png", "anything"):
            assert encode(value, kind) == body


@given(st.text(st.characters(codec="utf-8")))
def test_text_is_sent_as_text(text):
    assert encode(text, "text/plain") == text.encode()
    assert encode(text, CSV) == text.encode()
    assert decode(encode(text, "text/plain"), "text/plain; charset=utf-8") == text


def test_a_tensor_is_sent_as_its_values():
    torch = pytest.importorskip("torch")
    weights = torch.nn.Parameter(torch.tensor([[1.5, 2.0]]))
    assert decode(encode(weights), JSON) == [[1.5, 2.0]]
    assert decode(encode({"x": weights, "n": torch.tensor(3)}), JSON) == {"x": [[1.5, 2.0]], "n": 3}
    assert decode(encode(weights, NPY), NPY).dtype == np.float32
    assert encode(weights, CSV) == b"1.5,2.0"


def test_pandas_objects_are_sent_as_rows():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert decode(encode(frame), JSON) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert encode(frame, CSV) == b"1,x\n2,y\n"
    assert decode(encode(frame["a"]), JSON) == [1, 2]


def test_values_that_json_lacks_are_sent_as_what_they_hold():
    assert decode(encode({"n": np.float32(0.5), "r": range(2), "t": (1, 2)}), JSON) == {
        "n": 0.5,
        "r": [0, 1],
        "t": [1, 2],
    }


def test_a_number_or_a_row_is_csv_too():
    assert encode(5, CSV) == b"5"
    assert encode([1, 2], CSV) == b"1,2"
    assert encode(np.float32(0.1), CSV) == b"0.1"


def huge_header():
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}\n"
    return len(header).to_bytes(2, "little") + header


class Hostile:
    """A value whose own methods raise."""

    def __iter__(self):
        raise RuntimeError("not now")


def circular():
    value = []
    value.append(value)
    return value


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), JSON),
        ({1, 2}, JSON),
        (Hostile(), JSON),
        (Hostile(), NPY),
        (circular(), JSON),
        (deep(), JSON),
        ({(1, 2): 3}, JSON),
        (np.array([object()]), JSON),
        (np.array([1j]), JSON),
        (object(), NPY),
        ([[1], [1, 2]], NPY),
        ([[1], [1, 2]], CSV),
        (np.zeros((2, 2, 2)), CSV),
        (object(), CSV),
        ([], CSV),
        (object(), "image/png"),
        ([1], "text/plain"),
        ("\ud800", "text/plain"),
        ("\ud800", CSV),
        (np.ndarray, JSON),
        (print, JSON),
    ],
)
def test_a_value_that_cannot_be_sent_is_our_own_error_with_a_hint(value, kind):
    with pytest.raises(PayloadError) as caught:
        encode(value, kind)
    assert caught.value.hint
    assert kind in caught.value.message


def test_a_tensor_without_data_cannot_be_sent():
    torch = pytest.importorskip("torch")
    for kind in (JSON, NPY, CSV):
        with pytest.raises(PayloadError, match="Tensor"):
            encode(torch.empty(2, device="meta"), kind)


@given(
    st.binary(), st.sampled_from([JSON, CSV, NPY, "text/plain", "image/png", "", ";", "application/json;charset=x,y"])
)
@example(b"[" * 100_000, JSON)
@example(b"PK\x03\x04", NPY)
@example(b"\x93NUMPY\x01\x00\x02\x00{}", NPY)
@example(b"\x93NUMPY\x01\x00\x0a\x00          ", NPY)
@example(b"\xff", "text/plain")
def test_an_answer_is_decoded_or_is_our_own_error(body, kind):
    try:
        decode(body, kind)
    except PayloadError as error:
        assert error.hint  # noqa: PT017 - either is right


@given(st.sampled_from([b"\x93NUMPY", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", b"PK\x03\x04"]), st.binary())
@example(b"\x93NUMPY\x01\x00", huge_header())
def test_an_npy_answer_that_is_anything_else_is_our_own_error(start, body):
    with pytest.raises(PayloadError, match="application/x-npy"):
        decode(start + body, NPY)


def test_nothing_is_unpickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(PayloadError):
        decode(buffer.getvalue(), NPY)


def test_an_archive_of_arrays_is_not_an_array():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(2))
    assert zipfile.is_zipfile(buffer)
    with pytest.raises(PayloadError):
        decode(buffer.getvalue(), NPY)


def test_what_no_decoder_is_for_comes_as_bytes():
    assert decode(b"\x89PNG", "image/png") == b"\x89PNG"
    assert decode(b"{}", "") == b"{}"


def test_json_numbers_that_python_writes_are_read():
    assert math.isnan(decode(encode(float("nan")), JSON))


# -- what the runtime answers ---------------------------------------------------------------------------------------


class Runtime:
    """A sagemaker-runtime client that gives one answer."""

    def __init__(self, error=None, body=b"[1]", kind=JSON):
        self.error, self.body, self.kind, self.sent = error, body, kind, None

    def invoke_endpoint(self, **request):
        self.sent = request
        if self.error is not None:
            raise self.error
        return {"Body": io.BytesIO(self.body), "ContentType": self.kind}


def connected(runtime):
    return Connection("local", "us-west-2", None, Settings(), _clients={"sagemaker-runtime": runtime})


def refused(code, message, **more):
    return ClientError({"Error": {"Code": code, "Message": message}, **more}, "InvokeEndpoint")


def test_an_answer_says_what_it_is_and_who_gave_it():
    runtime = Runtime()
    found = invoking.invoke("digits", [1], connected(runtime), accept=JSON)
    assert (found.value, found.content_type, found.body, found.endpoint_name) == ([1], JSON, b"[1]", "digits")
    assert found.seconds >= 0
    assert runtime.sent == {"EndpointName": "digits", "Body": b"[1]", "ContentType": JSON, "Accept": JSON}


def test_a_value_that_cannot_be_sent_reaches_nobody():
    runtime = Runtime()
    with pytest.raises(PayloadError):
        invoking.invoke("digits", object(), connected(runtime))
    assert runtime.sent is None


TRACEBACK = """Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 7, in predict_fn
    return model(x["a"])
KeyError: 'a'
"""


def test_a_model_that_raised_is_shown_with_its_traceback():
    error = refused("ModelError", "Received server error", OriginalStatusCode=500, OriginalMessage=f"'a'\n{TRACEBACK}")
    with pytest.raises(ModelError) as caught:
        invoking.invoke("digits", 1, connected(Runtime(error)))
    assert "KeyError: 'a' (predict_fn, code/inference.py line 7)" in caught.value.message
    assert "KeyError: 'a'" in caught.value.traceback
    assert caught.value.status == 500
    assert caught.value.hint == "%sm_logs digits"


def test_custom_attributes_are_sent_only_where_there_are_some():
    runtime = Runtime()
    invoking.invoke("digits", 1, connected(runtime))
    assert "CustomAttributes" not in runtime.sent
    invoking.invoke("digits", 1, connected(runtime), custom_attributes="user=me")
    assert runtime.sent["CustomAttributes"] == "user=me"


def test_a_model_that_answered_with_an_error_of_its_own_is_shown_with_it():
    error = refused("ModelError", "Received client error", OriginalStatusCode=415, OriginalMessage="unsupported")
    with pytest.raises(ModelError, match="answered 415: unsupported"):
        invoking.invoke("digits", 1, connected(Runtime(error)))


def test_a_model_that_took_too_long_is_said_to():
    error = refused("ModelError", "…", OriginalStatusCode=0, OriginalMessage="Your invocation timed out")
    with pytest.raises(PredictionError, match="did not answer in time"):
        invoking.invoke("digits", 1, connected(Runtime(error)))


def test_no_answer_at_all_says_that_the_model_may_be_at_it_still():
    with pytest.raises(PredictionError, match="may be at it still") as caught:
        invoking.invoke("digits", 1, connected(Runtime(ReadTimeoutError(endpoint_url="http://127.0.0.1:1"))))
    assert caught.value.hint.startswith("%sm_logs digits")


def test_a_request_that_is_too_large_says_how_large_it_may_be():
    error = refused("413", "HTTP content length exceeded 6291456 bytes.")
    with pytest.raises(PayloadError, match="6291456") as caught:
        invoking.invoke("digits", 1, connected(Runtime(error)))
    assert "25 MB" in caught.value.hint


def test_a_model_that_is_not_loaded_yet_is_said_to_be():
    error = refused("ModelNotReadyException", "Either a serverless endpoint variant's resources are still being …")
    with pytest.raises(PredictionError, match="not loaded yet"):
        invoking.invoke("digits", 1, connected(Runtime(error)))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("ValidationError", "Endpoint digits of account 123456789012 not found."), EndpointNotFound),
        (refused("AccessDeniedException", "no"), AccessDenied),
        (refused("ThrottlingException", "slow"), Throttled),
        (refused("ValidationError", "Value at 'body' failed to satisfy constraint"), BackendError),
    ],
)
def test_what_is_not_about_the_model_is_the_services_error(error, kind):
    with pytest.raises(kind) as caught:
        invoking.invoke("digits", 1, connected(Runtime(error)))
    assert type(caught.value) is kind
    assert not isinstance(caught.value, ModelError)
