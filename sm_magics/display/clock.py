"""One thread for all cards: the seconds that pass, and what has to be looked up meanwhile.

It runs while there is a card to be told of the time. A card that raises is left out from then on.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

_logger = logging.getLogger(__name__)


class Ticking(Protocol):
    """What wants to know that time passes."""

    def tick(self, now: float) -> float:
        """Do what has become due, at a time of the monotonic clock; return in how many seconds to come again."""


class Clock:
    """The thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._due: dict[Ticking, float] = {}
        self._thread: threading.Thread | None = None

    def add(self, one: Ticking) -> None:
        """Tell something of the time, now first. Again: now, whatever it had said."""
        with self._lock:
            self._due[one] = 0.0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sm_magics-clock", daemon=True)
                self._thread.start()
        self._news.set()

    def remove(self, one: Ticking) -> None:
        """Tell it nothing any more."""
        with self._lock:
            self._due.pop(one, None)
        self._news.set()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, None while there is nobody to tell."""
        return self._thread

    def _run(self) -> None:
        while True:
            self._news.clear()
            with self._lock:
                if not self._due:
                    self._thread = None
                    return
                now = time.monotonic()
                due = [one for one, moment in self._due.items() if moment <= now]
            for one in due:
                self._tell(one)
            with self._lock:
                soonest = min(self._due.values(), default=0.0)
            self._news.wait(max(0.0, soonest - time.monotonic()) if soonest else 0.0)

    def _tell(self, one: Ticking) -> None:
        with self._lock:
            if one not in self._due:
                return
            self._due[one] = float("inf")  # who asks for a tick while it ticks gets another one
        try:
            pause = one.tick(time.monotonic())
        except Exception:
            _logger.exception("A card raised, and stands still.")
            self.remove(one)
            return
        with self._lock:
            if self._due.get(one) == float("inf"):
                self._due[one] = time.monotonic() + pause


clock = Clock()
"""The one of this process."""
