"""An endpoint's log, out of CloudWatch Logs, to its last page."""

from __future__ import annotations

from collections.abc import Iterator

from sm_magics.errors import BackendError

from . import faults
from .connection import Connection


def group(endpoint_name: str) -> str:
    """Return the log group's name, as SageMaker has it."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"


def lines(endpoint_name: str, connection: Connection) -> list[str]:
    """Return every line of an endpoint's log, oldest first within each log stream. Empty where there is no log.

    Raises
    ------
    BackendError
        If CloudWatch Logs refuses.
    """
    client = connection.client("logs")
    try:
        with connection.calling():
            streams = [
                stream["logStreamName"]
                for page in client.get_paginator("describe_log_streams").paginate(logGroupName=group(endpoint_name))
                for stream in page["logStreams"]
            ]
            return [line for stream in streams for line in _events(client, endpoint_name, stream)]
    except BackendError as error:
        if faults.is_missing(error) or error.code == "ResourceNotFoundException":
            return []
        raise


def _events(client: object, endpoint_name: str, stream: str) -> Iterator[str]:
    """Yield the messages of one stream. The last page is the one whose token repeats, and it holds messages too."""
    token: str | None = None
    while True:
        more = {"nextToken": token} if token else {}
        page = client.get_log_events(  # type: ignore[attr-defined] # boto3 makes its methods at run time
            logGroupName=group(endpoint_name), logStreamName=stream, startFromHead=True, **more
        )
        for event in page["events"]:
            yield event["message"]
        if page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]
