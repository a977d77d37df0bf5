"""The operations of CloudWatch Logs that read.

``GetLogEvents`` has no paginator: clients follow ``nextForwardToken`` until it repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sm_magics.local.account import Account
from sm_magics.local.protocol.errors import ApiError, no_such_log
from sm_magics.local.protocol.paging import Pages

from .logs import Event, Logs, Stream

#: What one answer holds at most, in bytes of messages (CloudWatch's own limit), each counted with 26 more.
_ANSWER = 1 << 20
_OVERHEAD = 26
_EVENTS = 10_000
_TERM = re.compile(r'([-?]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_TOKEN = re.compile(r"([fb])/(\d{1,18})")


class CloudWatchLogs:
    """The operations by name, each from a request's members to an answer's."""

    def __init__(self, logs: Logs, account: Account, pages: Pages) -> None:
        self._logs = logs
        self._account = account
        self._pages = pages
        self.operations: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "DescribeLogGroups": self._describe_log_groups,
            "DescribeLogStreams": self._describe_log_streams,
            "GetLogEvents": self._get_log_events,
            "FilterLogEvents": self._filter_log_events,
        }

    def _describe_log_groups(self, parameters: dict[str, Any]) -> dict[str, Any]:
        prefix, part = parameters.get("logGroupNamePrefix", ""), parameters.get("logGroupNamePattern", "")
        if prefix and part:
            raise _invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
        groups = [
            {
                "logGroupName": name,
                "arn": f"{self._arn(name)}:*",
                "logGroupArn": self._arn(name),
                "creationTime": created,
                "storedBytes": size,
                "metricFilterCount": 0,
                "logGroupClass": "STANDARD",
            }
            for name, created, size in self._logs.groups()
            if name.startswith(prefix) and part.lower() in name.lower()
        ]
        page, token = self._page("DescribeLogGroups", parameters, groups)
        return {"logGroups": page, "nextToken": token}

    def _describe_log_streams(self, parameters: dict[str, Any]) -> dict[str, Any]:
        group, streams = self._streams(parameters)
        prefix = parameters.get("logStreamNamePrefix", "")
        by_time = parameters.get("orderBy") == "LastEventTime"
        if prefix and by_time:
            raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        chosen = [stream for stream in streams if stream.name.startswith(prefix)]
        if by_time:
            chosen.sort(key=lambda stream: stream.last or 0)
        if parameters.get("descending"):
            chosen.reverse()
        described = [
            {
                "logStreamName": stream.name,
                "creationTime": stream.created,
                "firstEventTimestamp": stream.first,
                "lastEventTimestamp": stream.last,
                "lastIngestionTime": stream.last,
                "uploadSequenceToken": str(stream.id),
                "arn": f"{self._arn(group)}:log-stream:{stream.name}",
                "storedBytes": 0,
            }
            for stream in chosen
        ]
        page, token = self._page("DescribeLogStreams", parameters, described)
        return {"logStreams": page, "nextToken": token}

    def _get_log_events(self, parameters: dict[str, Any]) -> dict[str, Any]:
        _, streams = self._streams(parameters)
        chosen = [stream for stream in streams if stream.name == parameters["logStreamName"]]
        if not chosen:
            raise no_such_log("stream")
        limit = parameters.get("limit", _EVENTS)
        span = _span(parameters)
        token = parameters.get("nextToken")
        if token is None:
            backwards = not parameters.get("startFromHead", False)
            edge = 0
            found = self._logs.events(chosen, latest=backwards, limit=limit, **span)
        else:
            match = _TOKEN.fullmatch(token)
            if not match:
                raise _invalid("The specified nextToken is invalid.")
            backwards, edge = match[1] == "b", int(match[2])
            span["before" if backwards else "after"] = edge
            found = self._logs.events(chosen, latest=backwards, limit=limit, **span)
        found = _fitting(found, backwards=backwards)
        # Where nothing is, both tokens stay where they were: that they repeat says that this is the end.
        return {
            "events": [_event(event) for event in found],
            "nextForwardToken": f"f/{found[-1].id if found else max(edge - backwards, 0)}",
            "nextBackwardToken": f"b/{found[0].id if found else edge + (not backwards)}",
        }

    def _filter_log_events(self, parameters: dict[str, Any]) -> dict[str, Any]:
        _, streams = self._streams(parameters)
        names, prefix = parameters.get("logStreamNames"), parameters.get("logStreamNamePrefix", "")
        if names and prefix:
            raise _invalid("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
        chosen = [
            stream for stream in streams if stream.name.startswith(prefix) and (not names or stream.name in names)
        ]
        if names and len(chosen) < len(set(names)):
            raise no_such_log("stream")
        fits = _filter(parameters.get("filterPattern", ""))
        limit = parameters.get("limit", _EVENTS)
        after = self._position("FilterLogEvents", parameters)
        span = _span(parameters)
        found: list[Event] = []
        more = bool(chosen)
        while more and len(found) < limit:
            looked_at = self._logs.events(chosen, after=after, limit=_EVENTS, **span)
            more = len(looked_at) == _EVENTS
            fitting = [event for event in looked_at if fits(event.message)]
            taken = _fitting([*found, *fitting[: limit - len(found)]])
            cut = len(taken) < len(found) + len(fitting)
            found = taken
            after = found[-1].id if cut else looked_at[-1].id if looked_at else after
            if cut:
                more = True
                break
        return {
            "events": [
                {**_event(event), "logStreamName": event.stream, "eventId": f"{event.id:056d}"} for event in found
            ],
            "searchedLogStreams": [],
            "nextToken": self._pages.token("FilterLogEvents", parameters, [after]) if more else None,
        }

    def _streams(self, parameters: dict[str, Any]) -> tuple[str, list[Stream]]:
        group = parameters.get("logGroupName") or parameters.get("logGroupIdentifier", "").rpartition("log-group:")[2]
        group = group.removesuffix(":*")
        if not group:
            raise _invalid("Either logGroupName or logGroupIdentifier must be given.")
        streams = self._logs.streams(group)
        if not streams:
            raise no_such_log("group")
        return group, streams

    def _page(
        self, operation: str, parameters: dict[str, Any], items: list[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], str | None]:
        start = self._position(operation, parameters)
        stop = start + parameters.get("limit", 50)
        token = self._pages.token(operation, parameters, [stop]) if stop < len(items) else None
        return items[start:stop], token

    def _position(self, operation: str, parameters: dict[str, Any]) -> int:
        if "nextToken" not in parameters:
            return 0
        position = self._pages.position(operation, parameters, parameters["nextToken"])
        if position is None:
            raise _invalid("The specified nextToken is invalid.")
        return int(position[0])

    def _arn(self, group: str) -> str:
        return self._account.arn("logs", f"log-group:{group}")


def _span(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"start": parameters.get("startTime"), "end": parameters.get("endTime")}


def _event(event: Event) -> dict[str, Any]:
    return {"timestamp": event.time, "message": event.message, "ingestionTime": event.time}


def _fitting(events: list[Event], *, backwards: bool = False) -> list[Event]:
    """Return as many events, from the first or from the last, as one answer holds: one at least."""
    size = 0
    kept: list[Event] = []
    for event in reversed(events) if backwards else events:
        size += len(event.message) + _OVERHEAD
        if kept and size > _ANSWER:
            break
        kept.append(event)
    return kept[::-1] if backwards else kept


def _filter(pattern: str) -> Callable[[str], bool]:
    """Return the test that an unstructured pattern means: all terms, any of the ``?`` ones, none of the ``-`` ones."""
    pattern = pattern.strip()
    if pattern.startswith(("{", "[", "%")):
        raise _invalid(
            "Filter patterns for JSON, space-delimited events and regular expressions are not available "
            "on this machine."
        )
    required: list[str] = []
    any_of: list[str] = []
    excluded: list[str] = []
    for sign, quoted, word in _TERM.findall(pattern):
        term = quoted.replace('\\"', '"') if quoted else word
        {"": required, "?": any_of, "-": excluded}[sign].append(term)

    def fits(message: str) -> bool:
        return (
            all(term in message for term in required)
            and not any(term in message for term in excluded)
            and (not any_of or bool(required) or any(term in message for term in any_of))
        )

    return fits


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterException", message)
