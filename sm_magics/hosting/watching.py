"""Everything that is watched at one place, asked about by one thread.

Cards, tables and cells that wait say what they want to hear about; whoever does so first starts the thread, and it ends
when the last one has stopped. Between two rounds it pauses for a time that is never twice the same, longer while
nothing is about to change and longer each time that SageMaker asks for fewer requests. What keeps it from asking (no
network, expired credentials) is told to the listeners as an event, once, and it goes on trying.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from sm_magics.errors import (
    AccessDenied,
    ConfigurationError,
    EndpointNotFound,
    ServiceUnavailable,
    SmMagicsError,
    Throttled,
    TrainingJobNotFound,
)
from sm_magics.progress import Listener, StatusChanged, StatusUnknown

from .connection import Connection, aws_session

if TYPE_CHECKING:
    from typing_extensions import Self

_logger = logging.getLogger(__name__)

SECONDS = {True: 0.25, False: 5.0}
"""Between two rounds while something is on its way, on this machine, and in AWS."""

SETTLED = 6
"""How many times longer while nothing is on its way."""

LONGEST = 120.0
"""Seconds between two rounds at the most, however often SageMaker could not be asked."""

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}

DELETED = "Deleted"
"""The status of what is not there any more. SageMaker has no word for it."""


class Watchable(Protocol):
    """An `Endpoint` or a `TrainingJob`."""

    name: str
    where: str
    status: str

    @property
    def connection(self) -> Connection:
        """The connection that reaches it."""

    @property
    def detail(self) -> str:
        """What SageMaker says beyond the status."""

    @property
    def is_moving(self) -> bool:
        """Whether its status is about to change."""

    def fetch(self) -> Watchable:
        """Ask SageMaker how it is."""


class Pace:
    """How long to pause: about the usual time, twice as long after each hindrance, and soon as usual again.

    Parameters
    ----------
    seconds
        The usual time.
    chance
        Returns a number from 0 to 1. Many kernels that began together must not go on asking together.
    """

    def __init__(self, seconds: float, chance: Callable[[], float] = random.random) -> None:
        self._seconds = seconds
        self._chance = chance
        self._hindrances = 0

    def went_well(self) -> None:
        """Half the way back after each round without a hindrance: what was too fast a minute ago may be so again."""
        self._hindrances //= 2

    def was_hindered(self) -> None:
        """Be slower from now on."""
        self._hindrances += 1

    def pause(self, *, is_settled: bool) -> float:
        """Return the seconds until the next round."""
        usual = self._seconds * (SETTLED if is_settled else 1) * 2.0 ** min(self._hindrances, 16)
        return min(usual, LONGEST) * (0.5 + self._chance())


@dataclass(eq=False)
class Watch:
    """What one listener has asked for.

    Attributes
    ----------
    seen
        The endpoint or the job as it was last seen; a copy that nobody else changes.
    """

    seen: Watchable
    _listener: Listener = field(repr=False)
    _watcher: Watcher = field(repr=False)
    _said: tuple[str, ...] = field(default=(), repr=False)

    def stop(self) -> None:
        """Hear nothing any more."""
        self._watcher.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def tell(self, event: StatusChanged | StatusUnknown) -> None:
        """Tell the listener what it has not just been told. One that raises is not told anything again."""
        said = (event.status, event.detail) if isinstance(event, StatusChanged) else (event.why,)
        if said == self._said or not self._watcher.knows(self):
            return
        self._said = said
        try:
            self._listener(event)
        except Exception:
            _logger.exception("A listener to %s raised, and hears nothing any more.", event.name)
            self.stop()


class Watcher:
    """The thread of one connection.

    Parameters
    ----------
    seconds
        Between two rounds while something is on its way.
    pause
        Called with a `threading.Event` and a number of seconds; returns when either has come. For tests.
    """

    def __init__(
        self,
        seconds: float,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace(seconds)
        self._pause = pause
        self._lock = threading.Lock()
        self._news = threading.Event()  # somebody began or stopped listening
        self._watches: list[Watch] = []
        self._thread: threading.Thread | None = None

    def watch(self, subject: Watchable, listener: Listener) -> Watch:
        """Have a listener told of each status of an endpoint or a job, the present one first."""
        watch = Watch(copy.copy(subject), listener, self)
        with self._lock:
            self._watches.append(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sm_magics-watcher", daemon=True)
                self._thread.start()
        self._news.set()
        return watch

    def forget(self, watch: Watch) -> None:
        """Tell a listener nothing any more."""
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
        self._news.set()

    def knows(self, watch: Watch) -> bool:
        """Return whether somebody still listens."""
        with self._lock:
            return watch in self._watches

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, None while nobody listens."""
        return self._thread

    def _run(self) -> None:
        while True:
            self._news.clear()
            with self._lock:
                if not self._watches:
                    self._thread = None
                    return
                watches = list(self._watches)
            is_settled = self._round(watches)
            self._pause(self._news, self._pace.pause(is_settled=is_settled))

    def _round(self, watches: list[Watch]) -> bool:
        """Ask about each thing once, whoever listens to it; return whether nothing is on its way."""
        subjects: dict[Hashable, list[Watch]] = {}
        for watch in watches:
            subjects.setdefault((type(watch.seen), watch.seen.name), []).append(watch)
        is_settled, is_hindered = True, False
        for alike in subjects.values():
            first = alike[0].seen
            try:
                first.fetch()
            except (EndpointNotFound, TrainingJobNotFound):
                first.status = DELETED
            except Exception as error:  # noqa: BLE001 - whatever it is, no listener gets an exception
                is_hindered = True
                self._explain(error, watches if concerns_all(error) else alike)
                if concerns_all(error):
                    if has_expired(error):
                        renew(first.connection)
                    break
                continue
            is_settled &= not first.is_moving
            for watch in alike:
                watch.seen = first if watch is alike[0] else copy.copy(first)
                watch.tell(StatusChanged(first.name, first.status, first.detail))
                if first.status == DELETED:
                    watch.stop()
        if is_hindered:
            self._pace.was_hindered()
        else:
            self._pace.went_well()
        return is_settled and not is_hindered

    def _explain(self, error: Exception, watches: list[Watch]) -> None:
        why, hint = (error.message, error.hint) if isinstance(error, SmMagicsError) else (repr(error), "")
        if has_expired(error):
            why, hint = (
                "The AWS credentials have expired. It goes on unseen until there are new ones.",
                "!aws sso login",
            )
        elif isinstance(error, Throttled):
            why, hint = "AWS asks for fewer requests: how it is will be asked less often.", ""
        elif isinstance(error, ServiceUnavailable):
            why, hint = "SageMaker cannot be reached from here. It goes on unseen until it can.", ""
        for watch in watches:
            watch.tell(StatusUnknown(watch.seen.name, why, hint))


def concerns_all(error: Exception) -> bool:
    """Return whether an error says nothing about the thing asked for, but about asking at all."""
    return isinstance(error, (Throttled, ServiceUnavailable, ConfigurationError)) or has_expired(error)


def has_expired(error: Exception) -> bool:
    """Return whether the credentials have expired."""
    return isinstance(error, AccessDenied) and error.code in _EXPIRED


def renew(connection: Connection) -> None:
    """Have a connection to AWS read its credentials anew: boto3 itself reads those of a file or of variables once."""
    if connection.is_local:
        return
    with connection._lock:  # noqa: SLF001 - its clients are made under it
        connection.session = aws_session(connection.settings.profile, connection.region)
        connection._clients.clear()  # noqa: SLF001


_watchers: dict[tuple[str, str], Watcher] = {}  # by profile and place
_lock = threading.Lock()


def watch(subject: Watchable, listener: Listener) -> Watch:
    """Have a listener told of each status of an endpoint or a training job until `Watch.stop`.

    The listener is called on the watcher's thread: with `StatusChanged`, the present status first, and with
    `StatusUnknown` while SageMaker cannot be asked. It never sees an exception.
    """
    connection = subject.connection
    key = (connection.settings.profile, connection.where)
    with _lock:
        watcher = _watchers.setdefault(key, Watcher(SECONDS[connection.is_local]))
    return watcher.watch(subject, listener)
