"""What the extension keeps while the Jupyter server runs: its threads, the answers that are shared, deletions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .flights import Flights
from .lanes import Lane
from .removing import Removals

if TYPE_CHECKING:
    from .places import Place
    from .rows import Known


@dataclass
class State:
    """All that outlives a request.

    Attributes
    ----------
    version
        The version of sm_magics that this process has loaded.
    machine, aws, predictions
        Threads for requests to this machine, to AWS and to models: what hangs in one does not hold up the others.
    known
        What is known about endpoints in detail, by their place; see `rows`.
    is_ready
        Whether the library is imported and set up: not before the first request.
    """

    version: str
    machine: Lane = field(default_factory=lambda: Lane("machine", width=4, waiting=32))
    aws: Lane = field(default_factory=lambda: Lane("aws", width=8, waiting=32))
    predictions: Lane = field(default_factory=lambda: Lane("predictions", width=4, waiting=8))
    flights: Flights = field(default_factory=Flights)
    known: dict[Place, Known] = field(default_factory=dict)
    is_ready: bool = False
    removals: Removals = field(default_factory=Removals)
