"""An endpoint's log, out of CloudWatch Logs, to its last page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sm_magics.errors import BackendError

from . import faults
from .connection import Connection


def group(endpoint_name: str) -> str:
    """Return the log group's name, as SageMaker has it."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"


def lines(endpoint_name: str, connection: Connection, since: datetime | None = None) -> list[str]:
    """Return an endpoint's log, one log stream after the other, those that began first first.

    Empty where there is no log. A log group outlives its endpoint: `since` leaves out what a former endpoint of the
    same name printed.

    Raises
    ------
    BackendError
        If CloudWatch Logs refuses.
    """
    client = connection.client("logs")
    try:
        with connection.calling():
            pages = client.get_paginator("describe_log_streams").paginate(logGroupName=group(endpoint_name))
            streams = [stream for page in pages for stream in page["logStreams"]]
            streams.sort(key=lambda stream: stream.get("creationTime", 0))
            start = int(since.timestamp() * 1000) if since else 0
            return [line for one in streams for line in _events(client, endpoint_name, one["logStreamName"], start)]
    except BackendError as error:
        if faults.is_missing(error):
            return []
        raise


def _events(client: Any, endpoint_name: str, stream: str, start: int) -> Iterator[str]:
    """Yield the messages of one stream. The last page is the one whose token repeats, and it holds messages too."""
    token: str | None = None
    while True:
        more = {"nextToken": token} if token else {}
        page = client.get_log_events(
            logGroupName=group(endpoint_name), logStreamName=stream, startTime=start, startFromHead=True, **more
        )
        for event in page["events"]:
            yield event["message"]
        if page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]
