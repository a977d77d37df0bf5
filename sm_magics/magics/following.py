"""A log that is shown while it grows, in one place, until somebody interrupts the cell."""

from __future__ import annotations

import functools
import threading
import uuid
from typing import TYPE_CHECKING

from sm_magics.errors import BackendError, EndpointNotFound

from . import failures

if TYPE_CHECKING:
    from sm_magics.hosting import Endpoint

    from .session import SmMagics

SECONDS = {True: 0.5, False: 3.0}
"""Between two looks at a log, on this machine, and in AWS, whose CloudWatch Logs are some seconds behind."""

_ENDED = {"Failed", "Deleted"}


def follow(session: SmMagics, endpoint: Endpoint, tail: int) -> list[str]:
    """Show an endpoint's log until the cell is interrupted, or the endpoint has failed or gone; return its lines.

    There is never more than one output, with the last lines in it: a log that never ends does not fill the notebook.
    In a terminal, which can take nothing back, each line is printed once.

    Parameters
    ----------
    tail
        How many of the last lines are shown; 0: all.
    """
    from sm_magics.display import render

    located = functools.partial(failures.located, session, endpoint=endpoint)
    lines: list[str] = []
    place = {"display_id": uuid.uuid4().hex}
    pause, printed, has_drawn = threading.Event(), 0, False
    try:
        while True:
            status = _status(endpoint)
            try:
                lines = endpoint.logs()
            except EndpointNotFound:
                status = "Deleted"
            except BackendError:
                if not has_drawn:  # it works or it does not; what fails later may come back
                    raise
            if not session.is_alive:
                new = lines[printed:] if printed else lines[-tail:]
                print(*new, sep="\n", end="\n" if new else "", flush=True)  # noqa: T201 - a terminal's output
                printed = len(lines)
            elif not has_drawn or len(lines) != printed:
                shown = render.log(endpoint.name, endpoint.place, lines, tail, located)
                session.shell.display_pub.publish(shown.bundle(), transient=place, update=has_drawn)
                printed = len(lines)
            has_drawn = True
            if status in _ENDED:
                break
            pause.wait(SECONDS[endpoint.connection.is_local])
    except KeyboardInterrupt:
        pass  # how one says that it is enough
    return lines


def _status(endpoint: Endpoint) -> str:
    try:
        return endpoint.fetch().status
    except EndpointNotFound:
        return "Deleted"
    except BackendError:
        return endpoint.status
