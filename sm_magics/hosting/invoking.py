"""A value to a payload, the payload to an endpoint, its answer to a value."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from sm_magics.errors import EndpointNotFound, ModelError, PayloadError, PredictionError, SmMagicsError
from sm_magics.payload import CSV, JSON, NPY, decode, encode

from . import diagnosis, faults
from .connection import Connection

__all__ = ["CSV", "JSON", "NPY", "Prediction", "decode", "encode", "invoke", "send"]


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
    custom_attributes: str = "",
) -> Prediction:
    """Send a value to an endpoint and return its answer.

    Parameters
    ----------
    value
        A number, string, list or dict; a NumPy array, a torch tensor, a pandas object; or ``bytes``, sent as they
        are whatever the content type.
    content_type, accept
        How it is sent, and what is asked for.
    custom_attributes
        Text that goes with the request, up to 1,024 characters: handlers find it in their context as the header
        ``X-Amzn-SageMaker-Custom-Attributes``.

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
    answer = send(
        endpoint_name,
        body,
        connection,
        content_type=content_type,
        accept=accept,
        custom_attributes=custom_attributes,
    )
    return replace(answer, value=decode(answer.body, answer.content_type))


def send(
    endpoint_name: str,
    body: bytes,
    connection: Connection,
    *,
    content_type: str,
    accept: str,
    custom_attributes: str = "",
) -> Prediction:
    """Send bytes to an endpoint and return its answer as it came: the value is the body. See `invoke`."""
    more = {"CustomAttributes": custom_attributes} if custom_attributes else {}
    runtime = connection.client("sagemaker-runtime")
    started = time.perf_counter()
    with connection.calling():
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint_name, Body=body, ContentType=content_type, Accept=accept, **more
            )
            received = answer["Body"].read()
        except ClientError as error:
            raise _explained(error, endpoint_name, connection) from error
        except ReadTimeoutError as error:
            raise PredictionError(
                f"{endpoint_name} did not answer in time, and may be at it still. SageMaker gives a model 60 seconds.",
                hint=f"%sm_logs {endpoint_name}    # what it printed meanwhile",
            ) from error
    seconds = time.perf_counter() - started
    return Prediction(received, answer.get("ContentType", ""), received, seconds, endpoint_name)


_TOO_LARGE = {"413", "RequestEntityTooLargeException"}  # SageMaker gives the HTTP status as the code

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
    if code == "ModelError":
        return _of_model(error, message, endpoint_name)
    if code in {"ValidationError", "ValidationException"} and "not found" in message:
        return EndpointNotFound(
            f"There is no endpoint {endpoint_name!r} on {connection.place}.",
            hint="%sm_endpoints    # lists those there are",
        )
    if code in _TOO_LARGE:
        return PayloadError(
            f"The request is too large for {endpoint_name}: {message}",
            hint="%sm_predict x[:8]    # fewer at once: 25 MB at the most, 4 MB where it is serverless",
        )
    if code == "ModelNotReadyException":
        return PredictionError(
            f"The model behind {endpoint_name} is not loaded yet: {message}", hint=f"%sm_status {endpoint_name}"
        )
    return faults.of(error)


def _of_model(error: ClientError, message: str, endpoint_name: str) -> SmMagicsError:
    """Return the error for what the container answered."""
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
            diagnosis=found,
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
