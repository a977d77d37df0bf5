"""A question below a card's buttons, before something is done that costs money or cannot be taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipywidgets

from . import page, widgets
from .live_card import LiveCard, refused
from .page import Part


@dataclass(frozen=True)
class Words:
    """What a question says.

    Attributes
    ----------
    yes, no
        Its buttons.
    looking, doing
        While it looks up what it asks about, and while it does it.
    failed
        What precedes the reason if it could not be done.
    """

    yes: str
    no: str
    looking: str
    doing: str
    failed: str


class Question:
    """A question in the drawer of a card.

    Parameters
    ----------
    button
        What asked it, and is disabled meanwhile.
    prepare
        Looks up what it is about; returns what it says, and what is done if the answer is yes. Both take their time
        on a thread of their own.
    is_risky
        Whether yes takes away what cannot be brought back.
    """

    def __init__(
        self,
        card: LiveCard,
        button: ipywidgets.Button,
        words: Words,
        prepare: Callable[[], tuple[Sequence[Part], Callable[[], None]]],
        *,
        is_risky: bool = False,
    ) -> None:
        self._card, self._button, self._words, self._prepare, self._is_risky = card, button, words, prepare, is_risky
        self._text, self._answers = widgets.Html(), widgets.actions()
        self._is_doing = False
        self.widgets = (self._text.widget, self._answers)

    def ask(self) -> None:
        """Ask."""
        self._button.disabled = True
        self.say(page.paragraph(self._words.looking, dim=True))
        widgets.in_background(self._show, self._refuse)

    def say(self, *parts: Part) -> None:
        """Show something in the question's place."""
        self._text.show(*parts)
        self._card.unfold(self._text.widget)

    def close(self) -> None:
        """Ask no more."""
        self._button.disabled = self._is_doing = False
        self._card.unfold(*self.widgets, is_open=False)

    def _show(self) -> None:
        parts, act = self._prepare()
        self._text.show(*parts)
        self._answers.children = (
            widgets.button(self._words.yes, "", lambda: self._go(act), is_risky=self._is_risky),
            widgets.button(self._words.no, "", self.close),
        )
        self._card.unfold(*self.widgets)

    def _go(self, act: Callable[[], None]) -> None:
        if self._is_doing:  # clicked twice
            return
        self._is_doing = True
        self._card.unfold(self._answers, is_open=False)
        self.say(page.paragraph(self._words.doing, dim=True))
        widgets.in_background(act, self._refuse)

    def _refuse(self, error: Exception) -> None:
        """Say why it could not be done; it may be tried again."""
        self._button.disabled = self._is_doing = False
        self.say(refused(self._words.failed, error))
