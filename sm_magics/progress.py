"""What long work reports while it goes on. Nothing here draws: who wants to see it passes a listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Progress:
    """How far one phase of the work has come.

    Attributes
    ----------
    phase
        What is being done, as shown to people: ``"Pack"``, ``"Upload"``.
    done, total
        Bytes, or 0 where the phase has no size.
    note
        A few words more, such as a file's name.
    """

    phase: str
    done: int = 0
    total: int = 0
    note: str = ""


@dataclass(frozen=True)
class StatusChanged:
    """SageMaker reports another status for an endpoint or a training job.

    Attributes
    ----------
    name
        The endpoint's or the job's name.
    status
        SageMaker's own word: ``Creating``, ``InService``, ``Failed``, …
    detail
        A training job's ``SecondaryStatus``; empty where SageMaker says no more than the status.
    """

    name: str
    status: str
    detail: str = ""


@dataclass(frozen=True)
class StatusUnknown:
    """SageMaker cannot be asked about an endpoint or a training job at the moment. It goes on unseen.

    Attributes
    ----------
    name
        The endpoint's or the job's name.
    why
        A sentence: no network, expired credentials, too many requests.
    hint
        What to do about it, empty where nothing can be done but wait.
    """

    name: str
    why: str
    hint: str = ""


Event: TypeAlias = Progress | StatusChanged | StatusUnknown
Listener: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Drop the event: the listener of who does not want to know."""
