"""Data capture: what went into an endpoint and what came out, written to S3 as AWS's JSON lines.

An answer never waits for it: what is captured is put aside, and written a moment later, one object for all that came
meanwhile. Lines, names of objects and encodings are those of "Capture data from real-time endpoint" (Amazon SageMaker
Developer Guide).
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sm_magics.local.cloudwatch.logs import Logs
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.s3.objects import Objects

from .versions import log_group

#: Seconds that captured data waits for more, to be written together.
_DELAY = 1.0
#: Bytes of bodies that wait at most; what comes then is not captured.
_MOST_WAITING = 64 << 20


@dataclass(frozen=True)
class Captured:
    """A request and its answer.

    Attributes
    ----------
    event_id
        The request's id.
    inference_id
        What the client calls it, empty if it does not say.
    request_type, answer_type
        Content types, empty if there is none.
    """

    event_id: str
    inference_id: str
    request_type: str
    request: bytes
    answer_type: str
    answer: bytes


@dataclass(frozen=True)
class _Waiting:
    captured: Captured
    config: Mapping[str, Any]
    when: datetime


class Capture:
    """Everything that is captured, of all endpoints."""

    def __init__(self, objects: Objects, logs: Logs) -> None:
        self._objects = objects
        self._logs = logs
        self._waiting: dict[tuple[str, str, str], list[_Waiting]] = {}
        self._size = 0
        self._writing: asyncio.Task[None] | None = None

    @staticmethod
    def wanted(config: Mapping[str, Any] | None) -> bool:
        """Return whether a request shall be captured: all of those that do, or a sample."""
        if not config or not config.get("EnableCapture", True):
            return False
        percentage: int = config["InitialSamplingPercentage"]
        return random.random() * 100 < percentage  # noqa: S311 - a sample

    def add(self, config: Mapping[str, Any], endpoint: str, variant: str, captured: Captured) -> None:
        """Put a request and its answer aside; they are written later."""
        size = len(captured.request) + len(captured.answer)
        if self._size + size > _MOST_WAITING:
            return
        self._size += size
        place = (config["DestinationS3Uri"], endpoint, variant)
        self._waiting.setdefault(place, []).append(_Waiting(captured, config, datetime.now(timezone.utc)))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Write what waits."""
        if self._writing:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._write()

    async def _write_later(self) -> None:
        while self._waiting:
            await asyncio.sleep(_DELAY)
            await self._write()
        self._writing = None

    async def _write(self) -> None:
        while self._waiting:
            place, waiting = self._waiting.popitem()
            self._size -= sum(len(one.captured.request) + len(one.captured.answer) for one in waiting)
            try:
                await self._put(*place, waiting)
            except (ApiError, OSError) as error:
                destination, endpoint, variant = place
                # As in AWS, where the agent that captures has a log of its own beside the container's.
                self._logs.writer(log_group(endpoint), f"{variant}/data-log")(
                    f"{len(waiting)} captured requests could not be written to {destination}: {error}"
                )

    async def _put(self, destination: str, endpoint: str, variant: str, waiting: list[_Waiting]) -> None:
        bucket, _, prefix = destination.partition("://")[2].partition("/")
        self._objects.require_bucket(bucket)
        draft, blob = await self._objects.blobs.receive(_lines(waiting))
        when = waiting[0].when
        name = f"{when:%M-%S}-{when.microsecond // 1000:03d}-{uuid.UUID(bytes=secrets.token_bytes(16))}.jsonl"
        parts = [prefix.strip("/"), endpoint, variant, f"{when:%Y/%m/%d/%H}", name]
        self._objects.put(bucket, "/".join(part for part in parts if part), draft, blob, headers={})


async def _lines(waiting: list[_Waiting]) -> AsyncIterator[bytes]:
    for one in waiting:
        yield await asyncio.to_thread(line, one.captured, one.config, one.when)


def line(captured: Captured, config: Mapping[str, Any], when: datetime) -> bytes:
    """Return a JSON line."""
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    headers = config.get("CaptureContentTypeHeader", {})
    data: dict[str, Any] = {}
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _side("INPUT", captured.request_type, captured.request, headers)
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _side("OUTPUT", captured.answer_type, captured.answer, headers)
    metadata = {"eventId": captured.event_id, "inferenceTime": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
    if captured.inference_id:
        metadata["inferenceId"] = captured.inference_id
    event = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _side(mode: str, content_type: str, body: bytes, headers: Mapping[str, list[str]]) -> dict[str, str]:
    encoding, data = _encoded(content_type, body, headers)
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}


def _encoded(content_type: str, body: bytes, headers: Mapping[str, list[str]]) -> tuple[str, str]:
    """Return how a body is encoded, and it so encoded.

    As text if its content type is in the configuration, whatever parameters follow it (an answer of type
    ``text/csv; charset=utf-8`` was seen as CSV where ``text/csv`` is listed), else in base64.
    """
    kind = content_type.partition(";")[0].strip().lower()
    for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if kind in (listed.lower() for listed in headers.get(member, ())):
            try:
                return encoding, body.decode()
            except UnicodeDecodeError:
                break
    return "BASE64", base64.b64encode(body).decode()
