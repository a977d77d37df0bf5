"""``inference.py`` as the cells that wrote it: a percent script. Pure text in, text out.

::

    what a person wrote by hand at the top, kept as it is

    # %% imports
    import torch

    # %% model_fn
    def model_fn(model_dir):
        ...

A line ``# %% NAME`` begins a section. Its text is the cell's text, byte for byte; if the last line has no line end it
gets one. The order of the sections follows from what they contain, never from when they were written:

1. A section that another one needs *while the file is executed* comes before it: a base class, a decorator, a default
   argument, a function that is called at the top level, and what that function needs in turn (see ``ordering``).
2. Otherwise sections that define nothing come first (imports, settings), then those that define something but no
   handler, then the handlers, in the order of the contract; equals by name.

Two things cannot stand in the file as they stand in the cell:

- ``from __future__ import …`` must be the first statement of a file. Its lines begin with ``#^ `` in the section, so
  that line numbers stay, and the import stands at the top. It then holds for the whole file.
- A cell that contains a line which looks like a section's first line. That section says where it ends:
  ``# %% NAME [to 1a2b3c4d]`` up to ``# %% end 1a2b3c4d``.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sm_magics.errors import AuthoringError

from .bindings import definitions, imports, reads
from .contract import HANDLERS
from .editing import without
from .ordering import Piece, running_order
from .source import Offsets, lines_of, parse, parse_cell

PREAMBLE = "(top of the file)"
"""What the text before the first section is called where a section's name is expected."""

_NAME = r"\w(?:[\w .,+/-]{0,78}[\w.+/-])?"
_HEADER = re.compile(rf"# %% (?P<name>{_NAME})(?: \[to (?P<fence>[0-9a-f]{{8}})\])?[ \t]*\r?\n?")
_LIFTED = "#^ "
_TOP = re.compile(r"from __future__ import (?P<features>[\w, ]+)  # for the sections below\r?\n?")


@dataclass(frozen=True)
class Section:
    """One cell of the script.

    Attributes
    ----------
    name
        What stands after ``# %%``.
    source
        The cell's text, with a line end.
    """

    name: str
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def defined(self) -> tuple[str, ...]:
        """The names that it defines, and the handlers that it imports."""
        return _defined(parse(self.source))


@dataclass(frozen=True)
class Merge:
    """A script after a cell has been put into it.

    Attributes
    ----------
    script
        The new script.
    section
        The cell's section.
    replaced
        Whether a section of that name was there.
    taken_over
        Names that other sections defined, and which section lost each.
    """

    script: Script
    section: Section
    replaced: bool
    taken_over: Mapping[str, str]


@dataclass(frozen=True)
class Script:
    """A percent script: the text before the first section, and the sections in the file's order."""

    preamble: str = ""
    sections: tuple[Section, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Script:
        """Read a script. Any text is one: without a section's first line it is all preamble.

        Sections of the same name, which only a person makes, are read as one.
        """
        chunks = _chunks(text)
        preamble = "".join(line for line in lines_of(chunks[0][1]) if not _TOP.fullmatch(line))
        sections: dict[str, str] = {}
        for name, body in chunks[1:]:
            if body.strip():
                sections[name] = sections.get(name, "") + _unlifted(_ended(body))
        return cls(preamble, tuple(Section(name, source) for name, source in sections.items()))

    def render(self) -> str:
        """Return the file's text."""
        top = _with_features(self.preamble, self._features())
        parts = [_ended(top) if top and self.sections else top]
        parts += [_rendered(section) for section in self.sections]
        return "\n".join(part for part in parts if part)

    def section(self, name: str) -> Section | None:
        """Return the section of that name."""
        return next((section for section in self.sections if section.name == name), None)

    def defined(self) -> dict[str, str]:
        """Return every name that the file defines, and the section that does so (`PREAMBLE` for the top)."""
        found = dict.fromkeys(_defined(parse(self.preamble.lstrip("\ufeff"))), PREAMBLE)
        for section in self.sections:
            found.update(dict.fromkeys(section.defined, section.name))
        return found

    def merged(self, source: str, *, name: str | None = None, instead_of: str | None = None) -> Merge:
        """Put a cell into the script.

        Parameters
        ----------
        source
            The cell's text.
        name
            Its section. Without it the first handler that the cell defines, in the order of the contract; else the
            first name that it defines; else ``imports``, or ``setup`` if it does more than import.
        instead_of
            A section that this one replaces although it has another name: the same cell wrote it.

        Raises
        ------
        CellSyntaxError
            If the cell does not parse.
        AuthoringError
            If the cell is empty, the name is no name for a section, or another section defines a name of this cell
            in a statement that cannot be divided.
        """
        tree = parse_cell(source)
        if not tree.body:
            raise AuthoringError("The cell has no code.", hint="Nothing was written.")
        name = derived_name(tree) if name is None else _checked_name(name)
        section = Section(name, _ended(source))
        others = [other for other in self.sections if other.name not in {name, instead_of}]
        taken: dict[str, str] = {}
        preamble = _yield_names(self.preamble, PREAMBLE, tree, taken)
        kept = []
        for other in others:
            rest = _yield_names(other.source, other.name, tree, taken)
            if rest == other.source or not _is_spent(rest, [*(o for o in others if o is not other), section]):
                kept.append(replace(other, source=rest))
        script = Script(preamble, _ordered([*kept, section]))
        replaced = len(others) < len(self.sections)
        return Merge(script, section, replaced, taken)

    def _features(self) -> list[str]:
        found = set()
        for section in self.sections:
            for node in _future_imports(section.source):
                found |= {alias.name for alias in node.names}
        return sorted(found)


def locate(text: str, line: int) -> tuple[str, int]:
    """Return the section that a line of the file ``text`` belongs to and the line within its cell; ("", 0) for none."""
    name, first = "", 0
    for number, _text, header in _marked(text):
        if number > line:
            break
        if header:
            name, first = header, number
    return (name, line - first) if name and line > first else ("", 0)


def derived_name(tree: ast.Module) -> str:
    """Return the name of the section for a cell that was given none."""
    defined = _defined(tree)
    for handler in HANDLERS:
        if handler in defined:
            return handler
    if defined:
        return defined[0]
    only_imports = all(isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node) for node in tree.body)
    return "imports" if only_imports else "setup"


def _checked_name(name: str) -> str:
    if re.fullmatch(_NAME, name):
        return name
    raise AuthoringError(
        f"{name!r} cannot be a section's name.",
        hint="Letters, digits and any of '_ .,+/-', at most 80 of them, such as: %%sm_inference image decoding",
    )


def _defined(tree: ast.Module | None) -> tuple[str, ...]:
    if tree is None:
        return ()
    imported = imports(tree)
    found = definitions(tree)
    found.update(dict.fromkeys(handler for handler in HANDLERS if handler in imported))
    return tuple(found)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


# Taking over


def _yield_names(text: str, label: str, tree: ast.Module, taken: dict[str, str]) -> str:
    """Return ``text`` without what the cell ``tree`` binds itself, and note in ``taken`` what was lost."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    own = parse(text.removeprefix(mark))
    if own is None:
        return text
    new_definitions, new_imports = definitions(tree), imports(tree)
    old_definitions, old_imports = definitions(own), imports(own)
    lost = {name for name in old_definitions if name in new_definitions or name in new_imports}
    # The same import in two places is no second definition; another thing under the same name is.
    lost |= {
        name
        for name, origins in old_imports.items()
        if name in new_definitions or (name in new_imports and (new_imports[name] != origins or name in HANDLERS))
    }
    if not lost:
        return text
    taken.update(dict.fromkeys(sorted(lost), label))
    return mark + without(text.removeprefix(mark), lost)


def _is_spent(text: str, others: list[Section]) -> bool:
    """Return whether what is left of a section is nothing that the others need."""
    tree = parse(text)
    if tree is None:
        return False
    if not all(isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node) for node in tree.body):
        return False
    if any(alias.name == "*" for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names):
        return False
    needed: set[str] = set()
    provided: set[str] = set()
    for other in others:
        own = parse(other.source)
        if own is None:
            return False
        read = reads(other.source)
        needed |= (read.now | read.later) - set(imports(own))
        provided |= set(imports(own))
    return not set(imports(tree)) & (needed - provided)


# Order


def _ordered(sections: list[Section]) -> tuple[Section, ...]:
    pieces = []
    for section in sections:
        tree = parse(section.source)
        defined = _defined(tree)
        pieces.append(
            Piece(
                key=(_rank(defined), section.name),
                defined=frozenset(defined),
                imported=frozenset(imports(tree)) - frozenset(defined) if tree else frozenset(),
                reads=reads(section.source),
            )
        )
    return tuple(sections[index] for index in running_order(pieces))


def _rank(defined: tuple[str, ...]) -> int:
    for place, handler in enumerate(HANDLERS):
        if handler in defined:
            return 2 + place
    return 1 if defined else 0


# Text


def _rendered(section: Section) -> str:
    body = _lifted(section.source)
    if not any(_HEADER.fullmatch(line) for line in lines_of(body)):
        return f"# %% {section.name}\n{body}"
    fence = section.digest[:8]
    return f"# %% {section.name} [to {fence}]\n{body}# %% end {fence}\n"


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


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _future_imports(source: str) -> list[ast.ImportFrom]:
    tree = parse(source)
    return [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"] if tree else []


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
    text = _ended(text)
    offsets = Offsets(text)
    if not tree.body:
        place = len(text)
    elif _is_docstring(tree.body[0]):
        place = offsets.line_end(offsets.end(tree.body[0]))
    else:
        place = offsets.line_start(offsets.start(tree.body[0]))
    return mark + text[:place] + top + text[place:]
