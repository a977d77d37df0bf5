"""``inference.py`` as the cells that wrote it: a percent script. Pure text in, text out.

::

    what a person wrote by hand at the top, kept as it is

    # %% imports torch
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

The text form itself is `percent`'s.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sm_magics.errors import AuthoringError

from . import percent
from .contract import HANDLERS
from .editing import without
from .slicing.bindings import definitions, imports, reads
from .slicing.ordering import Piece, running_order
from .source import is_docstring, parse, parse_cell

PREAMBLE = "(top of the file)"
"""What the text before the first section is called where a section's name is expected."""

SETUP = "setup"
"""The section of a cell that defines nothing and does more than import."""

_LONGEST_LIST = 70  # characters of a name that lists imports


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
        preamble, parts = percent.split(text)
        sections: dict[str, str] = {}
        for name, source in parts:
            sections[name] = sections.get(name, "") + source
        return cls(preamble, tuple(Section(name, source) for name, source in sections.items()))

    def render(self) -> str:
        """Return the file's text."""
        return percent.join(self.preamble, [(section.name, section.source) for section in self.sections])

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
            first name that it defines; else ``imports`` and what it imports, or `SETUP` if it does something else.
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
            raise AuthoringError(
                "The cell has no code; nothing was written.",
                hint="%%sm_inference NAME above such a cell removes the section of that name.",
            )
        name = derived_name(tree) if name is None else _checked_name(name)
        section = Section(name, percent.ended(source))
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


def derived_name(tree: ast.Module) -> str:
    """Return the name of the section for a cell that was given none."""
    defined = _defined(tree)
    for handler in HANDLERS:
        if handler in defined:
            return handler
    if defined:
        return _as_section(defined[0])
    imported = sorted(imports(tree))
    only_imports = all(isinstance(node, ast.Import | ast.ImportFrom) or is_docstring(node) for node in tree.body)
    if not only_imports or not imported:
        return SETUP
    name = f"imports {imported[0]}"
    for more in imported[1:]:
        if len(name) + len(more) > _LONGEST_LIST:
            break
        name += f", {more}"
    return _as_section(name)


def _as_section(name: str) -> str:
    """Return a name for a section: identifiers may be longer, and hold characters that sections' names do not."""
    return re.sub(r"[^\w ,]", "_", name)[:80]


def _checked_name(name: str) -> str:
    if re.fullmatch(percent.NAME, name):
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
    if not all(isinstance(node, ast.Import | ast.ImportFrom) or is_docstring(node) for node in tree.body):
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
