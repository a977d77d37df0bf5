"""What a live card shows, its buttons, and waiting for what another thread does to it."""

from __future__ import annotations

import threading

PATIENCE = 60


def html(card) -> str:
    """Return all that a card shows."""

    def values(widget):
        yield str(getattr(widget, "value", ""))
        yield str(getattr(widget, "description", ""))
        for child in getattr(widget, "children", ()):
            yield from values(child)

    return "\n".join(value for child in card.children[1:] for value in values(child))


def buttons(card) -> dict:
    def walk(widget):
        if hasattr(widget, "click"):
            yield widget.description, widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    return dict(walk(card))


def eventually(told):
    """Wait until something is true that another thread makes so."""
    pause, step = threading.Event(), 0.01
    for _ in range(int(PATIENCE / step)):
        if told():
            return
        pause.wait(step)
    raise AssertionError("never came true")
