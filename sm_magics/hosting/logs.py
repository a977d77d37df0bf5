"""The logs of endpoints and training jobs, out of CloudWatch Logs, to their last page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sm_magics.errors import BackendError

from . import faults
from .connection import Connection

_STREAMS = 8
"""Log streams that `tail` reads, those written to last: one for each container of an endpoint."""


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
    return of_streams(group(endpoint_name), connection, since=since)


def of_streams(log_group: str, connection: Connection, *, prefix: str = "", since: datetime | None = None) -> list[str]:
    """Return what the log streams of a group hold, one after the other, those that began first first.

    Parameters
    ----------
    prefix
        Of the streams' names; empty for all.
    since
        What is older is left out.
    """
    client = connection.client("logs")
    named = {"logStreamNamePrefix": prefix} if prefix else {}
    try:
        with connection.calling():
            pages = client.get_paginator("describe_log_streams").paginate(logGroupName=log_group, **named)
            streams = [stream for page in pages for stream in page["logStreams"]]
            streams.sort(key=lambda stream: stream.get("creationTime", 0))
            start = int(since.timestamp() * 1000) if since else 0
            return [line for one in streams for line in _events(client, log_group, one["logStreamName"], start)]
    except BackendError as error:
        if faults.is_missing(error):
            return []
        raise


def tail(
    log_group: str, connection: Connection, most: int, *, prefix: str = "", since: datetime | None = None
) -> tuple[list[str], bool]:
    """Return the last lines of a log group, those of all its streams in the order of time, and whether there are more.

    Asks for no more than it returns, of the few streams that were written to last: the log of an endpoint in AWS has a
    line for each of SageMaker's own requests, and is a million lines long after a month.

    Parameters
    ----------
    most
        How many lines, up to 10 000.
    prefix
        Of the streams' names; empty for all.
    since
        What is older is left out.
    """
    client = connection.client("logs")
    # CloudWatch Logs takes a prefix, or sorts by time, not both.
    order: dict[str, Any] = {"logStreamNamePrefix": prefix} if prefix else {"orderBy": "LastEventTime"}
    start = int(since.timestamp() * 1000) if since else 0
    try:
        with connection.calling():
            streams = client.describe_log_streams(logGroupName=log_group, descending=not prefix, **order)["logStreams"]
            streams.sort(key=lambda stream: stream.get("lastEventTimestamp") or 0, reverse=True)
            events = [
                (event["timestamp"], event["message"])
                for stream in streams[:_STREAMS]
                for event in client.get_log_events(
                    logGroupName=log_group,
                    logStreamName=stream["logStreamName"],
                    startTime=start,
                    startFromHead=False,
                    limit=most,
                )["events"]
            ]
    except BackendError as error:
        if faults.is_missing(error):
            return [], False
        raise
    events.sort(key=lambda event: event[0])  # stable: lines of one moment stay in their order
    more = len(events) >= most or len(streams) > _STREAMS
    return [message for _, message in events[-most:]], more


def _events(client: Any, log_group: str, stream: str, start: int) -> Iterator[str]:
    """Yield the messages of one stream. The last page is the one whose token repeats, and it holds messages too."""
    token: str | None = None
    while True:
        more = {"nextToken": token} if token else {}
        page = client.get_log_events(
            logGroupName=log_group, logStreamName=stream, startTime=start, startFromHead=True, **more
        )
        for event in page["events"]:
            yield event["message"]
        if page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]
