"""What was just created is not known everywhere at once: whoever refers to it asks again for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sm_magics.errors import BackendError, EndpointNotFound

from . import faults
from .connection import Connection

T = TypeVar("T")

SECONDS = 30.0
"""How long what was just created may be unknown. Seen with SageMaker are a few seconds, and seldom."""

PAUSE = 1.0
"""Seconds between two requests."""


def until_known(send: Callable[[], T], connection: Connection) -> T:
    """Send a request that refers to something just created; again, as long as it is said not to be there.

    Raises
    ------
    EndpointNotFound, BackendError
        What was said last, after `SECONDS`; anything else at once.
    """
    deadline, pause = time.monotonic() + SECONDS, threading.Event()
    while True:
        try:
            with connection.calling():
                return send()
        except (BackendError, EndpointNotFound) as error:
            if not faults.is_missing(error) or time.monotonic() >= deadline:
                raise
        pause.wait(PAUSE)
