"""The constraints of botocore's service model, checked and worded as AWS does.

botocore's own validator runs in the client and checks types, required members and minimums only; lengths, patterns and
enumerations are the service's business. Paths are lower camel case, list items count from one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

# Java's regular expressions know what `re` does not. `\w` is letters, digits and the underscore; where the model says
# \p{L} or \p{N} in the operations served here, the underscore is allowed beside it.
_JAVA = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{ASCII}": r"\x00-\x7f",
    r"\p{Print}": r"\x20-\x7e",
    r"\p{Alnum}": r"a-zA-Z0-9",
    r"\z": r"\Z",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
    r"[\w-_": r"[\w\-_",
}
_PROPERTY_ALONE = re.compile(r"(?<![\[\\\w}\]-])(\\p\{\w+\})")


@cache
def pattern(java: str) -> re.Pattern[str] | None:
    """Return a pattern of the service model for ``fullmatch``, or None for one that `re` cannot express."""
    translated = _PROPERTY_ALONE.sub(r"[\1]", java) if "[" not in java else java
    for theirs, ours in _JAVA.items():
        translated = translated.replace(theirs, ours)
    try:
        return re.compile(translated)
    except re.error:
        return None


def failures(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield what breaks the constraints of a shape, one sentence each.

    Parameters
    ----------
    shape
        A botocore ``Shape``.
    value
        What ``codec.parse`` returned for it.
    path
        Where the value stands in the request.
    """
    if shape.type_name == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
        for name, member in value.items():
            yield from failures(shape.members[name], member, _join(path, name))
        return
    for constraint in _broken(shape, value):
        yield f"Value '{_text(value)}' at '{path}' failed to satisfy constraint: {constraint}"
    if shape.type_name == "list":
        yield from _list_failures(shape, value, path)
    elif shape.type_name == "map":
        yield from _map_failures(shape, value, path)


def _list_failures(shape: Any, value: list[Any], path: str) -> Iterator[str]:
    if shape.member.type_name in {"structure", "list", "map"}:
        for number, item in enumerate(value, 1):
            yield from failures(shape.member, item, f"{path}.{number}.member")
    elif any(_broken(shape.member, item) for item in value):
        yield (
            f"Value '{_text(value)}' at '{path}' failed to satisfy constraint: "
            f"Member must satisfy constraint: [{', '.join(_constraints(shape.member))}]"
        )


def _map_failures(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    # AWS lists every constraint of the key or value shape here, not only the broken one.
    if any(_broken(shape.key, key) for key in value):
        yield (
            f"Value '{_text(value)}' at '{path}' failed to satisfy constraint: "
            f"Map keys must satisfy constraint: [{', '.join(_constraints(shape.key))}]"
        )
    if shape.value.type_name in {"structure", "list", "map"}:
        for key, item in value.items():
            yield from failures(shape.value, item, f"{path}.{key}.member")
    elif any(_broken(shape.value, item) for item in value.values()):
        yield (
            f"Value '{_text(value)}' at '{path}' failed to satisfy constraint: "
            f"Map value must satisfy constraint: [{', '.join(_constraints(shape.value))}]"
        )


def _constraints(shape: Any) -> list[str]:
    metadata = shape.metadata
    sized = "value" if shape.type_name in {"integer", "long", "float", "double"} else "length"
    words = []
    if "max" in metadata:
        words.append(f"Member must have {sized} less than or equal to {metadata['max']}")
    if "min" in metadata:
        words.append(f"Member must have {sized} greater than or equal to {metadata['min']}")
    if "pattern" in metadata:
        words.append(f"Member must satisfy regular expression pattern: {metadata['pattern']}")
    if "enum" in metadata:
        words.append(f"Member must satisfy enum value set: [{', '.join(metadata['enum'])}]")
    return words


def _broken(shape: Any, value: Any) -> list[str]:
    metadata = shape.metadata
    if not metadata or shape.type_name == "structure":
        return []
    number = shape.type_name in {"integer", "long", "float", "double"}
    size = value if number else len(value) if shape.type_name in {"string", "list", "map", "blob"} else 0
    sized = "value" if number else "length"
    words = []
    if "max" in metadata and size > metadata["max"]:
        words.append(f"Member must have {sized} less than or equal to {metadata['max']}")
    if "min" in metadata and size < metadata["min"]:
        words.append(f"Member must have {sized} greater than or equal to {metadata['min']}")
    if "pattern" in metadata and (compiled := pattern(metadata["pattern"])) and not compiled.fullmatch(value):
        words.append(f"Member must satisfy regular expression pattern: {metadata['pattern']}")
    if "enum" in metadata and value not in metadata["enum"]:
        words.append(f"Member must satisfy enum value set: [{', '.join(metadata['enum'])}]")
    return words


def _join(path: str, member: str) -> str:
    name = member[:1].lower() + member[1:]
    return f"{path}.{name}" if path else name


def _text(value: Any) -> str:
    """Return a value as Java prints it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
