"""Values of the notebook that travel as what they are now: as source, or as files that the source loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .live import written_out

OBJECTS = "sm_objects"
"""The module that gives the code in ``code/`` the notebook's objects that travel as files."""


@dataclass(frozen=True)
class AsSource:
    """An expression that gives an equal value.

    Attributes
    ----------
    text
        The expression.
    needs
        Import statements and definitions that have to come before it.
    names
        Classes and functions of the notebook that it refers to, by name.
    values
        Values that it refers to by a name of its own, and that travel in turn.
    """

    text: str
    needs: tuple[str, ...] = ()
    names: Mapping[str, object] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)


class Values(Protocol):
    """How values travel: what is written depends on the libraries that are at hand."""

    def as_source(self, name: str, value: Any) -> AsSource | None:
        """Return an expression that one would want in source code for a variable's value; None if there is none."""

    def as_file(self, value: Any) -> bool:
        """Return whether the value is kept in a file without being asked to."""

    def as_file_if_asked(self, name: str, value: Any) -> bool:
        """Return whether a variable's value can be kept in a file."""


class PlainValues:
    """Numbers, text and containers of them, as source."""

    def as_source(self, name: str, value: Any) -> AsSource | None:  # noqa: ARG002 - of the protocol
        """Return its literal, if it is small."""
        text = written_out(value)
        return None if text is None else AsSource(text)

    def as_file(self, value: Any) -> bool:  # noqa: ARG002 - of the protocol
        """Return whether it can be kept in a file: nothing can."""
        return False

    def as_file_if_asked(self, name: str, value: Any) -> bool:  # noqa: ARG002 - of the protocol
        """Return whether it can be kept in a file: nothing can."""
        return False
