"""What came of the recorded sample that is sent to endpoints: once for each configuration in service."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sm_magics.hosting import Endpoint
    from sm_magics.hosting.verifying import Verification

    from .session import SmMagics


class Samples:
    """The answers to the last package's sample, of one kernel."""

    def __init__(self, session: SmMagics) -> None:
        self._session = session
        self._answers: dict[tuple[str, str, str], Verification] = {}  # by place, name and configuration
        self._lock = threading.Lock()  # a card and a cell may ask at the same time

    def __call__(self, endpoint: Endpoint) -> Verification | None:
        """Return what came of the sample; None where there is none, or something else is served."""
        package = self._session.last_package
        if package is None or package.sample is None or endpoint.is_rolled_back:
            return None
        from sm_magics.hosting import verifying

        from . import checking

        if not verifying.serves(endpoint, package):
            return None
        key = (endpoint.where, endpoint.name, endpoint.config_name)
        with self._lock:
            if key not in self._answers:
                found = verifying.verify(endpoint, package, checking.own_proof(self._session, package))
                if found is None or found.answered is None:
                    return found  # asked again the next time
                self._answers[key] = found
            return self._answers[key]
