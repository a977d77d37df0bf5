"""A record on this disk of what was created without tags, where ``sagemaker:AddTags`` is not allowed.

It takes the tags' place: whose an endpoint is, and which models and configurations were made for it. One line of JSON
for each resource, the last one of an ARN counts. An endpoint's line also says when SageMaker created it, so that
another one made later under the same name is not taken for ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from sm_magics.home import home

_FILE = "created.jsonl"


def note(arn: str, tags: Mapping[str, str], created: datetime | None = None) -> None:
    """Record a resource with the tags that it should carry.

    Parameters
    ----------
    created
        When SageMaker says that an endpoint was created.
    """
    # A line that was cut off before it keeps to itself.
    line = "\n" + json.dumps({"arn": arn, "tags": dict(tags), "created": _stamp(created)}) + "\n"
    descriptor = os.open(home() / _FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())  # one write: lines of several kernels do not mix
    finally:
        os.close(descriptor)


def tags(arn: str, created: datetime | None = None) -> Mapping[str, str]:
    """Return the tags recorded for a resource, empty if there are none.

    Parameters
    ----------
    created
        When the endpoint was created that goes by this ARN now. Another one's record does not count.
    """
    entry = _entries().get(arn, {})
    if created and entry.get("created", "") not in {"", _stamp(created)}:
        return {}
    found: Mapping[str, str] = entry.get("tags", {})
    return found


def _stamp(moment: datetime | None) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds") if moment else ""


def _entries() -> dict[str, dict[str, Any]]:
    entries = {}
    try:
        lines = (home() / _FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):  # half a line: the disk was full, or the machine went
            entry = json.loads(line)
            entries[str(entry["arn"])] = {"tags": dict(entry["tags"]), "created": str(entry.get("created", ""))}
    return entries
