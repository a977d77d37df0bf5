"""The phases of long work as a line in time: what is done, what goes on and how fast, what is still ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sm_magics.progress import Progress

from . import page
from .page import Part

DONE, NOW, BAD, AHEAD = "done", "now", "bad", "ahead"
_SAID = {DONE: "done", NOW: "going on", BAD: "failed", AHEAD: "not yet"}
_SIGNS = {DONE: "✓", NOW: "◐", BAD: "✗", AHEAD: "·"}
_SURE = 1.0
"""Seconds after which the speed so far says something about the rest."""


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes
    ----------
    state
        `DONE`, `NOW`, `BAD` or `AHEAD`.
    note
        A few words: ``1.3 MB in 0.4 s``.
    """

    name: str
    state: str
    note: str = ""


class Timeline:
    """What has been reported so far, phase after phase."""

    def __init__(self) -> None:
        self._done: list[Phase] = []
        self._event: Progress | None = None
        self._since = 0.0

    def add(self, event: Progress, now: float) -> None:
        """Note how far the work has come; `now` is in seconds, of any clock that only goes on."""
        if self._event is None or event.phase != self._event.phase:
            self.end(now)
            self._since = now
        self._event = event

    def end(self, now: float) -> None:
        """Note that the phase that went on has ended well."""
        if self._event is not None:
            took = duration(now - self._since)
            size = page.size(self._event.total) if self._event.total else ""
            # A phase that comes again (saving, and then saving with its size) is the same one.
            self._done = [phase for phase in self._done if phase.name != self._event.phase]
            self._done.append(Phase(self._event.phase, DONE, " in ".join(filter(None, (size, took)))))
            self._event = None

    def phases(self, now: float, ahead: Sequence[str] = ()) -> list[Phase]:
        """Return the phases until now, and those that are known to come."""
        found = list(self._done)
        if self._event is not None:
            found = [phase for phase in found if phase.name != self._event.phase]
            found.append(Phase(self._event.phase, NOW, pace(self._event, now - self._since)))
        known = {phase.name for phase in found}
        return [*found, *(Phase(name, AHEAD) for name in ahead if name not in known)]


def pace(event: Progress, seconds: float) -> str:
    """Return how far and how fast something goes: ``3.1 of 12.0 MB · 1.5 MB/s · 6 s left``."""
    if not event.total:
        return event.note
    words = [f"{page.size(event.done)} of {page.size(event.total)}"]
    if seconds >= _SURE and 0 < event.done < event.total:
        speed = event.done / seconds
        words += [f"{page.size(round(speed))}/s", f"{duration((event.total - event.done) / speed)} left"]
    return " · ".join(words)


def draw(phases: Sequence[Phase]) -> Part:
    """Return phases as a line that a screen reader reads as a list."""
    items = []
    for phase in phases:
        note = f"<small>{page.escape(phase.note)}</small>" if phase.note else ""
        current = ' aria-current="step"' if phase.state in {NOW, BAD} else ""
        said = f'<span class="sm-said">, {_SAID[phase.state]}</span>'
        items.append(f'<li class="sm-{phase.state}"{current}>{page.escape(phase.name)}{said}{note}</li>')
    lines = page.columns([[_SIGNS[phase.state], phase.name, phase.note] for phase in phases])
    return Part(f'<ol class="sm-phases">{"".join(items)}</ol>', "\n".join(f"  {line}" for line in lines))


def elapsed(time: timedelta) -> str:
    """Return a time that goes on, in whole seconds: what changes too fast cannot be read."""
    seconds = max(0, int(time.total_seconds()))
    return f"{seconds} s" if seconds < 60 else duration(seconds)  # noqa: PLR2004 - seconds of a minute


def about(seconds: float) -> str:
    """Return a time in its largest unit, for what differs from time to time anyway: ``0.4 s``, ``5 min``."""
    if seconds < 9.95:  # noqa: PLR2004 - seconds that are few enough for a tenth to matter
        return f"{seconds:.1f} s"
    return f"{round(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} min"  # noqa: PLR2004 - a minute and a half


def duration(seconds: float) -> str:
    """Return a time as people say it: ``40 ms``, ``2.5 s``, ``2 min 14 s``, ``3 h 5 min``, ``2 d 4 h``."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:  # noqa: PLR2004 - more would be written as 1000 ms
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"  # noqa: PLR2004
    if seconds < 9.95:  # noqa: PLR2004 - more would be written as 10.0 s
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, (big, small) in {86400: ("d", "h"), 3600: ("h", "min"), 60: ("min", "s")}.items():
        if whole >= unit:
            rest = whole % unit // {86400: 3600, 3600: 60, 60: 1}[unit]
            return f"{whole // unit} {big} {rest} {small}" if rest else f"{whole // unit} {big}"
    return f"{whole} s"
