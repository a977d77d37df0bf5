"""One place in the cell that shows how far the work has come, and in the end its result, which may go on living."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from sm_magics.progress import Event, Progress, StatusChanged, StatusUnknown

if TYPE_CHECKING:
    from typing_extensions import Self

    from sm_magics.display.page import Shown
    from sm_magics.display.timeline import Timeline
    from sm_magics.display.widgets import Card
    from sm_magics.hosting import Endpoint

    from .session import SmMagics

PATIENCE = 0.4
"""Seconds of silence before progress is shown: most work is done by then, and a flash tells nobody anything."""

INTERVAL = 0.2
"""Seconds between two updates; a front end can't be read any faster."""


class Live:
    """A listener that draws into the cell.

    Where nobody watches (nbclient, nbval) it draws the result alone. nbval does not understand an update; what it
    compares with, the saved notebook, holds the result in the same single place.
    """

    def __init__(self, session: SmMagics, name: str) -> None:
        self._name = name
        self._publish = session.shell.display_pub.publish
        self._place = {"display_id": uuid.uuid4().hex}
        self._has_drawn = False
        self._draws = session.is_alive  # a terminal can't update what it has printed
        self._began = time.monotonic()
        self._next = self._began + PATIENCE
        self._session = session
        self._timeline: Timeline | None = None
        self._is_finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and self._has_drawn and not self._is_finished:  # the error says how it ended
            self._publish({"text/plain": ""}, transient=self._place, update=True)

    def __call__(self, event: Event) -> None:
        """Show an event, unless the last one was a moment ago."""
        now = time.monotonic()
        if not self._draws:
            return
        timeline = self._timed()
        if isinstance(event, Progress):
            timeline.add(event, now)
        if now < self._next and not isinstance(event, (StatusChanged, StatusUnknown)):
            return
        if not self._has_drawn and now < self._next:
            return
        from sm_magics.display import render

        self._next = now + INTERVAL
        self._draw(render.event(self._name, event, timeline.phases(now)))

    def finish(
        self, shown: Shown, endpoint: Endpoint | None = None, card: Callable[[float], Card | None] | None = None
    ) -> None:
        """Show the result, in the place of the progress.

        Parameters
        ----------
        endpoint
            What the result is about, if that is an endpoint: its card goes on living where somebody watches.
        card
            Makes a card of anything else, None where nobody watches; is told how many seconds the work took.
        """
        self._draw(shown)
        self._is_finished = True
        if not self._draws:
            return
        timeline, now = self._timed(), time.monotonic()
        timeline.end(now)
        made = self._session.cards.of(endpoint, shown, timeline.phases(now)) if endpoint is not None else None
        made = card(now - self._began) if card is not None else made
        if made is not None:
            self._publish(made.bundle())

    def _timed(self) -> Timeline:
        if self._timeline is None:
            from sm_magics.display.timeline import Timeline

            self._timeline = Timeline()
        return self._timeline

    def _draw(self, shown: Shown) -> None:
        if self._draws:
            self._publish(shown.bundle(), transient=self._place, update=self._has_drawn)
            self._has_drawn = True
        else:
            self._publish(shown.bundle())
