"""SageMaker Runtime: a request to an endpoint becomes one to its container, and the container's answer the answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote

from sm_magics.local.account import Account
from sm_magics.local.cloudwatch.endpoint_metrics import EndpointMetrics
from sm_magics.local.protocol.errors import (
    STREAM_TIMED_OUT,
    TIMED_OUT,
    ApiError,
    failed_constraints,
    model_error,
    no_such_endpoint,
    no_such_variant,
    oversize,
    runtime_invalid,
    unknown_operation,
)
from sm_magics.local.protocol.validation import failures
from sm_magics.local.protocol.wire import Request, Response
from sm_magics.serving.messages import Headers
from sm_magics.serving.messages import Request as ContainerRequest
from sm_magics.serving.stream import Stream, StreamBroken

from . import event_stream
from .capture import Capture, Captured
from .endpoints import Endpoints
from .fleet import Reply, VersionFailedError
from .variants import Variant
from .versions import Version

#: Bytes of a request to a real-time, and to a serverless endpoint (Amazon SageMaker endpoints and quotas, "Maximum
#: payload size").
LARGEST = 25 << 20
LARGEST_SERVERLESS = 4 << 20
#: Seconds that a container may take for one answer (InvokeEndpoint, AWS API reference), and for one that it streams
#: ("Streaming responses", Amazon SageMaker endpoints and quotas).
TIME_LIMIT = 60.0
STREAM_TIME_LIMIT = 480.0
#: Different requests, apart from their bodies, that are remembered as well-formed (of some KiB at most).
_MOST_CHECKED = 256
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_SESSION = "X-Amzn-SageMaker-Session-Id"
#: Headers of the container's answer that go to the client, by their names in lower case.
_PASSED_BACK = {
    name.lower(): name
    for name in (_CUSTOM_ATTRIBUTES, "X-Amzn-SageMaker-New-Session-Id", "X-Amzn-SageMaker-Closed-Session-Id")
}
#: What a container of several models, containers or components would have: PyTorch inference images have one model.
_UNSUPPORTED = {
    "TargetModel": "multi-model",
    "TargetContainerHostname": "multi-container",
    "InferenceComponentName": "inference component",
    "EnableExplanations": "explainer",
}
#: Members that the container sees, as headers. Those of streaming requests have their usual names there.
_PASSED_ON = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": _CUSTOM_ATTRIBUTES,
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "SessionId": _SESSION,
}


@dataclass(frozen=True)
class _Call:
    """One request to an endpoint, and which variant it goes to."""

    request_id: str
    endpoint: str
    parameters: Mapping[str, Any]
    body: bytes
    version: Version
    variant: Variant
    captured: bool
    received: float


class Runtime:
    """The operations of the service model that have a path here.

    Parameters
    ----------
    model
        botocore's model of ``sagemaker-runtime``.
    """

    def __init__(
        self, model: Any, endpoints: Endpoints, account: Account, capture: Capture, metrics: EndpointMetrics
    ) -> None:
        self._endpoints = endpoints
        self._metrics = metrics
        self._account = account
        self._capture = capture
        self._operations = [
            (operation.http["method"], _path_pattern(operation.http["requestUri"]), operation)
            for operation in (model.operation_model(name) for name in model.operation_names)
        ]
        self._abandoned: set[asyncio.Future[Reply]] = set()
        self._route = lru_cache(maxsize=_MOST_CHECKED)(self._find_route)
        self._checked: set[tuple[Any, ...]] = set()

    async def answer(self, request: Request, body: bytes, request_id: str) -> Response:
        """Answer a verified request.

        Raises
        ------
        ApiError
            The runtime's own errors, ``ModelError`` above all.
        """
        received = time.perf_counter()
        match, operation = self._route(request.method, request.raw_path)
        if operation.name not in {"InvokeEndpoint", "InvokeEndpointWithResponseStream"}:
            raise unknown_operation("sagemaker-runtime", operation.name)
        parameters = self._parameters(operation, match, request)
        call = self._call(parameters, body, request_id, received)
        if operation.name == "InvokeEndpoint":
            return await self._invoke(call)
        return await self._invoke_with_response_stream(call)

    def _parameters(self, operation: Any, match: re.Match[str], request: Request) -> dict[str, str]:
        given = request.by_name
        parameters = {
            name: unquote(match[place]) if is_in_path else given[place]
            for name, place, is_in_path in _places(operation.input_shape)
            if is_in_path or place in given
        }
        # Most requests say the same as others did.
        key = operation.name, *parameters.items()
        if key not in self._checked:
            shape = operation.input_shape
            # The body was measured while it was read: the model's maximum is an older one.
            if broken := list(failures(shape, {**parameters, shape.serialization["payload"]: b""})):
                raise ApiError("ValidationError", failed_constraints(broken).message)
            if len(self._checked) >= _MOST_CHECKED:
                self._checked.clear()
            self._checked.add(key)
        return parameters

    def _find_route(self, method: str, path: str) -> tuple[re.Match[str], Any]:
        for its_method, pattern, operation in self._operations:
            match = pattern.fullmatch(path)
            if match and its_method == method:
                return match, operation
        raise unknown_operation("sagemaker", f"{method} {path}")

    def _call(self, parameters: dict[str, Any], body: bytes, request_id: str, received: float) -> _Call:
        for member, kind in _UNSUPPORTED.items():
            if member in parameters:
                raise runtime_invalid(f"{member} is for {kind} endpoints, which this machine does not have.")
        name = parameters["EndpointName"]
        version = self._endpoints.serving(name)
        if version is None:
            raise no_such_endpoint(name, self._account.id)
        wanted = parameters.get("TargetVariant", "")
        variant = version.choose(wanted)
        if variant is None and wanted:
            raise no_such_variant(wanted, name)
        if variant is None:
            raise runtime_invalid(f"All variants of endpoint {name} have weight 0.")
        if variant.serverless and len(body) > LARGEST_SERVERLESS:
            raise oversize(request_id)
        if "SessionId" in parameters and variant.instances * variant.workers > 1:
            raise runtime_invalid(f"SessionId needs a variant of one worker here; {variant.name} has more.")
        captured = self._capture.wanted(version.snapshot["config"].get("DataCaptureConfig"))
        return _Call(request_id, name, parameters, body, version, variant, captured, received)

    async def _invoke(self, call: _Call) -> Response:
        answer = await self._asked(call, stream=False, seconds=TIME_LIMIT)
        assert not isinstance(answer, Stream)  # noqa: S101 - no stream was asked for
        self._captured(call, answer.headers, answer.body)
        return _response(call, answer.headers, answer.body)

    async def _invoke_with_response_stream(self, call: _Call) -> Response:
        deadline = asyncio.get_running_loop().time() + STREAM_TIME_LIMIT
        answer = await self._asked(call, stream=True, seconds=STREAM_TIME_LIMIT)
        headers = [(name, value) for name, value in _headers(call, answer.headers) if name != "content-type"]
        kind = _content_type(answer.headers)
        if kind:
            headers.append(("X-Amzn-SageMaker-Content-Type", kind))
        headers.append(("content-type", event_stream.CONTENT_TYPE))
        if isinstance(answer, Stream):
            return Response(200, headers, self._frames(call, answer, deadline))
        self._captured(call, answer.headers, answer.body)
        return Response(200, headers, event_stream.event("PayloadPart", answer.body) if answer.body else b"")

    async def _asked(self, call: _Call, *, stream: bool, seconds: float) -> Reply:
        """Return the container's answer, a good one."""
        headers = tuple(
            (header, call.parameters[name]) for name, header in _PASSED_ON.items() if name in call.parameters
        )
        request = ContainerRequest("POST", "/invocations", headers, call.body)
        slept = call.version.is_asleep(call.variant)
        asked_at = time.perf_counter()
        asked = call.version.ask(call.variant, request, stream=stream)
        await asyncio.wait({asked}, timeout=seconds)
        self._measure(call, asked, asked_at, slept=slept)
        if not asked.done():
            # As in the container, one who stops waiting does not stop the work.
            self._abandoned.add(asked)
            asked.add_done_callback(self._let_go)
            raise self._model_error(call, 0, TIMED_OUT.format(container=call.variant.hostname).encode())
        try:
            answer = asked.result()
        except VersionFailedError as error:
            # The workers slept and could not be started again: the endpoint has failed.
            raise no_such_endpoint(call.endpoint, self._account.id) from error
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return answer
        body = b"".join([piece async for piece in answer]) if isinstance(answer, Stream) else answer.body
        raise self._model_error(call, answer.status, body)

    def _measure(self, call: _Call, asked: asyncio.Future[Reply], asked_at: float, *, slept: bool) -> None:
        known = asked.done() and asked.exception() is None
        set_up = call.version.set_up(call.variant) if slept and known else 0.0
        invoked = partial(
            self._metrics.invoked,
            call.endpoint,
            call.variant.name,
            status=asked.result().status if known else 0,
            model=time.perf_counter() - asked_at - set_up,
            overhead=asked_at - call.received,
        )
        # Counted once the answer is on its way.
        asyncio.get_running_loop().call_soon(invoked)
        if set_up and call.variant.serverless:
            self._metrics.set_up(call.endpoint, call.variant.name, set_up)

    def _let_go(self, asked: asyncio.Future[Reply]) -> None:
        self._abandoned.discard(asked)
        if not asked.cancelled() and asked.exception() is None and isinstance(answer := asked.result(), Stream):
            answer.abandon()

    async def _frames(self, call: _Call, stream: Stream, deadline: float) -> AsyncIterator[bytes]:
        """Yield a stream's frames. Who stops taking them lets the handler run to its end."""
        pieces: list[bytes] = []
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    piece = await asyncio.wait_for(stream.__anext__(), deadline - loop.time())
                except StopAsyncIteration:
                    self._captured(call, stream.headers, b"".join(pieces))
                    return
                if call.captured:
                    pieces.append(piece)
                yield event_stream.event("PayloadPart", piece)
        except asyncio.TimeoutError:
            message = STREAM_TIMED_OUT.format(container=call.variant.hostname)
            yield _stream_error(message, "ModelInvocationTimeExceeded")
        except StreamBroken as error:
            yield _stream_error(str(error), "StreamBroken")
        finally:
            stream.abandon()

    def _captured(self, call: _Call, headers: Headers, body: bytes) -> None:
        if call.captured:
            given = call.parameters.get
            self._capture.add(
                call.version.snapshot["config"]["DataCaptureConfig"],
                call.endpoint,
                call.variant.name,
                Captured(
                    call.request_id, given("InferenceId", ""), given("ContentType", ""), call.body,
                    _content_type(headers), body,
                ),
            )  # fmt: skip

    def _model_error(self, call: _Call, status: int, body: bytes) -> ApiError:
        return model_error(
            status=status,
            body=body,
            container=call.variant.hostname,
            endpoint=call.endpoint,
            region=self._account.region,
            account=self._account.id,
        )


def _path_pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    )


@lru_cache(maxsize=8)
def _places(shape: Any) -> tuple[tuple[str, str, bool], ...]:
    """Return where a request has its members besides the body: name, header or part of the path, and whether that."""
    members = [(name, member.serialization) for name, member in shape.members.items()]
    return tuple(
        (name, place["name"] if place["location"] == "uri" else place["name"].lower(), place["location"] == "uri")
        for name, place in members
        if place.get("location") in {"uri", "header"}
    )


def _content_type(headers: Headers) -> str:
    return next((value for name, value in headers if name.lower() == "content-type"), "")


def _headers(call: _Call, headers: Headers) -> list[tuple[str, str]]:
    passed = [("x-Amzn-Invoked-Production-Variant", call.variant.name)]
    if kind := _content_type(headers):
        passed.append(("content-type", kind))
    return passed + [(_PASSED_BACK[name.lower()], value) for name, value in headers if name.lower() in _PASSED_BACK]


def _response(call: _Call, headers: Headers, body: bytes) -> Response:
    return Response(200, _headers(call, headers), body)


def _stream_error(message: str, code: str) -> bytes:
    return event_stream.exception("ModelStreamError", {"Message": message, "ErrorCode": code})
