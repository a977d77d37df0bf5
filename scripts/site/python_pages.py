"""The Python API's reference, from the docstrings of what the package exports."""

from __future__ import annotations

import inspect
from typing import Any

import sm_magics

_MEMBERS = {"Endpoint", "Package", "Report", "CodeFolder"}


def pages() -> dict[str, str]:
    """Return a page for each exported name, by its path."""
    return {f"python/{name}.md": _page(name) for name in sm_magics.__all__}


def overview() -> str:
    """Return the table of what is exported."""
    rows = ["| name | what it is |", "|---|---|"]
    rows += [f"| [`{name}`](python/{name}.md) | {_summary(getattr(sm_magics, name))} |" for name in sm_magics.__all__]
    return "\n".join(rows)


def _page(name: str) -> str:
    value = getattr(sm_magics, name)
    parts = [f"# sm_magics.{name}", _summary(value), f"```python\n{_signature(name, value)}\n```", _rest(value)]
    if name in _MEMBERS:
        parts += [_member(name, each, member) for each, member in _members(value)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _members(value: type) -> list[tuple[str, Any]]:
    return [
        (name, member)
        for name, member in vars(value).items()
        if not name.startswith("_") and (callable(getattr(value, name)) or isinstance(member, property))
    ]


def _member(owner: str, name: str, member: Any) -> str:
    shown = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    call = f"{owner}.{name}" if isinstance(member, property) else _signature(f"{owner}.{name}", shown)
    return f"## {name}\n\n{_summary(shown)}\n\n```python\n{call}\n```\n\n{_rest(shown)}".rstrip()


def _signature(name: str, value: Any) -> str:
    """Return a call as Python shows it, one parameter a line where it is long."""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return name
    shown = f"{name}{signature}".replace("'", "")
    if len(shown) <= 100:  # noqa: PLR2004 - a line
        return shown
    parameters = ",\n".join(f"    {parameter}" for parameter in signature.parameters.values()).replace("'", "")
    returned = signature.return_annotation
    arrow = "" if returned is inspect.Signature.empty else f" -> {returned}".replace("'", "")
    return f"{name}(\n{parameters},\n){arrow}"


def _summary(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0].replace("``", "`").replace("|", "\\|")


def _rest(value: Any) -> str:
    """Return a docstring after its first line: its numpy sections are kept as they are written."""
    text = (inspect.getdoc(value) or "").partition("\n")[2].strip()
    return f"```text\n{text}\n```" if text else ""
