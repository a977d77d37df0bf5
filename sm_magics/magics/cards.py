"""Which live cards there are in a notebook: a cell that runs again takes its former ones away.

A front end that clears an output tells the kernel nothing, so a card cannot know that it is not seen any more.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .failures import located

if TYPE_CHECKING:
    import ipywidgets

    from sm_magics.display.page import Shown
    from sm_magics.display.table import Listed
    from sm_magics.display.timeline import Phase
    from sm_magics.display.widgets import Card
    from sm_magics.hosting import Diagnosis, Endpoint
    from sm_magics.hosting.connection import Connection
    from sm_magics.hosting.outputs import Output
    from sm_magics.hosting.training import TrainingJob
    from sm_magics.packaging import Package, Report

    from .session import SmMagics

MOST = 100
"""How many cards are kept: of more the oldest ones are no longer followed."""


class Cards:
    """The cards of one kernel."""

    def __init__(self, session: SmMagics) -> None:
        self._session = session
        self._cards: list[tuple[str, str, Card]] = []  # by cell and by the request that ran it

    def of(self, endpoint: Endpoint, shown: Shown, before: Sequence[Phase] = ()) -> Card | None:
        """Return a new card for an endpoint, None where nobody watches or nothing can be alive.

        Parameters
        ----------
        shown
            What is saved with the notebook.
        """
        return self._add(lambda: self._endpoint(endpoint, shown, before))

    def job(self, job: TrainingJob, shown: Shown, left: Sequence[Output] | None = None) -> Card | None:
        """Return a new card for a training job, None where nobody watches."""
        from sm_magics.display import cells, render
        from sm_magics.display.job_card import TrainingJobCard

        from .job_deploying import Deploying

        deploying = Deploying(self._session, job)
        return self._add(
            lambda: TrainingJobCard(
                job,
                left,
                shown=shown,
                notebook=cells.HERE,
                where=deploying.words,
                deploy=deploying,
                card=lambda endpoint, before: self._endpoint(endpoint, render.endpoint(endpoint), before),
            )
        )

    def table(self, known: Listed, connections: Sequence[Connection], shown: Shown) -> Card | None:
        """Return a new table of endpoints, None where nobody watches."""
        from sm_magics.display.table_card import EndpointsTable

        return self._add(lambda: EndpointsTable(known, connections, shown))

    def package(
        self, package: Package, shown: Shown, *, proof: Report | None, stale: Sequence[str], seconds: float
    ) -> Card | None:
        """Return a card of a package with what is not saved, None where nobody watches."""
        from sm_magics.display import cells, packaged

        author = self._session.author()
        return self._add(
            lambda: packaged.PackageCard(
                shown,
                packaged.package(
                    package,
                    proof=proof,
                    stale=stale,
                    written=packaged.sources(package, author),
                    needed=packaged.requirements(package),
                    notebook=cells.HERE,
                    seconds=seconds,
                ),
            )
        )

    def _add(self, make: Callable[[], Card]) -> Card | None:
        """Make a card for the running cell, whose former ones give way."""
        if not self._session.is_alive:
            return None
        kernel: Any = getattr(self._session.shell, "kernel", None)
        parent: dict[str, Any] = kernel.get_parent() or {}
        cell = parent.get("metadata", {}).get("cellId", "")
        request = parent.get("header", {}).get("msg_id", "")
        self._give_way(cell, request)
        card = make()
        self._cards.append((cell, request, card))
        return card

    def _endpoint(self, endpoint: Endpoint, shown: Shown, before: Sequence[Phase]) -> Card:
        from sm_magics.display import cells
        from sm_magics.display.cards import EndpointCard

        return EndpointCard(
            endpoint,
            before,
            shown=shown,
            panel=self._panel,
            ended=self._forget,
            explain=self._explain,
            verify=self._session.samples,
            ours=versions(),
            notebook=cells.HERE,
        )

    def close(self) -> None:
        """Let all go."""
        for _, _, card in self._cards:
            card.close()
        self._cards.clear()

    def _give_way(self, cell: str, request: str) -> None:
        """Close what an earlier run of the same cell has shown, and the oldest ones of too many."""
        old = [one for one in self._cards if cell and one[0] == cell and one[1] != request]
        left = [one for one in self._cards if one not in old]
        old += left[: max(0, len(left) - MOST + 1)]
        for one in old:
            one[2].close()
        self._cards = [one for one in self._cards if one not in old]

    def _panel(self, endpoint: Endpoint) -> ipywidgets.Widget:
        from sm_magics.display.panel import PredictPanel

        return PredictPanel(endpoint, self._session.evaluate)

    def _explain(self, endpoint: Endpoint) -> Diagnosis | None:
        return located(self._session, endpoint.explain(), endpoint)

    def _forget(self, endpoint: Endpoint) -> None:
        """Not to be the latest one any more: a button has deleted it."""
        last = self._session.last_endpoint
        if last is not None and (last.where, last.name) == (endpoint.where, endpoint.name):
            self._session.last_endpoint = None


def versions() -> tuple[str, str]:
    """Return the kernel's own torch and Python; of torch nothing where it is not installed. Imports neither."""
    torch: Any = sys.modules.get("torch")
    try:
        found = str(torch.__version__) if torch else metadata.version("torch")
    except metadata.PackageNotFoundError:
        found = ""
    return found.partition("+")[0], platform.python_version()
