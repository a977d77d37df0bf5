"""One loaded model: handlers through AWS's own toolkit, requests in, answers out.

What TorchServe's Python side does around the toolkit is done here (``ts/service.py`` and
``ts/protocol/otf_message_handler.py`` of TorchServe 0.12.0): which body handlers get, and what becomes of the value
they return. Anything that would have raised there raises here, and ends the worker as it does there.
"""

from __future__ import annotations

import io
import json
import logging
import os
import random
import re
import traceback
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from inspect import Signature, signature
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sagemaker_inference import content_types, decoder, transformer
from sagemaker_inference.errors import BaseInferenceToolkitError, GenericInferenceToolkitError
from sagemaker_pytorch_serving_container.default_pytorch_inference_handler import DefaultPytorchInferenceHandler

from .context import Context, RequestProcessor
from .forms import Malformed, body_parameters, query_parameters
from .headers import in_java_order
from .messages import Answer, Headers, Parts, parts

_HEADER_NAME = re.compile(r"[^\x00\t\n\v\f\r ,:;=\x80-\U0010ffff]+")  # what Netty lets through
_FORBIDDEN_IN_VALUES = re.compile(r"[\x00\r\n\v\f]")
# They describe the connection, not the answer: the server in front sets them.
_CONNECTION_HEADERS = {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"}
_REQUEST_ID = "x-request-id"  # whatever a handler sets, it is the server's
_FIRST_FINAL_STATUS, _LAST_STATUS = 200, 999


class Model:
    """The handlers of one model directory.

    Parameters
    ----------
    directory
        The model directory: the current one, and with its ``code/`` on ``sys.path``.
    allow_pickle
        Whether the default ``input_fn`` may unpickle the objects in an ``application/x-npy`` body. The container
        does, so that whoever can send a request can run code.
    max_response
        Bytes of an answer's body.
    """

    def __init__(self, directory: Path, *, allow_pickle: bool, max_response: int) -> None:
        self._directory = str(directory)
        self._max_response = max_response
        self._context = Context(self._directory)
        self._decodes = os.environ.get("TS_DECODE_INPUT_REQUEST") == "true"  # the container's default is no
        self._random = random.Random()  # noqa: S311 - request ids are no secrets; handlers may seed the global one
        self._transformer = transformer.Transformer(default_inference_handler=_Defaults())
        transformer.signature = _signature_once()
        if not allow_pickle:
            decoder._decoder_map[content_types.NPY] = _npy_without_objects  # noqa: SLF001 - it has no public one

    def load(self) -> None:
        """Import the user's module and call ``model_fn``.

        Raises
        ------
        FileNotFoundError
            If ``SAGEMAKER_PROGRAM`` names a module that is not there. The container would use its defaults.
        BaseException
            Whatever the user's code raises.
        """
        program = os.environ.get("SAGEMAKER_PROGRAM")
        if program is not None and find_spec(program.removesuffix(".py")) is None:
            raise FileNotFoundError(
                f"SAGEMAKER_PROGRAM is {program!r}, but there is no such file in {self._directory}/code "
                f"or in {self._directory}."
            )
        self._transformer.validate_and_initialize(model_dir=self._directory, context=self._context)

    def answer(self, target: str, headers: Headers, body: bytearray) -> Answer:
        """Answer one request.

        Parameters
        ----------
        target
            Path and query.
        headers, body
            As sent.

        Returns
        -------
        Answer
            An exception in a handler is an answer too (status 500, no Content-Type).
        """
        outcome = self._transform(target, headers, body)
        return outcome if isinstance(outcome, Answer) else self._whole(*outcome)

    def stream(self, target: str, headers: Headers, body: bytearray) -> Iterator[Parts]:
        """Answer one request, in pieces if the handlers return an iterator of bytes.

        That is an extension: to `answer`, and to the container, such a value is of a type that cannot be sent.

        Parameters
        ----------
        target, headers, body
            As in `answer`.

        Yields
        ------
        Parts
            Of one frame. An exception before the first piece is an answer like any other exception; one that comes
            later breaks the answer off.
        """
        outcome = self._transform(target, headers, body)
        if isinstance(outcome, Answer):
            yield outcome.frame()
            return
        result, request_id = outcome
        if not isinstance(result, Iterator):
            yield self._whole(result, request_id).frame()
            return
        try:
            first = self._piece(next(result, b""))
        except Exception as error:  # noqa: BLE001 - as the toolkit does
            self._begin(request_id, self._context.get_all_request_header(0))
            yield self._whole(self._error(error), request_id).frame()
            return
        yield self._complete(first, request_id).frame(more=True)
        try:
            for piece in result:
                yield parts({"more": True}, self._piece(piece))
        except Exception as error:
            logging.getLogger().exception("The stream breaks off.")
            yield parts({"more": False, "broken": str(error)}, b"")
        else:
            yield parts({"more": False}, b"")

    def _transform(self, target: str, headers: Headers, body: bytearray) -> tuple[Any, str] | Answer:
        # Parameters first, then headers, which win. Of a header that is sent twice the last one counts.
        properties: dict[str, Any] = {}
        inputs: dict[str, Any] = {}
        try:
            parameters = query_parameters(target) + body_parameters(headers, body)
        except Malformed as error:
            return error.answer
        for name, content_type, value in parameters:
            inputs[name] = _decoded(content_type, value) if self._decodes else value
            properties[name] = {"content-type": content_type}
        properties.update(in_java_order(headers))
        request_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        self._begin(request_id, properties)
        try:
            (result,) = self._transformer.transform([inputs], self._context)
        except Exception as error:  # the toolkit could not even make an answer of an exception
            logging.getLogger().exception("Invoking custom service failed.")
            if isinstance(error, MemoryError) or "CUDA" in str(error):
                return Answer.error(507, "InternalServerException", "Out of resources")
            return Answer.error(503, "InternalServerException", "Prediction failed")
        return result, request_id

    def _begin(self, request_id: str, properties: dict[str, Any]) -> None:
        self._context.request_ids = self._context.metrics.request_ids = {0: request_id}
        self._context.request_processor = [RequestProcessor(properties)]

    def _whole(self, result: object, request_id: str) -> Answer:
        content = _content(result)
        if content is None:
            return Answer.error(503, "InternalServerException", "Unsupported model output data type.")
        if len(content) > self._max_response:
            return Answer.error(500, "InternalServerException", self._too_long("response", content))
        return self._complete(content, request_id)

    def _complete(self, content: bytes, request_id: str) -> Answer:
        return _answer(self._context.request_processor[0], content, request_id)  # handlers may have put another there

    def _piece(self, value: object) -> bytes:
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, (bytes, bytearray)):
            raise TypeError(f"A stream consists of bytes, not of {type(value).__name__}.")
        if len(value) > self._max_response:
            raise ValueError(self._too_long("piece", value))
        return bytes(value)

    def _too_long(self, what: str, content: bytes | bytearray) -> str:
        return (
            f"The {what} has {len(content)} bytes, more than the {self._max_response} allowed (TS_MAX_RESPONSE_SIZE)."
        )

    def _error(self, error: Exception) -> str:
        if not isinstance(error, BaseInferenceToolkitError):
            error = GenericInferenceToolkitError(500, str(error))
        (text,) = self._transformer.handle_error(self._context, error, traceback.format_exc())
        return str(text)


def _decoded(content_type: str, value: bytearray) -> Any:
    """Return a value as TorchServe's Python side decodes it where it is told to; the toolkit expects that it is not."""
    try:
        if content_type == content_types.JSON:
            return json.loads(value.decode())
        if content_type.startswith("text"):
            return value.decode()
    except ValueError:
        logging.getLogger().warning("Failed decoding of input data. Forwarding encoded payload", exc_info=True)
    return value


def _signature_once() -> Callable[[Callable[..., Any]], Signature]:
    """Return ``inspect.signature`` with a memory.

    The toolkit counts the arguments of four handlers for each request, which takes a third of its time. Handlers
    stay the same objects once they are loaded.
    """
    known: dict[int, tuple[object, Signature]] = {}  # not by the object: it need not be hashable

    def once(function: Callable[..., Any]) -> Signature:
        found = known.get(id(function))
        if found is None:
            found = known[id(function)] = (function, signature(function))
        return found[1]

    return once


def _answer(processor: RequestProcessor, content: bytes, request_id: str) -> Answer:
    code, phrase = processor.get_response_status_code(), processor.get_response_status_phrase()
    status = _FIRST_FINAL_STATUS if code is None else index(code)  # a float is none, as TorchServe packs it
    reason = "" if phrase is None else phrase
    if not (_FIRST_FINAL_STATUS <= status <= _LAST_STATUS):
        raise ValueError(f"set_response_status: {status!r} is not the status of an answer.")
    if "\r" in reason or "\n" in reason:
        raise ValueError(f"set_response_status: {reason!r} does not fit on one line.")
    headers = _sent(tuple(processor.get_response_headers().items()))
    return Answer(status, reason, (*headers, (_REQUEST_ID, request_id)), content)


@lru_cache(maxsize=64)  # most answers of a model have the same
def _sent(headers: Headers) -> Headers:
    """Return the headers that an answer has of those which handlers and toolkit set."""
    # "content-type" is the toolkit's. Of names that differ in case only, the last one stays.
    chosen: dict[str, tuple[str, str]] = {}
    for name, value in in_java_order(headers):
        if not _HEADER_NAME.fullmatch(name) or _FORBIDDEN_IN_VALUES.search(value):
            raise ValueError(f"set_response_header: {name!r}: {value!r} is not an HTTP header.")
        lower = name.lower()
        if lower not in _CONNECTION_HEADERS and lower != _REQUEST_ID:
            chosen[lower] = (name, value)
    return tuple(chosen.values())


def _content(result: object) -> bytes | None:
    """Return a handler's return value as bytes, None if it is of a type that cannot be sent."""
    if isinstance(result, (bytes, bytearray)):
        return bytes(result)
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, torch.Tensor):
        buffer = io.BytesIO()
        torch.save(result, buffer)
        return buffer.getvalue()
    try:
        return json.dumps(result, indent=2).encode()
    except TypeError:
        logging.getLogger().warning("Unable to serialize model output.", exc_info=True)
        return None


class _Defaults(DefaultPytorchInferenceHandler):  # type: ignore[misc]  # the toolkit ships no types
    """The container's default handlers, but for a body that would make it read memory nobody wrote to."""

    def default_input_fn(self, input_data: Any, content_type: Any) -> torch.Tensor:
        # torch.FloatTensor(array) of a 0-dimensional integer array allocates that many floats and fills none.
        if content_type in content_types.UTF8_TYPES and "[" not in input_data and "," not in input_data:
            number = decoder.decode(input_data, content_type)
            if number.ndim == 0 and number.dtype.kind in "iu" and number > 0:
                raise ValueError(
                    f"A single number ({number}) is no input: the container would predict on that many "
                    "uninitialised values. Send a list."
                )
        tensor: torch.Tensor = super().default_input_fn(input_data, content_type)
        return tensor


def _npy_without_objects(npy: bytes | bytearray) -> Any:
    return np.load(io.BytesIO(npy), allow_pickle=False)
