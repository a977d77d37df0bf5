"""What an endpoint served before goes once it is in service with what was asked for, whether anybody waits or not.

The kernel may end meanwhile: the record of the deployment stays until that is done, and whoever deploys next does it.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace

from sm_magics.errors import EndpointConflictError, EndpointNotFound, SmMagicsError
from sm_magics.progress import Event, StatusChanged

from . import begun, removal
from .begun import Attempt
from .endpoints import IN_SERVICE, Endpoint


def clear_away(endpoint: Endpoint, attempt: Attempt) -> str:
    """Take away what an endpoint that is in service does not use any more; return why that failed, empty if not."""
    attempt.go_on(begun.CLEARING)
    try:
        removal.remove_superseded(endpoint)
    except SmMagicsError as error:  # the update itself is a success
        hint = f" ({error.hint})" if error.hint else ""
        return f"What it served before is still there: {error.message}{hint}"
    attempt.end()
    return ""


def clear_away_late(endpoint: Endpoint) -> str:
    """Do what an earlier deployment did not come to; return why that failed, empty if not, or if nothing is left."""
    if begun.of(endpoint.where, endpoint.name) is None:
        return ""
    try:
        with begun.alone(endpoint.where, endpoint.name) as attempt:
            record = begun.of(endpoint.where, endpoint.name)
            endpoint.fetch()
            # Asked for something else meanwhile, it does not use that yet, and what it uses is not to stay.
            if record is None or not endpoint.is_in_service or record.config_name not in {"", endpoint.config_name}:
                return ""
            return clear_away(endpoint, attempt)
    except (EndpointConflictError, EndpointNotFound):  # somebody deploys to it, and will do it; or it is gone
        return ""


def clear_away_then(endpoint: Endpoint, attempt: Attempt) -> None:
    """Have it done once an endpoint that is being updated is in service; returns at once."""
    _Waiting(endpoint, attempt)


class _Waiting:
    """Somebody who hears of an endpoint until its state settles."""

    def __init__(self, endpoint: Endpoint, attempt: Attempt) -> None:
        attempt.go_on(begun.BEGUN, os.getpid())
        self._lock = threading.Lock()
        with self._lock:  # it may be told something before this has returned
            self._watch = endpoint.watch(self._hear)

    def _hear(self, event: Event) -> None:
        if not isinstance(event, StatusChanged):
            return
        with self._lock:
            watch = self._watch
        seen = watch.seen
        if isinstance(seen, Endpoint) and not seen.is_moving:
            watch.stop()
            # Many requests: not on the thread that asks for everybody.
            threading.Thread(target=self._clear_away, args=(replace(seen),), daemon=True).start()

    @staticmethod
    def _clear_away(endpoint: Endpoint) -> None:
        is_served = endpoint.status == IN_SERVICE and not endpoint.is_rolled_back
        with suppress(SmMagicsError):  # the record stays
            if is_served:
                clear_away_late(endpoint)
        begun.leave(endpoint.where, endpoint.name, begun.CLEARING if is_served else begun.FAILED)
