"""The text of a percent script: sections' first lines, where sections end, what cannot stand where the cell has it.

Two things cannot stand in the file as they stand in the cell:

- ``from __future__ import …`` must be the first statement of a file. Its lines begin with ``#^ `` in the section, so
  that line numbers stay, and the import stands at the top. It then holds for the whole file.
- A line that looks like a section's first line, in a string or a comment. A section with such a line says where it
  ends: ``# %% NAME [to 1a2b3c4d]`` up to ``# %% end 1a2b3c4d``.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from .source import Offsets, is_docstring, lines_of, parse

NAME = r"\w(?:[\w .,+/-]{0,78}[\w.+/-])?"
"""What a section may be called, as a regular expression."""

_HEADER = re.compile(rf"# %% (?P<name>{NAME})(?: \[to (?P<fence>[0-9a-f]{{8}})\])?[ \t]*\r?\n?")
_LIFTED = "#^ "
_TOP = re.compile(r"from __future__ import (?P<features>[\w, ]+)  # for the sections below\r?\n?")


def split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text before the first section, and each section's name and cell."""
    chunks = _chunks(text)
    preamble = "".join(line for line in lines_of(chunks[0][1]) if not _TOP.fullmatch(line))
    return preamble, [(name, _unlifted(ended(body))) for name, body in chunks[1:] if body.strip()]


def join(preamble: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return the file's text: the inverse of `split` for sections whose text ends with a line feed."""
    top = _with_features(preamble, _features(source for _, source in sections))
    parts = [ended(top) if top and sections else top]
    parts += [_rendered(name, source) for name, source in sections]
    return "\n".join(part for part in parts if part)


def locate(text: str, line: int) -> tuple[str, int]:
    """Return the section that a line of the file ``text`` belongs to and the line within its cell; ("", 0) for none."""
    name, first = "", 0
    for number, _text, header in _marked(text):
        if number > line:
            break
        if header:
            name, first = header, number
    return (name, line - first) if name and line > first else ("", 0)


def _rendered(name: str, source: str) -> str:
    body = _lifted(source)
    if not any(_HEADER.fullmatch(line) for line in lines_of(body)):
        return f"# %% {name}\n{body}"
    fence = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"# %% {name} [to {fence}]\n{body}# %% end {fence}\n"


def _marked(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each line with its number and, for a section's first line, the section's name."""
    fence = ""
    lines = lines_of(text)
    for number, line in enumerate(lines, start=1):
        found = _HEADER.fullmatch(line)
        if fence:
            if found and found["name"] == f"end {fence}":
                fence = ""
                yield number, "", ""
            else:
                yield number, line, ""
        elif found:
            closing = f"end {found['fence']}" if found["fence"] else ""
            # Without its last line, which a person may have deleted, a fence ends where any section does.
            closed = any((end := _HEADER.fullmatch(later)) and end["name"] == closing for later in lines[number:])
            fence = found["fence"] if closing and closed else ""
            yield number, "", found["name"]
        else:
            yield number, line, ""


def _chunks(text: str) -> list[tuple[str, str]]:
    """Split the text into the preamble, named "", and the sections' bodies, without the blank line between them."""
    chunks: list[tuple[str, list[str]]] = [("", [])]
    for _number, line, header in _marked(text):
        if header:
            chunks.append((header, []))
        else:
            chunks[-1][1].append(line)
    joined = [(name, "".join(lines)) for name, lines in chunks]
    return [(name, _without_separator(body)) for name, body in joined[:-1]] + joined[-1:]


def _without_separator(body: str) -> str:
    return body[:-1] if body.endswith("\n\n") else body


def ended(text: str) -> str:
    """Return the text with a line feed at its end."""
    return text if text.endswith("\n") else text + "\n"


def _future_imports(source: str) -> list[ast.ImportFrom]:
    tree = parse(source)
    return [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"] if tree else []


def _features(sources: Iterable[str]) -> list[str]:
    nodes = [node for source in sources for node in _future_imports(source)]
    return sorted({alias.name for node in nodes for alias in node.names})


def _lifted(source: str) -> str:
    """Turn the lines of ``from __future__`` imports into comments."""
    lines = lines_of(source)
    for node in _future_imports(source):
        for index in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[index] = _LIFTED + lines[index]
    return "".join(lines)


def _unlifted(body: str) -> str:
    """Undo `_lifted`."""
    result: list[str] = []
    lines = lines_of(body)
    while lines:
        run = next((index for index, line in enumerate(lines) if not line.startswith(_LIFTED)), len(lines))
        original = "".join(line.removeprefix(_LIFTED) for line in lines[:run])
        result += [original] if _future_imports(original) else lines[:run]
        result += lines[run : run + 1]
        del lines[: run + 1]
    return "".join(result)


def _with_features(preamble: str, features: list[str]) -> str:
    """Put the import of ``features`` where the file's first statement may stand."""
    if not features:
        return preamble
    top = f"from __future__ import {', '.join(features)}  # for the sections below\n"
    mark = "\ufeff" if preamble.startswith("\ufeff") else ""
    text = preamble.removeprefix(mark)
    tree = parse(text)
    if tree is None or not text:
        return mark + top + text
    text = ended(text)
    offsets = Offsets(text)
    if not tree.body:
        place = len(text)
    elif is_docstring(tree.body[0]):
        place = offsets.line_end(offsets.end(tree.body[0]))
    else:
        place = offsets.line_start(offsets.start(tree.body[0]))
    return mark + text[:place] + top + text[place:]
