"""Whose errors those are that a browser reports: ours, or JupyterLab's own, which nothing here can mend.

An error is JupyterLab's own where it was raised in JupyterLab's core bundle and no extension had a part in it. What
an extension's bundle raises, a widget's view, a script in an output, or what cannot be told is ours.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Error

_CORE = "/static/lab/"
_EXTENSION = "/lab/extensions/"
_OURS = f"{_EXTENSION}sm-magics/"
_ADDRESS = re.compile(r"https?://[^\s)]+")
# What an extension's bundle says although nothing is wrong, and why.
_NOT_OURS = {
    "widget model not found": "ipywidgets, of a saved live card whose kernel has gone: the static one is seen instead",
    "Error: Canceled future": "ipywidgets asks a kernel for its widgets while that one is restarted or shut down",
    "Canceled future for comm_info_request": "the same, as a promise that nobody waits for",
}


def of_console(message: ConsoleMessage) -> str:
    """Return what an error in the console says if it is ours, else an empty string."""
    if message.type != "error" or any(known in message.text for known in _NOT_OURS):
        return ""
    source = message.location["url"]
    if message.text.startswith("Failed to load resource"):
        # JupyterLab asks for settings, workspaces and check points that there may not be.
        path = urlsplit(source).path
        is_theirs = "/api/" in path or _CORE in path or (_EXTENSION in path and _OURS not in path)
        return "" if is_theirs else f"{message.text}: {source}"
    return _unless_theirs(message.text, source)


def of_page(error: Error) -> str:
    """Return what an error that nobody caught says if it is ours, else an empty string."""
    said = f"{error.message}\n{error.stack or ''}"
    return "" if any(known in said for known in _NOT_OURS) else _unless_theirs(said, "")


def _unless_theirs(said: str, source: str) -> str:
    frames = [line for line in said.splitlines() if line.strip().startswith("at ")]
    raised = _ADDRESS.search(frames[0]) if frames else None
    where = raised.group() if raised else "" if frames else source
    is_theirs = _CORE in where and _EXTENSION not in said
    return "" if is_theirs else f"{said} ({source})" if source else said
