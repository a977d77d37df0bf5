"""Taking definitions out of source text by their exact spans: what stays, stays byte for byte."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection

from sm_magics.errors import AuthoringError

from .slicing.bindings import Binding, bindings
from .source import Offsets, parse

# Between two statements on one logical line: a semicolon, and perhaps a continued line.
_JOINED = re.compile(r"[ \t\f]*;(?:[ \t\f]|\\(?:\r\n|\r|\n))*")

_EQUALS = re.compile(r"[ \t]*=[ \t]*")


def without(text: str, names: Collection[str]) -> str:
    """Return ``text`` without the top-level statements that bind ``names``.

    With a statement go its decorators and the comment lines directly above it. Of an import only the names in question
    go, of ``a = b = 1`` only the target. Text that does not parse is returned as it is: nothing is known about what it
    binds.

    Raises
    ------
    AuthoringError
        If a statement binds one of ``names`` together with another name and cannot be divided, such as ``a, b = f()``.
    """
    tree = parse(text)
    if tree is None:
        return text
    gone = frozenset(names)
    offsets = Offsets(text)
    whole: set[ast.stmt] = set()
    spans: list[tuple[int, int]] = []
    for binding in bindings(tree):
        if not binding.names & gone:
            continue
        if binding.names <= gone:
            whole.add(binding.node)
        elif isinstance(binding.node, ast.Import | ast.ImportFrom):
            spans += _alias_spans(binding.node, gone, offsets)
        elif isinstance(binding.node, ast.Assign) and (targets := _target_spans(text, binding.node, gone, offsets)):
            spans += targets
        else:
            raise _indivisible(text, binding, gone, offsets)
    for run in _logical_lines(text, tree.body, offsets):
        spans += _statement_spans(text, run, whole, offsets)
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def statement_start(text: str, node: ast.stmt, offsets: Offsets) -> int:
    """Return where a statement begins, the comment lines directly above it included."""
    start = offsets.line_start(offsets.start(node))
    while start > 0:
        above = offsets.line_start(start - 1)
        if not text[above:start].startswith("#"):
            break
        start = above
    return start


def _indivisible(text: str, binding: Binding, gone: frozenset[str], offsets: Offsets) -> AuthoringError:
    line = text[offsets.line_start(offsets.start(binding.node)) :].splitlines()[0]
    taken = ", ".join(sorted(binding.names & gone))
    return AuthoringError(
        f"{taken} is already defined elsewhere, by a statement that defines {', '.join(sorted(binding.names - gone))} "
        f"too and cannot be divided:\n    {line}",
        hint=f"Take {taken} out of that statement first, in the cell that wrote it.",
    )


def _logical_lines(text: str, body: list[ast.stmt], offsets: Offsets) -> list[list[ast.stmt]]:
    """Group statements that share a line, joined by semicolons."""
    runs: list[list[ast.stmt]] = []
    for node in body:
        if runs and _JOINED.fullmatch(text, offsets.end(runs[-1][-1]), offsets.start(node)):
            runs[-1].append(node)
        else:
            runs.append([node])
    return runs


def _statement_spans(text: str, run: list[ast.stmt], whole: set[ast.stmt], offsets: Offsets) -> list[tuple[int, int]]:
    if not any(node in whole for node in run):
        return []
    if all(node in whole for node in run):
        start = statement_start(text, run[0], offsets)
        end = offsets.line_end(offsets.end(run[-1]))
        return [(_blank_before(text, start, offsets), end)]
    spans = []
    last_kept = next(index for index in reversed(range(len(run))) if run[index] not in whole)
    for index, node in enumerate(run):
        if node not in whole:
            continue
        if index < last_kept:
            spans.append((offsets.start(node), offsets.start(run[index + 1])))
        else:
            spans.append((offsets.end(run[index - 1]), offsets.end(node)))
    return spans


def _blank_before(text: str, start: int, offsets: Offsets) -> int:
    """Return where the blank lines above ``start`` begin, so that none pile up where something was taken out."""
    while start > 0:
        above = offsets.line_start(start - 1)
        if text[above:start].strip():
            break
        start = above
    return start


def _alias_spans(node: ast.Import | ast.ImportFrom, gone: frozenset[str], offsets: Offsets) -> list[tuple[int, int]]:
    def bound(alias: ast.alias) -> str:
        return alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)

    spans = []
    last_kept = max(index for index, alias in enumerate(node.names) if bound(alias) not in gone)
    for index, alias in enumerate(node.names):
        if bound(alias) not in gone:
            continue
        if index < last_kept:
            spans.append((offsets.start(alias), offsets.start(node.names[index + 1])))
        else:
            spans.append((offsets.end(node.names[index - 1]), offsets.end(alias)))
    return spans


def _target_spans(text: str, node: ast.Assign, gone: frozenset[str], offsets: Offsets) -> list[tuple[int, int]] | None:
    """Return the spans of the targets in ``a = b = value`` that go, or None where it is more than plain names."""
    spans = []
    for target in node.targets:
        equals = _EQUALS.match(text, offsets.end(target))
        if not isinstance(target, ast.Name) or equals is None:
            return None
        if target.id in gone:
            spans.append((offsets.start(target), equals.end()))
    return spans
