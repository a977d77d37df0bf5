"""Requests with bodies, several beside each other: how much of them has been sent is known, and they can be stopped."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

THREADS = 7
_INTERVAL = 0.2  # seconds between two looks at how far they have come
_PATIENCE = 10.0  # seconds that requests get to end when they are not wanted any more


class Stopped(BaseException):
    """Raised inside a request that is not wanted any more. No `Exception`: botocore would try again."""


class Body(io.BytesIO):
    """The bytes of one request, which knows how many of them have been sent and can be stopped.

    Attributes
    ----------
    size, sent
        In bytes.
    """

    def __init__(self, data: bytes, stop: threading.Event) -> None:
        super().__init__(data)
        self.size, self.sent = len(data), 0
        self._stop = stop
        self._is_sent = False  # before that, it is only read to be signed

    def begin(self) -> None:
        """Count from the beginning: a request with these bytes is going to be sent, perhaps not the first."""
        self._refuse()
        self._is_sent, self.sent = True, 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        self._refuse()
        piece = super().read(size)
        if self._is_sent:
            self.sent = self.tell()
        return piece

    def _refuse(self) -> None:
        if self._stop.is_set():
            raise Stopped


class Requests:
    """Requests under way. Progress is told and errors are raised in the thread that starts them.

    Parameters
    ----------
    told
        Called with how many bytes have been sent, every now and then.
    """

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sm_magics-upload")
        self._bodies: dict[Future[object], Body] = {}
        self._done = 0  # bytes

    @classmethod
    @contextmanager
    def beside_each_other(cls, client: Any, told: Callable[[int], None]) -> Iterator[Requests]:
        """Run what is started inside, and wait for all of it; if one fails, or on Ctrl-C, stop the others."""
        client.meta.events.register("before-send", _begin, unique_id="sm-magics-upload")
        requests = cls(told)
        try:
            yield requests
            while requests._bodies:
                requests._settle()
        except BaseException:
            requests._stop.set()
            # Those that have sent all and wait for an answer end by themselves.
            wait(requests._bodies, timeout=_PATIENCE)
            raise
        finally:
            requests._pool.shutdown(wait=False, cancel_futures=True)

    def start(self, data: bytes, request: Callable[[Body], object]) -> None:
        """Begin a request as soon as a thread is free: no more bytes are in memory than are on their way."""
        while len(self._bodies) >= THREADS:
            self._settle()
        body = Body(data, self._stop)
        self._bodies[self._pool.submit(request, body)] = body

    def skip(self, size: int) -> None:
        """Count bytes that need not be sent."""
        self._done += size
        self._tell()

    def _settle(self) -> None:
        """Wait a little for a request to end, and say how far all have come."""
        done, _ = wait(self._bodies, timeout=_INTERVAL, return_when=FIRST_COMPLETED)
        for future in done:
            body = self._bodies.pop(future)
            future.result()
            self._done += body.size
        self._tell()

    def _tell(self) -> None:
        self._told(self._done + sum(body.sent for body in self._bodies.values()))


def _begin(request: Any, **_: Any) -> None:
    if isinstance(request.body, Body):
        request.body.begin()
