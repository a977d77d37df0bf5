"""Two answers, compared value by value: numbers within a tolerance, all else exactly, and what differs in words.

An answer is taken apart into leaves: arrays of numbers, and single values, each with its path in the answer. A leaf
that differs from call to call says nothing about the package, and is left out if it is named as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_MANY = 4  # parts of an answer that are described


@dataclass(frozen=True)
class Difference:
    """Where two answers differ.

    Attributes
    ----------
    path
        Where in the answer: ``["scores"]``; empty for the answer itself.
    what
        In words.
    """

    path: str
    what: str

    def __str__(self) -> str:
        return f"answer{self.path}: {self.what}"


def differences(
    found: Any, expected: Any, *, tolerance: float, besides: Collection[str] = (), kinds: bool = True
) -> list[Difference]:
    """Return where two answers differ.

    Parameters
    ----------
    found, expected
        Decoded answers, or arrays, tensors and containers of them.
    tolerance
        How far a number may be away, as a share of the largest expected number beside it.
    besides
        Paths whose values are not compared, only their shapes and kinds.
    kinds
        Whether an integer where a float is expected is a difference.
    """
    theirs, ours = dict(_leaves(expected)), dict(_leaves(found))
    result = [Difference(path, "is missing") for path in theirs if path not in ours]
    result += [Difference(path, "is not expected") for path in ours if path not in theirs]
    for path, wanted in theirs.items():
        if path in ours:
            what = _differs(ours[path], wanted, tolerance, kinds=kinds, values=path not in besides)
            result += [Difference(path, what)] if what else []
    return result


def numbers(rows: list[list[str]]) -> Any:
    """Return the cells of a CSV answer as numbers if all of them are."""
    try:
        return [[float(cell) for cell in row] for row in rows]
    except ValueError:
        return rows


def describe(value: Any) -> str:
    """Return what an answer is, in a few words: ``1 × 10 float``, ``4 text``, ``5 × (['digit'] int)``."""
    value = _plain(value)
    if isinstance(value, list) and value and _array(value) is None:
        items = {describe(item) for item in value}
        if len(items) == 1:
            item = items.pop()
            return f"{len(value)} {item}" if item.isalpha() else f"{len(value)} × ({item})"
    leaves = list(_leaves(value))
    if len(leaves) == 1 and not leaves[0][0]:
        return _kind(leaves[0][1])
    paths = [f"{path} {_kind(leaf)}".strip() for path, leaf in leaves[:_MANY]]
    return ", ".join(paths) + (", …" if len(leaves) > _MANY else "")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    value = _plain(value)
    if isinstance(value, Mapping):
        yield from ([(path, {})] if not value else ())
        for key, item in value.items():
            yield from _leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, list):
        array = _array(value)
        if array is not None:
            yield path, array
            return
        yield from ([(path, [])] if not value else ())
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _plain(value: Any) -> Any:
    """Return arrays and tensors as arrays, sequences as lists; all else as it is."""
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "detach"):  # a torch tensor, wherever it lives, of a kind that NumPy may not have
        return np.asarray(value.detach().cpu().tolist())
    if hasattr(value, "to_numpy"):  # pandas
        return value.to_numpy()
    if isinstance(value, np.generic):
        return value.item()
    return value


def _array(value: list[Any]) -> Any:
    """Return nested lists of numbers as an array; None where they are something else, or have no common shape."""
    if not value or not _is_numbers(value):
        return None
    try:
        array = np.array(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" else None


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    return isinstance(value, (int, float))


def _kind(leaf: Any) -> str:
    if isinstance(leaf, np.ndarray):
        name = {"b": "bool", "i": "int", "u": "int", "f": "float"}.get(leaf.dtype.kind, "object")
        return f"{' × '.join(map(str, leaf.shape))} {name}".strip()
    names: dict[type, str] = {str: "text", bytes: "bytes", type(None): "null", dict: "object", list: "empty list"}
    return names.get(type(leaf), type(leaf).__name__)


def _differs(found: Any, wanted: Any, tolerance: float, *, kinds: bool, values: bool) -> str:
    numeric: Callable[[Any], bool] = lambda leaf: isinstance(leaf, (np.ndarray, int, float))  # noqa: E731
    if not (numeric(found) and numeric(wanted)):
        if type(found) is not type(wanted):
            return f"{_kind(found)}, expected {_kind(wanted)}"
        return f"{_short(found)}, expected {_short(wanted)}" if values and found != wanted else ""
    ours, theirs = np.asarray(found), np.asarray(wanted)
    if ours.shape != theirs.shape:
        return f"{_kind(ours)}, expected {_kind(theirs)}"
    if kinds and (ours.dtype.kind == "f") != (theirs.dtype.kind == "f"):
        return f"{_kind(ours)}, expected {_kind(theirs)}"
    return _apart(ours, theirs, tolerance) if values and theirs.size else ""


def _apart(ours: Any, theirs: Any, tolerance: float) -> str:
    a, b = ours.astype("float64"), theirs.astype("float64")
    finite = np.isfinite(a) & np.isfinite(b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    largest = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        away = np.where(finite, np.abs(a - b), np.inf)
    wrong = ~same & (away > tolerance * largest)
    count = int(np.count_nonzero(wrong))
    if not count:
        return ""
    worst = np.unravel_index(int(np.argmax(np.where(wrong, away, -1.0))), a.shape)
    place = f"[{', '.join(map(str, worst))}]" if worst else ""
    numbers = f"{_short(a[worst].item())}, expected {_short(b[worst].item())}"
    of = f"{count} of {a.size} numbers differ, " if a.size > 1 else ""
    return f"{of}{f'at {place} ' if place else ''}{numbers}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - about half a line
