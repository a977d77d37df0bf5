"""A live card of a training job: its stages, its metrics as they come in, what it left, and deploying that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

import ipywidgets

from sm_magics.hosting import Endpoint, metric_series
from sm_magics.hosting.outputs import Output
from sm_magics.hosting.training import COMPLETED, TrainingJob
from sm_magics.progress import Event, Listener, Progress

from . import page, render, trained, widgets
from .asking import Question, Words
from .clock import Clock, clock
from .live_card import SECOND, LiveCard, refused
from .page import Part, Shown
from .timeline import Phase, Timeline, draw
from .trained import Known

_PRINTED = {True: 1.0, False: 15.0}
"""Seconds between two looks at the log of a job that runs, on this machine, and in AWS."""

_DEPLOYING = Words("Deploy", "Cancel", "Looking …", "Deploying …", "It was not deployed")


class TrainingJobCard(LiveCard):
    """The card.

    Parameters
    ----------
    left
        What it left, where that was looked at.
    where
        Returns the name and the place of the endpoint that *Deploy* makes, in words.
    deploy
        Deploys what the job left and returns the endpoint; it is told a listener. Without it there is no button.
    card
        Returns a card of that endpoint, with the phases of its deployment, to be shown in this one.
    """

    def __init__(
        self,
        job: TrainingJob,
        left: Sequence[Output] | None = None,
        *,
        shown: Shown,
        notebook: str = "",
        where: Callable[[], str] = str,
        deploy: Callable[[Listener], Endpoint] | None = None,
        card: Callable[[Endpoint, Sequence[Phase]], ipywidgets.Widget | None] = lambda *_: None,
        ticks: Clock = clock,
    ) -> None:
        self._where, self._deploy_it, self._card_of = where, deploy, card
        self._printed = float("-inf")
        self._note, self._deployed = widgets.Html(), ipywidgets.VBox()
        known = Known(job, left=None if left is None else tuple(left), notebook=notebook)
        super().__init__(known, shown, ticks=ticks)
        self._deploy = widgets.button("Deploy…", f"Deploy what {job.name} trained; asks first", self._ask)
        self._look = widgets.button("Artifacts", f"Look through what {job.name} left in S3", self._look_through)
        self._question = Question(self, self._deploy, _DEPLOYING, self._plan)
        self.follow(job)

    @property
    def known(self) -> Known:
        """What it knows of its job."""
        known: Known = self._known
        return known

    def changed(self, seen: TrainingJob) -> None:
        """Learn another status."""
        self._printed = float("-inf")
        self.learn(job=seen, trouble=("", ""))
        if seen.status == "Deleted":
            self.stop()
        else:
            self._clock.add(self)

    def look_up(self, now: float) -> float:
        """Look up why it failed, and its metrics."""
        job = self.known.job
        pause = _PRINTED[job.where == "local"]
        if job.status == "Failed" and self.known.failure is None:
            self.learn(failure=job.explain())
        if now - self._printed >= pause:
            self._printed = now
            self.learn(series=metric_series.of(job, job.known_log()))
        elif job.is_moving:
            self.draw()  # how long its stage has taken
        return SECOND if job.is_moving or not job.status else float("inf")

    def printed(self) -> list[str]:
        """Return its log."""
        return self.known.job.logs()

    def head(self, now: datetime) -> Part:
        """Return how it is, where, and for how long."""
        return trained.head(self.known, now)

    def body(self) -> list[Part]:
        """Return what matters now."""
        return trained.body(self.known, datetime.now(timezone.utc))

    def news(self) -> str:
        """Return how it is, to be said."""
        return trained.news(self.known)

    def buttons(self) -> Sequence[ipywidgets.Widget]:
        """Return what can be done with it."""
        if self.known.job.status == "Deleted":
            return ()
        if self.known.job.status != COMPLETED:
            return (self._logs,)
        deploys = (self._deploy,) if self._deploy_it else ()
        return (*deploys, self._logs, *((self._look,) if self.known.left is None else ()))

    def drawers(self) -> Sequence[ipywidgets.Widget]:
        """Return all that its buttons open."""
        return (self._note.widget, *self._question.widgets, self._log.widget, self._deployed)

    # -- what it left -------------------------------------------------------------------------------------------

    def _look_through(self) -> None:
        """Look through what it left, which may be large."""
        self._look.disabled = True
        self._note.show(page.paragraph("Looking through what it left …", dim=True))
        self.unfold(self._note.widget)
        widgets.in_background(self._read, self._unread)

    def _read(self) -> None:
        self.learn(left=replace(self.known.job).artifacts)
        self.unfold(self._note.widget, is_open=False)

    def _unread(self, error: Exception) -> None:
        self._look.disabled = False
        self._note.show(refused("It cannot be looked through", error))

    # -- deploying ----------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._question.ask()

    def _plan(self) -> tuple[list[Part], Callable[[], None]]:
        return [page.paragraph(f"Deploy what it trained as {self._where()}?")], self._go

    def _go(self) -> None:
        """Deploy it, and show how far that is; then the endpoint's own card."""
        timeline = Timeline()

        def show(event: Event) -> None:
            now = time.monotonic()
            if isinstance(event, Progress):
                timeline.add(event, now)
            self._question.say(draw(timeline.phases(now)))

        endpoint = self._deploy_it(show) if self._deploy_it else None
        if endpoint is None:
            return
        timeline.end(time.monotonic())
        self._question.close()
        card = self._card_of(endpoint, timeline.phases(time.monotonic()))
        if card is not None:
            self._deployed.children = (card,)
            self.unfold(self._deployed)
        self.say(f"{endpoint.name} is {render.status_word(endpoint.status)}")
