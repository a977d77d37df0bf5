"""JSON over botocore's shapes: what a request says, and what an answer may say.

Values between `parse` and `dump` are plain: str, int, float, bool, bytes, list, dict; a timestamp is a float of seconds
since the epoch. Members that the model does not know are dropped, as AWS does: botocore's models differ by version.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .errors import failed_constraints, not_serializable
from .validation import failures

_NAMES = {
    "string": "a String",
    "integer": "an Integer",
    "long": "a Long",
    "float": "a Float",
    "double": "a Double",
    "boolean": "a Boolean",
    "timestamp": "a Date",
    "blob": "a ByteBuffer",
}
#: The numbers that JSON has not, as protocols on it write them (Smithy 2.0, "AWS JSON 1.1 protocol").
_SPECIAL = ("NaN", "Infinity", "-Infinity")
#: The largest number of each type; times end with the year 9999. Infinity and NaN are doubles, too: CloudWatch, whose
#: only doubles they may be, has words of its own for them.
_LARGEST: Mapping[str, float] = {
    "integer": 2**31 - 1,
    "long": 2**63 - 1,
    "float": 3.4028234663852886e38,
    "double": math.inf,
    "timestamp": 253402300799.999,
}


def loads(body: bytes) -> Any:
    """Return a JSON body, an empty one as ``{}``.

    Raises
    ------
    ApiError
        ``SerializationException`` if it is no JSON.
    """
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise not_serializable("The request body is not valid JSON.") from error


def request(shape: Any, document: Any) -> dict[str, Any]:
    """Return the members of a request, parsed and checked.

    Raises
    ------
    ApiError
        ``SerializationException`` for a member of another JSON type, ``ValidationException`` listing every broken
        constraint.
    """
    parameters: dict[str, Any] = parse(shape, document) if shape is not None else {}
    if broken := list(failures(shape, parameters)) if shape is not None else []:
        raise failed_constraints(broken)
    return parameters


def parse(shape: Any, value: Any) -> Any:
    """Return a JSON value as the shape has it. Absent and null members are left out.

    Raises
    ------
    ApiError
        ``SerializationException`` if it is of another JSON type.
    """
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            raise _mismatch(kind, value)
        members = shape.members
        return {name: parse(members[name], value[name]) for name in members if value.get(name) is not None}
    if kind == "list":
        if not isinstance(value, list):
            raise _mismatch(kind, value)
        return [parse(shape.member, item) for item in value if item is not None]
    if kind == "map":
        if not isinstance(value, dict):
            raise _mismatch(kind, value)
        return {key: parse(shape.value, item) for key, item in value.items() if item is not None}
    return _scalar(kind, value)


def _scalar(kind: str, value: Any) -> Any:
    if kind in {"float", "double"} and value in _SPECIAL:
        value = float(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and not _fits(kind, value):
        raise _mismatch(kind, value)
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind in {"integer", "long"} and number and value == value // 1:
        return int(value)
    if kind in {"float", "double"} and number:
        return float(value)
    if kind == "timestamp" and (number or isinstance(value, str)):
        return _timestamp(value)
    if kind == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise not_serializable("A member is not valid base64.") from error
    raise _mismatch(kind, value)


def _fits(kind: str, value: Any) -> bool:
    """Return whether a number, an int of any length or a float, is one of a type."""
    if kind == "double":
        return isinstance(value, float) or abs(value) < 1 << 1023
    largest = _LARGEST.get(kind, math.inf)
    # Nothing of this is true of NaN.
    return bool(-largest - (kind in {"integer", "long"}) <= value <= largest)


def _timestamp(value: float | str) -> float:
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError as error:
            raise _mismatch("timestamp", value) from error
        seconds = (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
        if not _fits("timestamp", seconds):  # some hours beyond the end, by its time zone
            raise _mismatch("timestamp", value)
        return seconds
    return float(value)


def _mismatch(kind: str, value: Any) -> Exception:
    if isinstance(value, dict):
        return not_serializable("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return not_serializable("Start of list found where not expected.")
    if isinstance(value, bool):
        found = "TRUE_VALUE" if value else "FALSE_VALUE"
    else:
        found = "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"
    if kind not in _NAMES:
        return not_serializable(f"Unexpected token {found} where a {kind} was expected.")
    return not_serializable(f"{found} can not be converted to {_NAMES[kind]}")


def dump(shape: Any, value: Any) -> Any:
    """Return an answer's value for ``json.dumps``. None members are left out: null breaks some clients."""
    kind = shape.type_name
    if kind == "structure":
        members = shape.members
        return {name: dump(members[name], item) for name, item in value.items() if item is not None and name in members}
    if kind == "list":
        return [dump(shape.member, item) for item in value]
    if kind == "map":
        return {key: dump(shape.value, item) for key, item in value.items()}
    if kind == "timestamp":
        # Numbers of seconds with milliseconds: other SDKs than botocore tolerate nothing else.
        return round(value, 3)
    if kind == "blob":
        return base64.b64encode(value).decode()
    return value
