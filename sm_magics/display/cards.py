"""A live card of an endpoint: how it comes up, why it failed, how it does, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import ipywidgets

from sm_magics.hosting import Diagnosis, Endpoint, composition, cost, measuring, removal, usual
from sm_magics.hosting.verifying import Verification

from . import followed, page, render, widgets
from .asking import Question, Words
from .clock import Clock, clock
from .followed import Known
from .live_card import SECOND, LiveCard
from .page import Part, Shown
from .timeline import Phase

_MEASURED = {True: 10.0, False: 60.0}
"""Seconds between two looks at the metrics of an endpoint, on this machine, and in AWS, where they cost something."""

_DELETING = Words("Delete", "Keep", "Looking up what would go …", "Deleting …", "It was not deleted")


class EndpointCard(LiveCard):
    """The card.

    Parameters
    ----------
    before
        The phases of the deployment that made it, if there was one.
    shown
        What is saved with the notebook.
    panel
        Makes what *Predict* opens.
    ended
        Called once it is deleted from here.
    explain
        Returns why it failed.
    verify
        Sends it the sample that was recorded with its package, where nobody waited for it; returns what came of that.
    ours
        The kernel's own torch and Python, as versions; empty where unknown.
    notebook
        The notebook's path; empty where unknown.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        before: Sequence[Phase] = (),
        *,
        shown: Shown | None = None,
        panel: Callable[[Endpoint], ipywidgets.Widget] | None = None,
        ended: Callable[[Endpoint], None] | None = None,
        explain: Callable[[Endpoint], Diagnosis | None] = Endpoint.explain,
        verify: Callable[[Endpoint], Verification | None] = lambda _: None,
        ours: tuple[str, str] = ("", ""),
        notebook: str = "",
        ticks: Clock = clock,
    ) -> None:
        self._ended = ended or (lambda _: None)
        self._explain = explain
        self._verify, self._asked = verify, ""
        self._panel, self._make_panel = None, panel
        self._looked = float("-inf")
        self._is_composed = False
        known = Known(endpoint, tuple(before), ours=ours, notebook=notebook)
        super().__init__(known, shown or render.endpoint(endpoint), ticks=ticks)
        self._predict = widgets.button("Predict", f"Send a value to {endpoint.name}", self._toggle_panel)
        self._delete = widgets.button("Delete…", f"Delete {endpoint.name}; asks first", self._ask)
        self._question = Question(self, self._delete, _DELETING, self._plan, is_risky=True)
        self.follow(endpoint)

    @property
    def known(self) -> Known:
        """What it knows of its endpoint."""
        known: Known = self._known
        return known

    # -- what happens -------------------------------------------------------------------------------------------

    def changed(self, seen: Endpoint) -> None:
        """Learn another status."""
        former = self.known.endpoint
        is_same = former.config_name in {"", seen.config_name}
        notes, verified = (former.notes, former.verified) if is_same else ((), None)
        endpoint = replace(seen, outcome=former.outcome, notes=notes, verified=verified)
        self._is_composed = self._is_composed and is_same
        self._looked = float("-inf")
        self.learn(endpoint=endpoint, failure=None, trouble=("", ""))
        if endpoint.is_in_service and former.status == "Creating" and endpoint.created and endpoint.modified:
            took = (endpoint.modified - endpoint.created).total_seconds()
            usual.note(endpoint.where, self.known.kind, endpoint.created.timestamp(), took)
        if endpoint.status == "Deleted":
            self.stop()
        else:
            self._clock.add(self)

    def look_up(self, now: float) -> float:
        """Look up what it is made of, why it failed, how it does."""
        endpoint = self.known.endpoint
        if endpoint.config_name and not self._is_composed:
            self._is_composed = True  # without the permission it is left out
            self.learn(variants=composition.of(replace(endpoint)))
            if endpoint.status == "Creating":
                self.learn(usual=usual.seconds(endpoint.where, self.known.kind))
        if self.known.state in {page.BAD, page.WARN} and self.known.failure is None:
            self.learn(failure=self._explain(endpoint))
        if endpoint.is_in_service and endpoint.verified is None and self._asked != endpoint.config_name:
            self._asked = endpoint.config_name
            # A model may think for a minute.
            widgets.in_background(lambda: self._note_verification(endpoint), lambda _: None)
        pause = _MEASURED[endpoint.where == followed.LOCAL]
        if endpoint.is_in_service and now - self._looked >= pause:
            self._looked = now
            self.learn(measured=measuring.recent(endpoint))
            if endpoint.where != followed.LOCAL:
                self.learn(cost=cost.of(replace(endpoint)))
        if self.known.has_ended:
            return float("inf")
        return SECOND if endpoint.is_moving or not endpoint.status else pause

    def _note_verification(self, endpoint: Endpoint) -> None:
        """Learn whether it answers its sample, unless it serves something else by then."""
        found = self._verify(replace(endpoint))
        present = replace(self.known.endpoint)
        if found is not None and present.is_in_service and present.config_name == endpoint.config_name:
            present.note_verification(found)
            self.learn(endpoint=present)

    def printed(self) -> list[str]:
        """Return its log."""
        return self.known.endpoint.logs()

    # -- how it looks -------------------------------------------------------------------------------------------

    def head(self, now: datetime) -> Part:
        """Return how it is, where, and since when."""
        return followed.head(self.known, now)

    def body(self) -> list[Part]:
        """Return what matters now."""
        return followed.body(self.known)

    def news(self) -> str:
        """Return how it is, to be said."""
        return followed.news(self.known)

    def buttons(self) -> Sequence[ipywidgets.Widget]:
        """Return what can be done with it."""
        status = self.known.endpoint.status
        if status == "Deleted":
            self.unfold(*self._drawer.children, is_open=False)
            return ()
        answers = status in {"InService", "Updating", "RollingBack", "SystemUpdating"} and self._make_panel
        return (*((self._predict,) if answers else ()), self._logs, self._delete)

    def drawers(self) -> Sequence[ipywidgets.Widget]:
        """Return all that its buttons open."""
        return (*self._question.widgets, self._log.widget, *((self._panel,) if self._panel else ()))

    def _toggle_panel(self) -> None:
        if self._panel is None and self._make_panel:
            self._panel = self._make_panel(self.known.endpoint)
        self.unfold(self._panel, is_open=self._panel not in self._drawer.children)

    # -- deleting -----------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._question.ask()

    def _plan(self) -> tuple[list[Part], Callable[[], None]]:
        """Return what would go, by name, and what lets it go."""
        plan = removal.of(replace(self.known.endpoint))
        rows = [(page.dim(kind), name) for kind, name in plan.rows]
        kept = [page.paragraph(f"Kept: {line}.") for line in plan.kept]
        asked = page.paragraph(f"Delete {plan.endpoint.name} on {plan.endpoint.place}?")
        return [asked, page.table(rows), *kept], lambda: self._remove(plan)

    def _remove(self, plan: removal.Removal) -> None:
        removal.remove(plan)
        self.stop()
        gone = replace(self.known.endpoint, status="Deleted")
        self.learn(endpoint=gone)
        self._ended(gone)
