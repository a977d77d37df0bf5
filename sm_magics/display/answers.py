"""A prediction as what it is: bars for probabilities, a table for rows, text for text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sm_magics.hosting import Prediction

from . import page
from .page import OK, Part, Shown

MAX_ROWS, MAX_COLUMNS, MAX_TEXT, MAX_WORD, TOP = 10, 12, 4000, 80, 3


def prediction(value: Prediction) -> Shown:
    """Return an answer, by what it looks like."""
    answer = value.value.tolist() if hasattr(value.value, "tolist") else value.value
    kind = value.content_type.partition(";")[0]
    what = " · ".join(word for word in (value.endpoint_name, kind, describe(value.value)) if word)
    return page.card(OK, "prediction", what, _body(answer))


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
    return _text(value)


def _are_probabilities(row: Any) -> bool:
    if not isinstance(row, list) or len(row) <= 1 or not all(type(item) is float for item in row):
        return False
    return all(0.0 <= item <= 1.0 for item in row) and math.isclose(sum(row), 1.0, abs_tol=1e-3)


def _bars(row: Sequence[float]) -> Part:
    best = sorted(range(len(row)), key=lambda index: -row[index])[:TOP]
    drawn = page.table((str(index), page.bar(row[index]), f"{row[index]:.3f}") for index in best)
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
    )


def _objects(rows: Sequence[Mapping[str, Any]]) -> Part:
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    shown = [[_word(row.get(name, "")) for name in names[:MAX_COLUMNS]] for row in rows[:MAX_ROWS]]
    drawn = page.table(shown, [_word(name) for name in names[:MAX_COLUMNS]])
    return _cut(drawn, rows=len(rows) - MAX_ROWS, columns=len(names) - MAX_COLUMNS)


def _pairs(value: Mapping[str, Any]) -> Part:
    shown = [(page.dim(_word(name)), _word(value[name])) for name in list(value)[:MAX_ROWS]]
    return _cut(page.table(shown), rows=len(value) - MAX_ROWS)


def _cut(drawn: Part, *, rows: int, columns: int = 0) -> Part:
    """Return a table with a line that says how much of it is left out."""
    left = [
        f"{count} more {what}{'' if count == 1 else 's'}"
        for count, what in ((rows, "row"), (columns, "column"))
        if count > 0
    ]
    if not left:
        return drawn
    rest = page.paragraph(", ".join(left), dim=True)
    return Part(drawn.html + rest.html, f"{drawn.text}\n{rest.text}")


def _text(value: Any) -> Part:
    if isinstance(value, bytes):
        return page.paragraph(f"{page.size(len(value))} of binary data", dim=True)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=repr)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}\n… {page.size(len(text) - MAX_TEXT)} more"
    return page.listing(text.splitlines() or [""])


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and "\n" not in value)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= MAX_WORD else f"{text[:MAX_WORD]}…"
