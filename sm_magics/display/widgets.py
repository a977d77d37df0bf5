"""The pieces that live cards are composed of: JupyterLab's own widgets, drawn by the pure functions.

Only traits are set, never anything printed: a card may be changed from any thread, whichever cell is running. What
is equal is not sent again, so nothing flickers and what a reader has unfolded stays so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from . import style
from .page import Part, Shown

_VIEW = "application/vnd.jupyter.widget-view+json"


class Html:
    """A piece of a card."""

    def __init__(self) -> None:
        self.widget = ipywidgets.HTML()
        self._shown = ""

    def show(self, *parts: Part) -> None:
        """Show other parts instead."""
        html = "".join(part.html for part in parts)
        if html != self._shown:
            self._shown = self.widget.value = html


def button(label: str, said: str, clicked: Callable[[], None], *, is_risky: bool = False) -> ipywidgets.Button:
    """Return a button that looks like a link. What it does must not take long: it may run between two cells."""
    made = ipywidgets.Button(description=label, tooltip=said)
    made.on_click(lambda _: clicked())
    if is_risky:
        made.add_class("sm-risky")
    return made


def actions(*children: ipywidgets.Widget) -> ipywidgets.Box:
    """Return a row of buttons."""
    box = ipywidgets.Box(children)
    box.add_class("sm-actions")
    return box


def in_background(work: Callable[[], None], failed: Callable[[Exception], None]) -> None:
    """Do something that takes its time, on a thread of its own."""

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown in the card
            failed(error)

    threading.Thread(target=run, name="sm_magics-card", daemon=True).start()


class Card(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets is not typed
    """A frame around pieces, beside a static card which is seen wherever no kernel stands behind the live one.

    They are two outputs: of one output that is both, JupyterLab shows an error once the kernel is another one.

    Parameters
    ----------
    shown
        The static card: an event that stays true, whatever happens in the live one.
    """

    def __init__(self, shown: Shown, children: Sequence[ipywidgets.Widget]) -> None:
        rules = ipywidgets.HTML(style.INSTEAD)
        rules.layout.display = "none"
        super().__init__((rules, *children))
        self.add_class("sm-magics")
        self.add_class("sm-live")
        self.shown = shown

    def bundle(self) -> dict[str, Any]:
        """Return the MIME bundle of the live card alone: no text, which nbval would compare."""
        return {_VIEW: super()._repr_mimebundle_()[_VIEW]}
