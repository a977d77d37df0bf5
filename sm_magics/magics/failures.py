"""Why an endpoint failed, told against the cells of the notebook that its code comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sm_magics.errors import EndpointFailed, ModelError, SmMagicsError

if TYPE_CHECKING:
    from sm_magics.display.page import Shown
    from sm_magics.hosting import Diagnosis, Endpoint

    from .session import SmMagics


def located(session: SmMagics, why: Diagnosis | None, endpoint: Endpoint) -> Diagnosis | None:
    """Return why it failed with its place in the notebook, if it was made from here and the code is still that."""
    if why is None or not why.path:
        return why
    from sm_magics.packaging.proving.tracing import Cells

    try:
        directory = Path(endpoint.tags().get("sm-magics:model-dir", "") or session.directory())
    except SmMagicsError:  # without the permission to read tags
        directory = session.directory()
    if not directory.is_dir():
        return why
    return why.located(Cells(directory, directory, session.author(), session.executed.cells()))


def name_cell(session: SmMagics, error: EndpointFailed | ModelError, endpoint: Endpoint) -> Diagnosis | None:
    """Have an error name the cell that raised in place of the file, where that is known; return its diagnosis."""
    why: Any = error.diagnosis
    found = located(session, why, endpoint)
    if found is not None and found is not why:
        _say(error, error.message.replace(why.where, found.where))
        error.diagnosis = found
    return found


def leave_traceback_to_card(session: SmMagics, error: EndpointFailed | ModelError) -> None:
    """Take the traceback out of an error that is read below a card that has it; a log has nothing but the error."""
    if session.is_alive:
        _say(error, error.message.partition("\n\n")[0])


def _say(error: EndpointFailed | ModelError, message: str) -> None:
    error.message = message
    error.args = (message,)


@contextmanager
def shown(session: SmMagics, draw: Callable[[Endpoint, Shown], None] | None = None) -> Iterator[None]:
    """Show the card of an endpoint that fails while it is waited for; the error that says so names the cell.

    Parameters
    ----------
    draw
        Shows the card; by default below what the cell has shown.
    """
    try:
        yield
    except EndpointFailed as error:
        from sm_magics.display import render

        endpoint: Any = error.endpoint
        why = name_cell(session, error, endpoint)
        (draw or session.show_endpoint)(endpoint, render.endpoint(endpoint, why))
        leave_traceback_to_card(session, error)
        raise
