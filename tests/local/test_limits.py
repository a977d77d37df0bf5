"""The runtime's time limits, in this process, where a limit can be short."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from botocore.eventstream import EventStreamBuffer
from local_service import IMAGE, variant

from sm_magics.local.account import Account
from sm_magics.local.hosting import runtime
from sm_magics.local.hosting.runtime import Runtime
from sm_magics.local.hosting.variants import variants_of
from sm_magics.local.protocol.body import Body
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.wire import Request, Response
from sm_magics.local.service import service_model
from sm_magics.serving.messages import Answer
from sm_magics.serving.stream import Stream

ACCOUNT = Account("123456789012", "us-west-2", "key", "secret")


class Version:
    """A version whose container does what the test says."""

    def __init__(self, ask: Callable[..., Any], **settings: Any) -> None:
        self.snapshot = {
            "config": {"ProductionVariants": [variant("any", InitialVariantWeight=1.0, **settings)]},
            "models": {"any": {"PrimaryContainer": {"Image": IMAGE}}},
        }
        self.variants = variants_of(self.snapshot)
        self._ask = ask

    def ask(self, *arguments: Any, **settings: Any) -> Any:
        return asyncio.ensure_future(self._ask(*arguments, **settings))

    def choose(self, _name: str) -> Any:
        return self.variants[0]

    @staticmethod
    def is_asleep(_variant: Any) -> bool:
        return False


class Served:
    """Endpoints that are all one version, a capture that wants nothing, and metrics that nobody reads."""

    def __init__(self, version: Version) -> None:
        self._version = version

    def serving(self, _name: str) -> Any:
        return self._version

    @staticmethod
    def wanted(_config: Any) -> bool:
        return False

    def invoked(self, *_: Any, **measured: Any) -> None:
        self.measured = measured


async def answer(version: Version, *, stream: bool = False, **headers: str) -> Response:
    served: Any = Served(version)
    path = f"/endpoints/{quote('any')}/invocations{'-response-stream' if stream else ''}"
    sent = tuple((name.lower().replace("_", "-"), value) for name, value in headers.items())

    request = Request("POST", path, "", sent, Body.of(b"{}"))
    return await Runtime(service_model("sagemaker-runtime"), served, ACCOUNT, served, served).answer(
        request, b"{}", "id"
    )


def test_a_container_that_takes_too_long_is_a_model_error_of_status_0_and_goes_on(monkeypatch):
    monkeypatch.setattr(runtime, "TIME_LIMIT", 0.01)
    finished = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def ask(*_: Any, **__: Any) -> Answer:
            await gate.wait()
            finished.append(True)
            return Answer(200, "", (), b"")

        with pytest.raises(ApiError) as caught:
            await answer(Version(ask))
        assert caught.value.code == "ModelError"
        assert caught.value.status == 424
        assert caught.value.members["OriginalStatusCode"] == 0
        assert caught.value.message.startswith(
            'Received server error (0) from primary with message "Your invocation timed out while waiting for a '
            "response from container primary."
        )
        gate.set()
        while not finished:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_a_stream_that_takes_too_long_ends_with_a_model_stream_error():
    async def scenario() -> None:
        stream = Stream(200, "", (("Content-Type", "text/plain"),), lambda _holding: None)
        stream.put(b"first")

        async def ask(*_: Any, **__: Any) -> Stream:
            return stream

        response = await answer(Version(ask), stream=True)
        assert ("X-Amzn-SageMaker-Content-Type", "text/plain") in response.headers
        assert not isinstance(response.body, bytes)
        frames = [await response.body.__anext__()]
        # Eight minutes later.
        loop = asyncio.get_running_loop()
        clock = loop.time
        loop.time = lambda: clock() + runtime.STREAM_TIME_LIMIT
        frames += [frame async for frame in response.body]
        buffer = EventStreamBuffer()
        buffer.add_data(b"".join(frames))
        part, error = list(buffer)
        assert part.payload == b"first"
        assert error.headers[":exception-type"] == "ModelStreamError"
        assert json.loads(error.payload) == {
            "Message": "Your model primary did not complete sending the inference response in the allotted time.",
            "ErrorCode": "ModelInvocationTimeExceeded",
        }

    asyncio.run(scenario())


def test_a_stream_with_a_status_that_is_an_error_is_a_model_error():
    async def scenario() -> None:
        stream = Stream(429, "", (), lambda _holding: None)
        stream.put(b"not now, ")
        stream.put(b"not ever")
        stream.end()

        async def ask(*_: Any, **__: Any) -> Stream:
            return stream

        with pytest.raises(ApiError) as caught:
            await answer(Version(ask), stream=True)
        assert caught.value.members["OriginalStatusCode"] == 429
        assert caught.value.members["OriginalMessage"] == "not now, not ever"

    asyncio.run(scenario())


def test_a_session_reaches_one_worker_or_nobody():
    async def scenario() -> None:
        asked = []

        async def ask(_variant: Any, request: Any, **_: Any) -> Answer:
            asked.append(dict(request.headers))
            return Answer(200, "", (("x-amzn-sagemaker-new-session-id", "a; Expires=2026-01-01T00:00:00Z"),), b"")

        response = await answer(Version(ask), x_amzn_sagemaker_session_id="NEW_SESSION")
        assert asked[0]["X-Amzn-SageMaker-Session-Id"] == "NEW_SESSION"
        assert ("X-Amzn-SageMaker-New-Session-Id", "a; Expires=2026-01-01T00:00:00Z") in response.headers
        with pytest.raises(ApiError, match="one worker"):
            await answer(Version(ask, InitialInstanceCount=2), x_amzn_sagemaker_session_id="NEW_SESSION")

    asyncio.run(scenario())
