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
    """SageMaker reports another status for an endpoint.

    Attributes
    ----------
    name
        The endpoint's name.
    status
        SageMaker's own word: ``Creating``, ``InService``, ``Failed``, …
    """

    name: str
    status: str


Event: TypeAlias = Progress | StatusChanged
Listener: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Drop the event: the listener of who does not want to know."""
