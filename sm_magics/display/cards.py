"""A live card of an endpoint: it follows what SageMaker says of it, by itself, while other cells run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

import ipywidgets

from sm_magics.hosting import Diagnosis, Endpoint, composition, cost, diagnosis, measuring, removal
from sm_magics.progress import Event, StatusUnknown

from . import followed, page, render, widgets
from .clock import Clock, clock
from .followed import Known
from .page import Shown
from .timeline import Phase

_SECOND = 1.0
_MEASURED = {True: 10.0, False: 60.0}
"""Seconds between two looks at the metrics of an endpoint, on this machine, and in AWS, where they cost something."""

_LOG_SECONDS = 2.0
_TAIL = 200


class EndpointCard(widgets.Card):
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
        ticks: Clock = clock,
    ) -> None:
        self._known = Known(endpoint, tuple(before))
        self._lock = threading.RLock()
        self._clock = ticks
        self._ended = ended or (lambda _: None)
        self._explain = explain
        self._panel, self._make_panel = None, panel
        self._head, self._body, self._log, self._question = (widgets.Html() for _ in range(4))
        self._looked = self._logged = float("-inf")
        self._is_composed = self._is_deleting = self._has_log = False
        self._predict = widgets.button("Predict", f"Send a value to {endpoint.name}", self._toggle_panel)
        self._logs = widgets.button("Logs", f"Show what {endpoint.name} printed", self._toggle_log)
        self._delete = widgets.button("Delete…", f"Delete {endpoint.name}; asks first", self._ask)
        self._actions, self._answers = widgets.actions(), widgets.actions()
        self._drawer = ipywidgets.VBox()
        self._drawer.add_class("sm-drawer")
        super().__init__(
            shown or render.endpoint(endpoint), (self._head.widget, self._body.widget, self._actions, self._drawer)
        )
        self._draw()
        with self._lock:  # it may be told something before this has returned
            self._watch = endpoint.watch(self._hear)
        self._clock.add(self)

    def close(self) -> None:
        """Follow nothing any more, and vanish."""
        self._stop()
        super().close()

    @property
    def known(self) -> Known:
        """What it knows of its endpoint."""
        return self._known

    # -- what happens -------------------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        """Show another status; called by the watcher."""
        if isinstance(event, StatusUnknown):
            self._learn(trouble=(event.why, event.hint))
            return
        with self._lock:
            seen = self._watch.seen
            former = self._known.endpoint
        if not isinstance(seen, Endpoint):
            return
        endpoint = replace(seen, outcome=former.outcome, notes=former.notes)
        self._is_composed = self._is_composed and endpoint.config_name == former.config_name
        self._looked = float("-inf")
        self._learn(endpoint=endpoint, failure=None, trouble=("", ""))
        if endpoint.status == "Deleted":
            self._stop()
        else:
            self._clock.add(self)

    def tick(self, now: float) -> float:
        """Let the time go on, and look up what is due; return in how many seconds to come again."""
        self._draw_head()
        endpoint = self._known.endpoint
        try:
            if endpoint.config_name and not self._is_composed:
                self._learn(variants=composition.of(replace(endpoint)))
                self._is_composed = True
            if self._known.state in {page.BAD, page.WARN} and self._known.failure is None:
                self._learn(failure=self._explain(endpoint))
            if endpoint.is_in_service and now - self._looked >= _MEASURED[endpoint.where == followed.LOCAL]:
                self._looked = now
                self._learn(measured=measuring.recent(endpoint))
                if endpoint.where != followed.LOCAL:
                    self._learn(cost=cost.of(replace(endpoint)))
            if self._has_log and now - self._logged >= _LOG_SECONDS:
                self._logged = now
                self._show_log()
        except Exception:  # noqa: BLE001 - no permission, no network: these facts are left out, the status stays
            self._is_composed = True
        if self._known.has_ended and not self._has_log:
            self._clock.remove(self)
        if self._has_log or endpoint.is_moving or not endpoint.status:
            return _SECOND
        return _MEASURED[endpoint.where == "local"]

    def _learn(self, **facts: object) -> None:
        with self._lock:
            self._known = replace(self._known, **facts)  # type: ignore[arg-type]
            self._draw()

    def _stop(self) -> None:
        self._watch.stop()
        self._clock.remove(self)

    # -- how it looks -------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        with self._lock:
            self._draw_head()
            self._body.show(*followed.body(self._known))
            status = self._known.endpoint.status
            buttons = [] if status == "Deleted" else [self._logs, self._delete]
            if status in {"InService", "Updating", "RollingBack", "SystemUpdating"} and self._make_panel:
                buttons.insert(0, self._predict)
            if list(self._actions.children) != buttons:
                self._actions.children = buttons
            if status == "Deleted":
                self._drawer.children = ()

    def _draw_head(self) -> None:
        with self._lock:
            self._head.show(followed.head(self._known, datetime.now(timezone.utc)))

    def _open(self, widget: ipywidgets.Widget, *, is_open: bool) -> None:
        """Show something below the buttons, or no longer."""
        with self._lock:
            inside = {*self._drawer.children, widget} if is_open else {*self._drawer.children} - {widget}
            order = (self._question.widget, self._answers, self._log.widget, self._panel)
            self._drawer.children = [one for one in order if one in inside]

    # -- what its buttons do ------------------------------------------------------------------------------------

    def _toggle_panel(self) -> None:
        if self._panel is None and self._make_panel:
            self._panel = self._make_panel(self._known.endpoint)
        self._open(self._panel, is_open=self._panel not in self._drawer.children)

    def _toggle_log(self) -> None:
        self._has_log = not self._has_log
        self._open(self._log.widget, is_open=self._has_log)
        self._logs.description = "Hide logs" if self._has_log else "Logs"
        if self._has_log:
            self._log.show(page.paragraph("Reading the log …", dim=True))
            self._logged = float("-inf")
            self._clock.add(self)

    def _show_log(self) -> None:
        lines = diagnosis.summarized(self._known.endpoint.logs())
        if not lines:
            self._log.show(page.paragraph("It has printed nothing yet.", dim=True))
            return
        cut = [page.paragraph(f"The last {_TAIL} of {len(lines):,} lines:", dim=True)] if len(lines) > _TAIL else []
        self._log.show(*cut, page.listing(lines[-_TAIL:]))

    def _ask(self) -> None:
        """Ask before anything is deleted, by name."""
        self._delete.disabled = True
        self._question.show(page.paragraph("Looking up what would go …", dim=True))
        self._open(self._question.widget, is_open=True)
        widgets.in_background(self._show_question, self._refuse)

    def _show_question(self) -> None:
        plan = removal.of(replace(self._known.endpoint))
        rows = [(page.dim(kind), name) for kind, name in plan.rows]
        kept = [page.paragraph(f"Kept: {line}.") for line in plan.kept]
        self._question.show(
            page.paragraph(f"Delete {plan.endpoint.name} on {plan.endpoint.place}?"), page.table(rows), *kept
        )
        yes = widgets.button("Delete", f"Delete {plan.endpoint.name} for good", lambda: self._go(plan), is_risky=True)
        no = widgets.button("Keep", "Delete nothing", self._close_question)
        self._answers.children = (yes, no)
        self._open(self._answers, is_open=True)

    def _close_question(self) -> None:
        self._delete.disabled = False
        self._open(self._question.widget, is_open=False)
        self._open(self._answers, is_open=False)

    def _go(self, plan: removal.Removal) -> None:
        if self._is_deleting:  # clicked twice
            return
        self._is_deleting = True
        self._open(self._answers, is_open=False)
        self._question.show(page.paragraph("Deleting …", dim=True))
        widgets.in_background(lambda: self._remove(plan), self._refuse)

    def _remove(self, plan: removal.Removal) -> None:
        removal.remove(plan)
        self._stop()
        gone = replace(self._known.endpoint, status="Deleted")
        self._learn(endpoint=gone)
        self._ended(gone)

    def _refuse(self, error: Exception) -> None:
        """Say why something could not be done; it may be tried again."""
        self._is_deleting = False
        self._delete.disabled = False
        said = getattr(error, "message", str(error))
        self._question.show(page.paragraph(f"It was not deleted: {said}", code=getattr(error, "hint", "")))
        self._open(self._question.widget, is_open=True)
