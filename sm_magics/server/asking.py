"""A question to a place: on its own threads, shared by all who ask it, and never longer than a browser would wait."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from sm_magics.errors import SmMagicsError

from .flights import AFTER_PROBLEM, AT_ONCE, Answer
from .places import Place
from .problems import Problem, Refused, of
from .state import State

Result = TypeVar("Result")

PATIENCE = 20.0
"""Seconds after which a browser is told that there is no answer yet."""

_STALE = {"ExpiredToken", "UnknownCaller", "NoCredentials"}


async def on(state: State, place: Place, work: Callable[[], Result]) -> Result:
    """Return what `work` returns, on a thread for requests to that place."""

    def asked() -> Result:
        try:
            return work()
        except SmMagicsError as error:
            if of(error).code in _STALE:
                place.renew()
            raise

    return await (state.machine if place.is_local else state.aws).run(asked)


async def shared(
    state: State,
    what: Hashable,
    place: Place,
    work: Callable[[], object],
    *,
    seconds: float,
    patience: float,
    at_once: bool = False,
) -> Answer:
    """Return the answer that all share who ask the same of the same place. See `flights.Flights.ask`."""
    return await state.flights.ask(
        (what, place),
        lambda: on(state, place, work),
        seconds=seconds,
        patience=patience,
        after_problem=AT_ONCE if at_once or place.is_local else AFTER_PROBLEM,
    )


async def value(state: State, what: Hashable, place: Place, work: Callable[[], Result]) -> Result:
    """Return what `work` returns for all who ask at the same time.

    Raises
    ------
    Refused
        With what went wrong, or that there is no answer yet.
    """
    answer = await shared(state, what, place, work, seconds=AT_ONCE, patience=PATIENCE, at_once=True)
    if answer.is_waiting:
        raise Refused(
            Problem(
                504,
                "Timeout",
                f"There is no answer from {place.shown} yet. It is still being waited for: ask again.",
            )
        )
    if answer.problem:
        raise Refused(answer.problem)
    result: Result = answer.value
    return result
