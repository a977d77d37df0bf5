"""A prediction as what it is: bars for probabilities, a table for rows, text for text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sm_magics.hosting import Prediction

from . import page, plots, timeline
from .page import OK, Part, Shown

MAX_ROWS, MAX_COLUMNS, MAX_TEXT, MAX_WORD, MAX_LINES, TOP, TOP_LABELLED = 10, 12, 4000, 80, 16, 3, 5
MAX_IMAGE = 4_000_000
"""Bytes of an image that are shown, and so saved with the notebook."""

FEW, BINS = 4, 8
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")

Labels: TypeAlias = Sequence[str] | Mapping[Any, str]


def prediction(value: Prediction, labels: Labels = (), seconds: Sequence[float] = ()) -> Shown:
    """Return an answer, by what it looks like.

    Parameters
    ----------
    labels
        What the classes are called, by their number.
    seconds
        How long each of several requests took, where it was sent more than once.
    """
    kind = value.content_type.partition(";")[0]
    what = " · ".join(word for word in (value.endpoint_name, kind, describe(value.value)) if word)
    repeated = [latencies(seconds)] if seconds else []
    return page.card(OK, "prediction", what, *parts(value, labels), *repeated)


def latencies(seconds: Sequence[float]) -> Part:
    """Return how long requests took, as a small histogram and the usual percentiles."""
    ordered = sorted(seconds)
    said = [
        f"{len(ordered)} requests",
        *(f"p{of} {timeline.duration(_percentile(ordered, of))}" for of in (50, 90, 99)),
    ]
    least, most = ordered[0], ordered[-1]
    width = (most - least) / BINS
    counts = [0] * (BINS if width else 1)
    for value in ordered:
        counts[min(int((value - least) / width), BINS - 1) if width else 0] += 1
    rows = [
        (timeline.duration(least + index * width), page.bar(count / max(counts), 160) if count else "", str(count))
        for index, count in enumerate(counts)
    ]
    head, drawn = page.paragraph(" · ".join(said)), page.table(rows)
    return Part(head.html + drawn.html, f"{head.text}\n{drawn.text}")


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the value that this many of a hundred do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def parts(value: Prediction, labels: Labels = ()) -> list[Part]:
    """Return what a card says of an answer below its head.

    Parameters
    ----------
    labels
        What the classes are called, by their number.
    """
    kind = value.content_type.partition(";")[0].strip().lower()
    if kind in _IMAGES and isinstance(value.value, bytes) and len(value.value) <= MAX_IMAGE:
        return [plots.image(value.value, kind, f"{kind}, {page.size(len(value.value))}")]
    plain = value.value.tolist() if hasattr(value.value, "tolist") else value.value
    drawn = _classes(plain, labels) if labels else None
    return [drawn] if drawn else [*_picture(plain), _body(plain)]


def _picture(value: Any) -> list[Part]:
    """Return a picture of numbers where there are more than a table can show: a line, a heat map."""
    row = value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else value
    if not isinstance(row, list) or _are_probabilities(row):
        return []
    if len(row) > MAX_COLUMNS and all(_is_number(item) for item in row):
        return [plots.line(row, _extent(row))]
    if len(row) < FEW or not all(isinstance(inner, list) for inner in row) or len({len(inner) for inner in row}) > 1:
        return []
    is_large = len(row) > MAX_ROWS or len(row[0]) > MAX_COLUMNS
    if is_large and len(row[0]) >= FEW and all(_is_number(item) for inner in row for item in inner):
        return [plots.heat_map(row, _extent([item for inner in row for item in inner]))]
    return []


def _extent(numbers: Sequence[float]) -> str:
    known = [number for number in numbers if math.isfinite(number)]
    if not known:
        return "no finite number"
    strange = len(numbers) - len(known)
    said = f"{_word(min(known))} to {_word(max(known))}, mean {_word(sum(known) / len(known))}"
    return f"{said}, {strange} not finite" if strange else said


def _classes(value: Any, labels: Labels) -> Part | None:
    """Return scores by the names of their classes, None if this is not one score for each class."""
    rows = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    names = labels if isinstance(labels, Mapping) else dict(enumerate(labels))
    for row in rows:
        if not isinstance(row, list) or len(row) != len(names) or not all(_is_number(item) for item in row):
            return None
    if len(rows) == 1:
        return _bars(rows[0], names, TOP_LABELLED)
    shown = []
    for number, row in enumerate(rows[:MAX_ROWS]):
        best = max(range(len(row)), key=lambda index: row[index])
        share = page.bar(_shares(row)[best], 120)
        shown.append((page.dim(str(number)), _named(names, best), share, _word(float(row[best]))))
    return _cut(page.table(shown), rows=len(rows) - MAX_ROWS)


def _named(names: Mapping[Any, Any], index: int) -> str:
    return _word(str(names.get(index, names.get(str(index), index))))


def _shares(row: Sequence[float]) -> list[float]:
    """Return how long each score's bar is: a probability as it is, any other score between the least and the most."""
    if _are_probabilities(list(row)):
        return list(row)
    least, most = min(row), max(row)
    return [(item - least) / (most - least) if most > least else 1.0 for item in row]


def describe(value: Any) -> str:
    """Return shape and type of an answer in a few words: ``1 × 10 float``, ``12 kB``."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{' × '.join(map(str, value.shape))} {value.dtype}".lstrip()
    if isinstance(value, bytes):
        return page.size(len(value))
    shape, inner = [], value
    while isinstance(inner, list) and inner:
        if len({len(item) if isinstance(item, list) else None for item in inner}) > 1:
            break
        shape.append(len(inner))
        inner = inner[0]
    if not shape or isinstance(inner, list):  # lists of different lengths have no shape
        return ""
    if isinstance(inner, dict) and len(shape) == 1:
        return f"{shape[0]} object{'' if shape[0] == 1 else 's'}"
    name = {bool: "bool", int: "int", float: "float", str: "text"}.get(type(inner), "")
    return f"{' × '.join(map(str, shape))} {name}".rstrip()


def _body(value: Any) -> Part:
    row = value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else value
    if _are_probabilities(row):
        return _bars(row)
    if isinstance(value, list) and value and all(_is_plain(item) for item in value):
        return _rows([value])
    if isinstance(value, list) and value and all(isinstance(row, list) and all(map(_is_plain, row)) for row in value):
        return _rows(value)
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _objects(value)
    if isinstance(value, Mapping) and value and all(_is_plain(item) for item in value.values()):
        return _pairs(value)
    return _text(value) if isinstance(value, (str, bytes)) else _json(value)


def _are_probabilities(row: Any) -> bool:
    if not isinstance(row, list) or len(row) <= 1 or not all(type(item) is float for item in row):
        return False
    return all(0.0 <= item <= 1.0 for item in row) and math.isclose(sum(row), 1.0, abs_tol=1e-3)


def _bars(row: Sequence[float], names: Mapping[Any, Any] | None = None, top: int = TOP) -> Part:
    best = sorted(range(len(row)), key=lambda index: -row[index])[:top]
    shares = _shares(row)
    drawn = page.table((_named(names or {}, index), page.bar(shares[index]), f"{row[index]:.3f}") for index in best)
    if len(row) == len(best):
        return drawn
    rest = page.paragraph(f"{len(row) - len(best)} more, none above {row[best[-1]]:.3f}", dim=True)
    return Part(drawn.html + rest.html, f"{drawn.text}\n{rest.text}")


def _rows(rows: Sequence[Sequence[Any]]) -> Part:
    width = min(MAX_COLUMNS, max(len(row) for row in rows))
    shown = [[_word(item) for item in row[:width]] + [""] * (width - len(row)) for row in rows[:MAX_ROWS]]
    return _cut(
        page.table(shown, numbers=True),
        rows=len(rows) - MAX_ROWS,
        columns=max(len(row) for row in rows) - width,
        of="value" if len(rows) == 1 else "column",
    )


def _objects(rows: Sequence[Mapping[str, Any]]) -> Part:
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    shown = [[_word(row.get(name, "")) for name in names[:MAX_COLUMNS]] for row in rows[:MAX_ROWS]]
    drawn = page.table(shown, [_word(name) for name in names[:MAX_COLUMNS]])
    return _cut(drawn, rows=len(rows) - MAX_ROWS, columns=len(names) - MAX_COLUMNS)


def _pairs(value: Mapping[str, Any]) -> Part:
    shown = [(page.dim(_word(name)), _word(value[name])) for name in list(value)[:MAX_ROWS]]
    return _cut(page.table(shown), rows=len(value) - MAX_ROWS)


def _cut(drawn: Part, *, rows: int, columns: int = 0, of: str = "column") -> Part:
    """Return a table with a line that says how much of it is left out."""
    left = [
        f"{count} more {what}{'' if count == 1 else 's'}" for count, what in ((rows, "row"), (columns, of)) if count > 0
    ]
    if not left:
        return drawn
    rest = page.paragraph(", ".join(left), dim=True)
    return Part(drawn.html + rest.html, f"{drawn.text}\n{rest.text}")


def _json(value: Any) -> Part:
    """Return JSON: what is long is folded below what is in it."""
    whole = _text(value)
    lines = whole.text.count("\n") + 1
    if lines <= MAX_LINES:
        return whole
    inner = _pairs({name: _outline(item) for name, item in value.items()}) if isinstance(value, Mapping) else None
    folded = page.folded(f"JSON, {lines:,} lines", whole)
    return Part((inner.html if inner else "") + folded.html, folded.text)


def _outline(value: Any) -> Any:
    if isinstance(value, Mapping):
        return f"{{…}} {len(value)} name{'' if len(value) == 1 else 's'}"
    if isinstance(value, list):
        return f"[…] {describe(value) or len(value)}"
    return value


def _text(value: Any) -> Part:
    if isinstance(value, bytes):
        return page.paragraph(f"{page.size(len(value))} of binary data", dim=True)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=repr)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}\n… {page.size(len(text) - MAX_TEXT)} more"
    return page.listing(text.splitlines() or [""])


def _is_number(value: Any) -> bool:
    return type(value) in {int, float}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and "\n" not in value)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= MAX_WORD else f"{text[:MAX_WORD]}…"
