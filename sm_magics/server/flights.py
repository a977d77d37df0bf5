"""Answers that many ask for: one request under way for all of them, and none before the last answer is old enough.

Nothing is asked on its own account: where nobody asks, nobody is asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .problems import INTERNAL, Problem, of

_logger = logging.getLogger(__name__)

_MOST = 64
"""Answers that are kept, of different places and questions; the one that was asked for longest ago goes first."""

AFTER_PROBLEM = 10.0
"""Seconds for which a problem is the answer: who has no credentials is told so without AWS being asked each time."""

AT_ONCE = 1.0
"""The same for one who wants to know at once: who has logged in, or started what did not run."""


@dataclass(frozen=True)
class Answer:
    """What is known.

    Attributes
    ----------
    value
        The last one that came; None if none did.
    asked
        When that was.
    problem
        Why there was none the last time; None if there was.
    is_waiting
        Whether a newer one is on its way and did not come in time.
    """

    value: Any = None
    asked: datetime | None = None
    problem: Problem | None = None
    is_waiting: bool = False


class _Question:
    def __init__(self) -> None:
        self.answer = Answer()
        self.when = -float("inf")
        self.task: asyncio.Task[None] | None = None
        self.is_outdated = False  # something has changed since it was asked

    def is_new(self, seconds: float, after_problem: float) -> bool:
        return time.monotonic() - self.when < (after_problem if self.answer.problem else seconds)

    async def ask(self, ask: Callable[[], Awaitable[Any]]) -> None:
        self.is_outdated = False
        try:
            value = await ask()
        except Exception as error:  # told to all who have asked
            problem = of(error)
            if problem is INTERNAL:
                _logger.exception("A question to SageMaker failed.")
            self.answer = Answer(self.answer.value, self.answer.asked, problem)
        else:
            self.answer = Answer(value, datetime.now(timezone.utc))
        self.when = -float("inf") if self.is_outdated else time.monotonic()
        self.task = None


class Flights:
    """What was asked, and what is being asked."""

    def __init__(self) -> None:
        self._questions: dict[Hashable, _Question] = {}

    async def ask(
        self,
        key: Hashable,
        ask: Callable[[], Awaitable[Any]],
        *,
        seconds: float,
        patience: float,
        after_problem: float = AFTER_PROBLEM,
    ) -> Answer:
        """Return the answer to a question.

        Parameters
        ----------
        key
            The question.
        ask
            Asks it.
        seconds
            How old an answer may be.
        after_problem
            How old a problem may be.
        patience
            Seconds to wait for one. Who has no more is given what was known before; the request goes on.
        """
        question = self._questions.pop(key, None) or _Question()
        self._questions[key] = question  # at the end now
        self._forget()
        if question.task is None and not question.is_new(seconds, after_problem):
            question.task = asyncio.get_running_loop().create_task(question.ask(ask))
        if question.task is not None:
            done, _ = await asyncio.wait({question.task}, timeout=patience)
            if not done:
                before = question.answer
                return Answer(before.value, before.asked, before.problem, is_waiting=True)
        return question.answer

    def stale(self, key: Hashable) -> None:
        """Have a question asked again by the next who wants to know: something has changed."""
        if key in self._questions:
            self._questions[key].is_outdated = True
            self._questions[key].when = -float("inf")

    def _forget(self) -> None:
        for key in [key for key, question in self._questions.items() if question.task is None][:-_MOST]:
            del self._questions[key]
