"""The JupyterLab extension's keys and settings, from its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).resolve().parent.parent.parent / "labextension" / "schema" / "plugin.json"
_COMMANDS = {
    "sm-magics:show": "show the side panel",
    "sm-magics:deploy": "package or deploy a model variable of the notebook",
    "sm-magics:insert-handlers": "insert a cell with the handlers",
}


def keys() -> str:
    """Return the table of keys."""
    rows = ["| keys | what they do |", "|---|---|"]
    for one in _schema()["jupyter.lab.shortcuts"]:
        pressed = "+".join({"Accel": "ctrl", "Alt": "alt"}.get(key, key.lower()) for key in one["keys"][0].split())
        rows.append(f"| ++{pressed}++ | {_COMMANDS.get(one['command'], one['command'])} |")
    return "\n".join(rows) + "\n\nOn a Mac it is ++cmd++ in place of ++ctrl++."


def settings() -> str:
    """Return the table of settings."""
    rows = ["| setting | what it is | default |", "|---|---|---|"]
    described = _schema()["properties"].values()
    rows += [f"| {one['title']} | {one['description']} | {_shown(one['default'])} |" for one in described]
    return "\n".join(rows)


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMA.read_text())
    return schema


def _shown(value: Any) -> str:
    return f"`{value}`" if value != "" else ""
