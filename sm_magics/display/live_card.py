"""A card that follows one thing by itself, while other cells run: an endpoint, a training job, a list of endpoints.

What it knows is one frozen value. Whoever learns more (the watcher's thread, the clock's, a button's) replaces it and
draws; only traits are ever set. What changes its meaning is said to screen readers, politely, and once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Protocol

import ipywidgets

from sm_magics.hosting import diagnosis
from sm_magics.progress import Event, Listener, StatusUnknown

from . import page, widgets
from .clock import Clock, clock
from .page import Part, Shown

SECOND = 1.0
LOG_SECONDS = 2.0
_TAIL = 200


class Following(Protocol):
    """What `watch` returns."""

    @property
    def seen(self) -> Any:
        """The thing as it was last seen."""

    def stop(self) -> None:
        """Hear nothing any more."""


class Watched(Protocol):
    """What a card can follow."""

    name: str

    def watch(self, listener: Listener) -> Following:
        """Have a listener told of each status from now on."""


class LiveCard(widgets.Card):
    """The card. A subclass says what is shown, and what is looked up meanwhile.

    Parameters
    ----------
    known
        What is known so far: a frozen dataclass with a member ``trouble``.
    shown
        What is saved with the notebook.
    """

    def __init__(self, known: Any, shown: Shown, *, ticks: Clock = clock) -> None:
        self._known = known
        self._lock = threading.RLock()
        self._clock = ticks
        self._watches: list[Following] = []
        self._head, self._body, self._said, self._log = (widgets.Html() for _ in range(4))
        self._said.widget.add_class("sm-said")
        self._logged = float("-inf")
        self._has_log, self._news = False, ""
        self._logs = widgets.button("Logs", "Show what it printed", self._toggle_log)
        self._actions, self._drawer = widgets.actions(), ipywidgets.VBox()
        self._drawer.add_class("sm-drawer")
        super().__init__(shown, (*self.pieces(), self._said.widget))

    # -- what a subclass says -----------------------------------------------------------------------------------

    def pieces(self) -> Sequence[ipywidgets.Widget]:
        """Return the pieces of the card, from top to bottom."""
        return (self._head.widget, self._body.widget, self._actions, self._drawer)

    def head(self, now: datetime) -> Part:
        """Return the first line."""
        raise NotImplementedError

    def body(self) -> list[Part]:
        """Return what matters now."""
        raise NotImplementedError

    def buttons(self) -> Sequence[ipywidgets.Widget]:
        """Return the buttons that make sense now."""
        return ()

    def drawers(self) -> Sequence[ipywidgets.Widget]:
        """Return all that buttons may open, in the order in which it is seen."""
        return (self._log.widget,)

    def news(self) -> str:
        """Return how it is in a few words, to be said whenever it is another one."""
        return ""

    def changed(self, seen: Any) -> None:
        """Learn another status."""
        raise NotImplementedError

    def look_up(self, now: float) -> float:
        """Look up what is due at a time of the monotonic clock; return in how many seconds to come again.

        What cannot be looked up is left out: it may raise. Infinity says that there is nothing to look up any more.
        """
        raise NotImplementedError

    def printed(self) -> list[str]:
        """Return its log."""
        raise NotImplementedError

    # -- what happens -------------------------------------------------------------------------------------------

    def follow(self, *things: Watched) -> None:
        """Draw it, and go on from here."""
        self.draw()
        with self._lock:  # it may be told something before this has returned
            for thing in things:
                number = len(self._watches)
                self._watches.append(thing.watch(lambda event, number=number: self._hear(event, number)))  # type: ignore[misc]
        self._clock.add(self)

    def close(self) -> None:
        """Follow nothing any more, and vanish."""
        self.stop()
        super().close()

    def stop(self) -> None:
        """Follow nothing any more."""
        for watch in self._watches:
            watch.stop()
        self._clock.remove(self)

    def _hear(self, event: Event, number: int) -> None:
        """Show another status; called by the watcher."""
        if isinstance(event, StatusUnknown):
            self.learn(trouble=(event.why, event.hint))
            return
        with self._lock:
            seen = self._watches[number].seen
        self.changed(seen)

    def tick(self, now: float) -> float:
        """Let the time go on, and look up what is due; return in how many seconds to come again."""
        self._draw_head()
        try:
            pause = self.look_up(now)
        except Exception:  # noqa: BLE001 - no permission, no network: these facts are left out, the status stays
            pause = 60 * SECOND
        if not self._has_log:
            if pause == float("inf"):
                self._clock.remove(self)
            return pause
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            self._show_log()
        return min(pause, SECOND)

    def learn(self, **facts: object) -> None:
        """Know more, and show it."""
        with self._lock:
            self._known = replace(self._known, **facts)
            self.draw()

    # -- how it looks -------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Show what is known."""
        with self._lock:
            self._draw_head()
            self._body.show(*self.body())
            buttons = tuple(self.buttons())
            if self._actions.children != buttons:
                self._actions.children = buttons
            self._tell(self.news())

    def _draw_head(self) -> None:
        with self._lock:
            self._head.show(self.head(datetime.now(timezone.utc)))

    def _tell(self, news: str) -> None:
        """Tell screen readers what is new; not what they read anyway when the card appears."""
        if self._watches and news != self._news:
            self.say(news)
        self._news = news

    def say(self, words: str) -> None:
        """Have a screen reader say something when it has nothing else to say."""
        self._said.show(Part(f'<span role="status">{page.escape(words)}</span>', ""))

    def unfold(self, *opened: ipywidgets.Widget, is_open: bool = True) -> None:
        """Show something below the buttons, or no longer."""
        with self._lock:
            inside = {*self._drawer.children} | {*opened} if is_open else {*self._drawer.children} - {*opened}
            self._drawer.children = [one for one in self.drawers() if one in inside]

    def _toggle_log(self) -> None:
        self._has_log = not self._has_log
        self.unfold(self._log.widget, is_open=self._has_log)
        self._logs.description = "Hide logs" if self._has_log else "Logs"
        if self._has_log:
            self._log.show(page.paragraph("Reading the log …", dim=True))
            self._logged = float("-inf")
            self._clock.add(self)

    def _show_log(self) -> None:
        try:
            lines = diagnosis.summarized(self.printed())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown in the card
            self._log.show(refused("The log cannot be read", error))
            return
        if not lines:
            self._log.show(page.paragraph("It has printed nothing yet.", dim=True))
            return
        cut = [page.paragraph(f"The last {_TAIL} of {len(lines):,} lines:", dim=True)] if len(lines) > _TAIL else []
        self._log.show(*cut, page.log(lines[-_TAIL:], "Log"))


def refused(what: str, error: Exception) -> Part:
    """Return why something could not be done, in a line."""
    said = getattr(error, "message", str(error)) or type(error).__name__
    return page.paragraph(f"{what}: {said}", code=getattr(error, "hint", ""))
