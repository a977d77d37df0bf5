"""The query protocol over botocore's shapes: forms in, XML out.

A form's ``List.member.1.Name`` becomes the document that a client of the JSON protocol would have sent, so that one set
of operations answers both.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

from .errors import not_serializable


def form_of(query: str, body: bytes) -> dict[str, str]:
    """Return the names and values of a request, from its query string and its form body."""
    return dict(parse_qsl(query, keep_blank_values=True)) | dict(
        parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    )


def document(shape: Any, form: dict[str, str]) -> Any:
    """Return a form's members as a document of the JSON protocol.

    Raises
    ------
    ApiError
        ``SerializationException`` if a value is not of its shape's type.
    """
    tree: dict[str, Any] = {}
    for name, value in form.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            deeper = place.setdefault(part, {})
            if not isinstance(deeper, dict):
                raise not_serializable(f"{name} is not a member.")
            place = deeper
        place[last] = value
    return _value(shape, tree)


def _value(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return {
            name: _value(member, found)
            for name, member in shape.members.items()
            if (found := _branch(value).get(member.serialization.get("name", name))) is not None
        }
    if kind == "list":
        entries = _branch(value)
        if not shape.serialization.get("flattened"):
            entries = _branch(entries.get(shape.member.serialization.get("name", "member"), {}))
        return [_value(shape.member, entries[number]) for number in sorted(entries, key=_number)]
    if kind == "map":
        entries = _branch(_branch(value).get("entry", {}))
        pairs = [_branch(entries[number]) for number in sorted(entries, key=_number)]
        if not all("key" in pair and "value" in pair for pair in pairs):
            raise not_serializable("An entry of a map has a key and a value.")
        return {_scalar("string", pair["key"]): _value(shape.value, pair["value"]) for pair in pairs}
    return _scalar(kind, value)


def _scalar(kind: str, value: Any) -> Any:
    if isinstance(value, dict):
        raise not_serializable(f"A structure was found where a {kind} was expected.")
    if kind == "boolean":
        return value.lower() == "true"
    try:
        if kind in {"integer", "long"}:
            return int(value)
        if kind in {"float", "double"}:
            return float(value)
    except ValueError:
        raise not_serializable(f"{value[:100]!r} is no {kind}.") from None
    return value


def _branch(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if value == "":  # an empty list, as some clients say it
        return {}
    raise not_serializable("A value was found where a structure was expected.")


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:  # noqa: PLR2004 - no list is that long
        raise not_serializable(f"{text[:100]!r} is no member's number.")
    return int(text)


def content(shape: Any, value: Any) -> Any:
    """Return an answer's members as ``protocols.xml_answer`` takes them."""
    kind = shape.type_name
    if kind == "structure":
        return {
            member.serialization.get("name", name): content(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if kind == "list":
        return {shape.member.serialization.get("name", "member"): [content(shape.member, item) for item in value]}
    if kind == "map":
        return {"entry": [{"key": key, "value": content(shape.value, item)} for key, item in value.items()]}
    if kind == "timestamp":
        return datetime.fromtimestamp(value, timezone.utc).isoformat().replace("+00:00", "Z")
    return value
