"""A value to a payload, the payload to an endpoint, its answer to a value."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from sm_magics.errors import EndpointNotFound, ModelError, PayloadError, PredictionError, SmMagicsError

from . import diagnosis, faults
from .connection import Connection

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"


@dataclass(frozen=True)
class Prediction:
    """One answer of an endpoint.

    Attributes
    ----------
    value
        The answer, decoded: lists and numbers from JSON, lists of strings from CSV, an array from NPY, else text
        or bytes.
    content_type
        As the container gave it.
    body
        The answer as it came.
    seconds
        From sending the request to the last byte of the answer, measured here.
    endpoint_name
        Who answered.
    """

    value: Any
    content_type: str
    body: bytes
    seconds: float
    endpoint_name: str


def invoke(
    endpoint_name: str,
    value: Any,
    connection: Connection,
    *,
    content_type: str = JSON,
    accept: str = JSON,
) -> Prediction:
    """Send a value to an endpoint and return its answer.

    Parameters
    ----------
    value
        A number, string, list or dict; a NumPy array, a torch tensor, a pandas object; or ``bytes``, sent as they
        are whatever the content type.
    content_type, accept
        How it is sent, and what is asked for.

    Raises
    ------
    PayloadError
        If the value cannot be written as that content type, or the answer is not what it says it is.
    ModelError
        If the handlers raised: their traceback is in it.
    EndpointNotFound
        If there is no endpoint of that name.
    """
    body = encode(value, content_type)
    runtime = connection.client("sagemaker-runtime")
    started = time.perf_counter()
    with connection.calling():
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint_name, Body=body, ContentType=content_type, Accept=accept
            )
            received = answer["Body"].read()
        except ClientError as error:
            raise _explained(error, endpoint_name, connection) from error
    seconds = time.perf_counter() - started
    kind = answer.get("ContentType", "")
    return Prediction(decode(received, kind), kind, received, seconds, endpoint_name)


def encode(value: Any, content_type: str = JSON) -> bytes:
    """Return a value as a request's body.

    Raises
    ------
    PayloadError
        If that content type cannot hold the value.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == JSON:
            return json.dumps(value, default=_plain).encode()
        if kind == NPY:
            return _npy(value)
        if kind == CSV:
            return _csv(value)
        if isinstance(value, str):
            return value.encode()
    except Exception as error:  # the value's own methods are called, and may raise anything
        raise PayloadError(
            f"A value of type {type(value).__name__} cannot be sent as {kind}: {error}.",
            hint=f"--content-type {NPY}    # for arrays; or send numbers, text, lists and dicts of them",
        ) from error
    raise PayloadError(
        f"There is no encoder from {type(value).__name__} to {kind}: only text and bytes are sent as they are.",
        hint=f"--content-type {JSON}    # or {CSV}, {NPY}; or pass bytes",
    )


def decode(body: bytes, content_type: str) -> Any:
    """Return an answer's body as a value. Nothing is unpickled.

    Raises
    ------
    PayloadError
        If the body is not what the content type says.
    """
    kind = content_type.partition(";")[0].partition(",")[0].strip().lower()
    try:
        if kind == JSON:
            return json.loads(body)
        if kind == NPY:
            import numpy as np

            return np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
        if kind == CSV:
            return [line.split(",") for line in body.decode().splitlines()]
        if kind.startswith("text/"):
            return body.decode()
    except Exception as error:  # bytes of any kind: too deep for json, too large an array, …
        raise PayloadError(
            f"The endpoint says its answer is {kind}, but it is not: {error}.",
            hint="%sm_logs    # and see what output_fn returns",
        ) from error
    return body


def _plain(value: Any) -> Any:
    """Return what json can write for arrays, tensors, data frames and NumPy's numbers."""
    if hasattr(value, "detach"):  # a torch tensor, wherever it lives
        value = value.detach().cpu()
    for name in ("tolist", "to_list"):  # NumPy, torch; pandas
        if hasattr(value, name):
            return getattr(value, name)()
    if hasattr(value, "to_dict"):  # a data frame: one object a row
        return value.to_dict(orient="records")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        raise TypeError("a set has no order")
    if hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _array(value: Any) -> Any:
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError("its elements are Python objects, not numbers")
    return array


def _npy(value: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, _array(value), allow_pickle=False)
    return buffer.getvalue()


def _csv(value: Any) -> bytes:
    import numpy as np

    if isinstance(value, str):
        return value.encode()
    if hasattr(value, "to_csv"):  # pandas writes its own, without the index and without the names
        return str(value.to_csv(index=False, header=False)).encode()
    rows = np.atleast_1d(_array(value))
    dimensions = 2
    if rows.ndim > dimensions:
        raise ValueError(f"CSV has rows and columns, the value has {rows.ndim} dimensions")
    return "\n".join(",".join(str(cell) for cell in row) for row in rows.reshape(-1, rows.shape[-1])).encode()


_DEFAULTS = {
    "input_fn": "%%sm_inference    # define input_fn: the container's default reads numbers only, as JSON, CSV or NPY",
    "output_fn": "%%sm_inference    # define output_fn: the container's default writes tensors and what JSON can hold",
    "predict_fn": "%%sm_inference    # define predict_fn: the container's default calls the model with one tensor",
}
"""What to do when the container's default for a handler raises."""


def _explained(error: ClientError, endpoint_name: str, connection: Connection) -> SmMagicsError:
    """Return the error for a refused invocation; the service's own where it is not about the model."""
    code = error.response.get("Error", {}).get("Code")
    message = str(error.response.get("Error", {}).get("Message", ""))
    if code in {"ValidationError", "ValidationException"} and "not found" in message:
        return EndpointNotFound(
            f"There is no endpoint {endpoint_name!r} on {connection.place}.",
            hint="%sm_endpoints    # lists those there are",
        )
    if code != "ModelError":
        return faults.of(error)
    status = int(error.response.get("OriginalStatusCode", 500))
    original = str(error.response.get("OriginalMessage", "")) or message
    logs = f"%sm_logs {endpoint_name}"
    found = diagnosis.read(original)
    if found:
        default = next((name for name in _DEFAULTS if f"in default_{name}" in original and not found.path), "")
        return ModelError(
            f"The model behind {endpoint_name} raised {found.text}",
            hint=_DEFAULTS.get(default, logs),
            traceback=found.traceback,
            status=status,
        )
    if "Worker died." in original:
        return ModelError(
            f"The worker behind {endpoint_name} died while it answered: it left Python, or was killed. "
            "Another one has taken its place.",
            hint=logs,
            status=status,
        )
    if not status:
        return PredictionError(f"{endpoint_name} did not answer in time: {original}", hint=logs)
    return ModelError(f"The model behind {endpoint_name} answered {status}: {original}", hint=logs, status=status)
