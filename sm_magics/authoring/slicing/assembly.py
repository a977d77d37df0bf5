"""The pieces of a slice put together as a person would: imports at the top, the rest in an order that runs."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sm_magics.authoring.cells import Statement
from sm_magics.authoring.editing import without

from .live import own_file
from .ordering import Piece, running_order
from .values import OBJECTS


def assembled(
    taken: Mapping[str, Statement], *, wanted: Collection[str], features: Collection[str], objects: Collection[str]
) -> tuple[str, tuple[str, ...]]:
    """Return source that runs, and the names that it defines in its order.

    Parameters
    ----------
    taken
        The statements, by what they were taken for; one may be there several times.
    wanted
        Names that are to be there although no statement reads them.
    features
        ``from __future__`` features.
    objects
        Names that are imported from `OBJECTS`.
    """
    by_text = {statement.text: statement for statement in taken.values()}
    used = {*wanted} | {read for statement in taken.values() for read in statement.reads.now | statement.reads.later}
    tops: dict[str, tuple[int, int]] = {}
    pieces: list[Piece] = []
    texts: list[str] = []
    for text, statement in by_text.items():
        if isinstance(statement.node, ast.Import | ast.ImportFrom):
            tops.setdefault(without(text, statement.binding.names - used), statement.place)
            continue
        texts.append(text)
        pieces.append(
            Piece(
                key=(*statement.place, text),
                defined=frozenset(statement.binding.defined),
                imported=frozenset(statement.binding.imported),
                reads=statement.reads,
            )
        )
    order = running_order(pieces)
    parts = [f"from __future__ import {', '.join(sorted(features))}\n"] if features else []
    imports = "".join(sorted(tops, key=lambda text: (tops[text], text)))
    if objects:
        imports += f"{chr(10) if imports else ''}from {OBJECTS} import {', '.join(sorted(objects))}\n"
    parts += [imports] if imports else []
    body = _paragraphs([(texts[index], by_text[texts[index]].node) for index in order])
    names = tuple(dict.fromkeys(name for index in order for name in sorted(pieces[index].defined)))
    return "\n".join(parts) + ("\n\n" if parts and body else "") + body, names


def own_modules(found: Iterable[Statement]) -> Iterator[tuple[str, Path]]:
    """Yield the modules of the user's own that the statements import, and their files."""
    for statement in found:
        for node in ast.walk(statement.node):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                if (path := own_file(name)) is not None:
                    yield name, path


def _paragraphs(parts: Sequence[tuple[str, ast.stmt]]) -> str:
    """Join statements: two blank lines around definitions, none between assignments."""
    text = ""
    before: ast.stmt | None = None
    for part, node in parts:
        if before is not None:
            simple = not any(
                isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for one in (before, node)
            )
            text += "" if simple else "\n\n"
        text += part
        before = node
    return text
