"""Which live cards there are in a notebook: a cell that runs again takes its former ones away.

A front end that clears an output tells the kernel nothing, so a card cannot know that it is not seen any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sm_magics.errors import SmMagicsError

if TYPE_CHECKING:
    import ipywidgets

    from sm_magics.display.cards import EndpointCard
    from sm_magics.display.page import Shown
    from sm_magics.display.timeline import Phase
    from sm_magics.hosting import Diagnosis, Endpoint

    from .session import SmMagics

MOST = 100
"""How many cards are kept: of more the oldest ones are no longer followed."""


class Cards:
    """The cards of one kernel."""

    def __init__(self, session: SmMagics) -> None:
        self._session = session
        self._cards: list[tuple[str, str, EndpointCard]] = []  # by cell and by the request that ran it

    def of(self, endpoint: Endpoint, shown: Shown, before: Sequence[Phase] = ()) -> EndpointCard | None:
        """Return a new card for an endpoint, None where nobody watches or nothing can be alive.

        Parameters
        ----------
        shown
            What is saved with the notebook.
        """
        if not self._session.is_alive:
            return None
        from sm_magics.display.cards import EndpointCard

        kernel: Any = getattr(self._session.shell, "kernel", None)
        parent: dict[str, Any] = kernel.get_parent() or {}
        cell = parent.get("metadata", {}).get("cellId", "")
        request = parent.get("header", {}).get("msg_id", "")
        self._give_way(cell, request)
        card = EndpointCard(endpoint, before, shown=shown, panel=self._panel, ended=self._forget, explain=self._explain)
        self._cards.append((cell, request, card))
        return card

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


def located(session: SmMagics, why: Diagnosis | None, endpoint: Endpoint) -> Diagnosis | None:
    """Return why it failed with its place in the notebook, if it was made from here and the code is still that."""
    if why is None or not why.path:
        return why
    from sm_magics.packaging.proving.tracing import Cells

    try:
        directory = Path(endpoint.tags().get("sm-magics:model-dir", "") or session.directory())
    except SmMagicsError:  # without the permission to read tags
        directory = session.directory()
    return why.located(Cells(directory, directory, session.author())) if directory.is_dir() else why
