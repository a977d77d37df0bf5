"""SageMaker Runtime: a request to an endpoint becomes one to its container, and the container's answer the answer."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import unquote

from sm_magics.serving.messages import Answer
from sm_magics.serving.messages import Request as ContainerRequest

from .account import Account
from .endpoints import Endpoints
from .errors import (
    TIMED_OUT,
    ApiError,
    failed_constraints,
    model_error,
    no_such_endpoint,
    runtime_invalid,
    unknown_operation,
)
from .validation import failures
from .versions import Variant
from .wire import Request, Response

#: Bytes of a request to a real-time endpoint (Amazon SageMaker endpoints and quotas, "Maximum payload size").
LARGEST = 25 << 20
#: Seconds that a container may take for one answer (InvokeEndpoint, AWS API reference).
TIME_LIMIT = 60.0
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_UNSUPPORTED = ("TargetModel", "TargetContainerHostname", "InferenceComponentName", "SessionId", "EnableExplanations")
#: Members that the container sees, as headers.
_PASSED_ON = ("ContentType", "Accept", "CustomAttributes", "InferenceId")


class Runtime:
    """The operations of the service model that have a path here.

    Parameters
    ----------
    model
        botocore's model of ``sagemaker-runtime``.
    """

    def __init__(self, model: Any, endpoints: Endpoints, account: Account) -> None:
        self._endpoints = endpoints
        self._account = account
        self._operations = [
            (operation.http["method"], _path_pattern(operation.http["requestUri"]), operation)
            for operation in (model.operation_model(name) for name in model.operation_names)
        ]
        self._abandoned: set[asyncio.Task[Answer]] = set()

    async def answer(self, request: Request, body: bytes) -> Response:
        """Answer a verified request.

        Raises
        ------
        ApiError
            The runtime's own errors, ``ModelError`` above all.
        """
        match, operation = self._route(request)
        if operation.name != "InvokeEndpoint":
            raise unknown_operation("sagemaker-runtime", operation.name)
        shape = operation.input_shape
        parameters = _parameters(shape, match, request)
        # The body was measured while it was read: the model's maximum is an older one.
        if broken := list(failures(shape, {**parameters, shape.serialization["payload"]: b""})):
            raise ApiError("ValidationError", failed_constraints(broken).message)
        return await self._invoke_endpoint(parameters, body, shape)

    def _route(self, request: Request) -> tuple[re.Match[str], Any]:
        for method, pattern, operation in self._operations:
            match = pattern.fullmatch(request.raw_path)
            if match and method == request.method:
                return match, operation
        raise unknown_operation("sagemaker", f"{request.method} {request.raw_path}")

    async def _invoke_endpoint(self, parameters: dict[str, Any], body: bytes, shape: Any) -> Response:
        for member in _UNSUPPORTED:
            if member in parameters:
                raise runtime_invalid(f"{member} is not available on this machine.")
        name = parameters["EndpointName"]
        version = await self._endpoints.serving(name)
        if version is None:
            raise no_such_endpoint(name, self._account.id)
        wanted = parameters.get("TargetVariant", "")
        variant = version.choose(wanted)
        if variant is None:
            raise runtime_invalid(f"Could not find production variant {wanted or '(all have weight 0)'} in {name}.")
        headers = tuple(
            (shape.members[member].serialization["name"], parameters[member])
            for member in _PASSED_ON
            if member in parameters
        )
        asked = asyncio.create_task(version.invoke(variant, ContainerRequest("POST", "/invocations", headers, body)))
        await asyncio.wait({asked}, timeout=TIME_LIMIT)
        if not asked.done():
            # As in the container, one who stops waiting does not stop the work.
            self._abandoned.add(asked)
            asked.add_done_callback(self._abandoned.discard)
            raise self._model_error(name, variant, 0, TIMED_OUT.format(container=variant.hostname).encode())
        answer = asked.result()
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            raise self._model_error(name, variant, answer.status, answer.body)
        return _answer(answer, variant)

    def _model_error(self, endpoint: str, variant: Variant, status: int, body: bytes) -> ApiError:
        return model_error(
            status=status,
            body=body,
            container=variant.hostname,
            endpoint=endpoint,
            region=self._account.region,
            account=self._account.id,
        )


def _path_pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    )


def _parameters(shape: Any, match: re.Match[str], request: Request) -> dict[str, Any]:
    parameters = {}
    for name, member in shape.members.items():
        place = member.serialization.get("location")
        if place == "uri":
            parameters[name] = unquote(match[member.serialization["name"]])
        elif place == "header":
            values = request.values(member.serialization["name"].lower())
            if values:
                parameters[name] = values[0]
    return parameters


def _answer(answer: Answer, variant: Variant) -> Response:
    headers = [("x-Amzn-Invoked-Production-Variant", variant.name)]
    if answer.content_type:
        headers.append(("content-type", answer.content_type))
    headers += [
        (_CUSTOM_ATTRIBUTES, value) for name, value in answer.headers if name.lower() == _CUSTOM_ATTRIBUTES.lower()
    ]
    return Response(200, headers, answer.body)
