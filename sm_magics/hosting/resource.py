"""What is found again at a SageMaker by its name, and has a status that changes: an endpoint, a training job."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sm_magics.errors import BackendError
from sm_magics.progress import Listener, StatusChanged
from sm_magics.settings import LOCAL, Settings

from . import watching
from .connection import Connection, connect

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(repr=False)
class Resource(ABC):
    """Something at a SageMaker.

    Attributes
    ----------
    name
        Its name.
    where
        ``local`` or the AWS region's name.
    status, detail
        SageMaker's own word, as of the last `fetch`, and what it says beyond that: a training job's
        ``SecondaryStatus``.
    reason
        ``FailureReason``, empty unless it failed.
    created
        When; an aware datetime.
    """

    name: str
    where: str = LOCAL
    status: str = ""
    detail: str = ""
    reason: str = ""
    created: datetime | None = None
    settings: Settings = field(default_factory=Settings, kw_only=True)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.place}, {self.status or 'not fetched'})"

    @property
    def place(self) -> str:
        """The place as it is shown to people."""
        return "this machine" if self.where == LOCAL else self.where

    @property
    def connection(self) -> Connection:
        """The connection that reaches it; on this machine the service is started if it is not running."""
        return connect(self.settings.override(region=self.where))

    @property
    @abstractmethod
    def is_moving(self) -> bool:
        """Whether it was on its way to another status when last fetched."""

    @abstractmethod
    def fetch(self) -> Self:
        """Ask SageMaker how it is; return itself."""

    @abstractmethod
    def logs(self) -> list[str]:
        """Return every line that its containers have printed."""

    def known_log(self) -> list[str]:
        """Return its log; nothing where that cannot be had: SageMaker's own reason is better than an error about it."""
        try:
            return self.logs()
        except BackendError:
            return []

    def watch(self, listener: Listener) -> watching.Watch:
        """Have a listener told of each status from now on, on a thread of its own. See `watching.watch`."""
        return watching.watch(self, listener)

    def settle(self, pause: float, timeout: float | None, listener: Listener) -> bool:
        """Ask how it is until it is not on its way any more; return whether that came in time.

        Parameters
        ----------
        pause
            Seconds between two looks.
        timeout
            Seconds; None waits as long as it takes.
        listener
            Is told each status.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        clock, last = threading.Event(), ("", "")
        while True:
            self.fetch()
            if (self.status, self.detail) != last:
                last = self.status, self.detail
                listener(StatusChanged(self.name, *last))
            if not self.is_moving:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            clock.wait(pause)
