"""A value to the body of a request, and the body of an answer to a value: what SageMaker's containers exchange."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from sm_magics.errors import PayloadError

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"

LARGEST = 25_000_000
"""Bytes that a real-time endpoint takes at most (SageMaker's quotas); a serverless one takes 4 MB, and the container
itself 6,553,500 bytes unless ``TS_MAX_REQUEST_SIZE`` says otherwise."""


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


def natural(value: Any) -> tuple[Any, str]:
    """Return a value with the content type that it is sent as unless told otherwise.

    A PIL image is the bytes of a file in its own format (PNG where it has none), all else is JSON.
    """
    if not all(hasattr(value, name) for name in ("save", "format", "mode", "getbands")):
        return value, JSON
    kind = value.format if value.format in {"PNG", "JPEG", "GIF", "WEBP"} else "PNG"
    buffer = io.BytesIO()
    try:
        value.save(buffer, format=kind)
    except Exception as error:  # Pillow's own, by mode and format
        raise PayloadError(
            f"An image of mode {value.mode} cannot be written as {kind}: {error}.", hint="image.convert('RGB')"
        ) from error
    return buffer.getvalue(), f"image/{kind.lower()}"


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
