"""An order in which pieces of source run, that depends on the pieces alone and not on how they came.

A piece that reads a name while it is executed comes after the piece that binds it; among those that may come next,
the one with the smallest key does. What is called while a piece is executed counts too: its functions' own reads
must be bound by then. Where such reads go in a circle, those that are certain (the piece's own) win over those that
are possible (through what it may call), and where even those do, the key decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .bindings import Reads


@dataclass(frozen=True)
class Piece:
    """What the order of one piece of source depends on.

    Attributes
    ----------
    key
        Decides between pieces that may stand in any order. Unique.
    defined, imported
        Names that it binds.
    reads
        Names that it reads.
    """

    key: tuple[Any, ...]
    defined: frozenset[str]
    imported: frozenset[str]
    reads: Reads


def running_order(pieces: Sequence[Piece]) -> list[int]:
    """Return the indices of ``pieces`` in an order that runs."""
    by_key = sorted(range(len(pieces)), key=lambda index: pieces[index].key)
    binder: dict[str, int] = {}
    for index in by_key:
        for name in pieces[index].defined:
            binder.setdefault(name, index)
    for index in by_key:
        for name in pieces[index].imported:
            binder.setdefault(name, index)
    certain = [_needed(pieces, binder, index, through_calls=False) for index in range(len(pieces))]
    possible = [_needed(pieces, binder, index, through_calls=True) for index in range(len(pieces))]
    order: list[int] = []
    left = by_key
    while left:
        waiting = set(left)
        ready = next((index for index in left if not possible[index] & waiting), None)
        if ready is None:
            ready = next((index for index in left if not certain[index] & waiting), left[0])
        order.append(ready)
        left = [index for index in left if index != ready]
    return order


def _needed(pieces: Sequence[Piece], binder: dict[str, int], index: int, *, through_calls: bool) -> set[int]:
    own = pieces[index]
    needed: set[int] = set()
    names = list(own.reads.now)
    seen = set(names)
    while names:
        name = names.pop()
        if name in own.defined or name in own.imported:
            source: int | None = index
        else:
            source = binder.get(name)
        if source is None:
            continue
        if source != index:
            needed.add(source)
        if through_calls and name in pieces[source].defined:
            new = pieces[source].reads.later - seen
            seen |= new
            names += new
    return needed
