"""Python source text as the parser counts it: lines, columns, and whether it parses at all."""

from __future__ import annotations

import ast
import re
import tokenize
import warnings
from bisect import bisect_left, bisect_right
from pathlib import Path

from sm_magics.errors import CellSyntaxError

# What CPython's tokenizer takes for a line; str.splitlines would also split at form feeds and Unicode separators.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_CODING = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+", re.ASCII)  # PEP 263
_MAGIC = re.compile(r"\s*(?:[%!?]|[\w, ]+=\s*[%!])|.*\?\s*$")


def lines_of(text: str) -> list[str]:
    """Return the lines of ``text``, each with its line end, as Python numbers them."""
    return [found[0] for found in _LINE.finditer(text)]


class Offsets:
    """From the parser's positions (line from 1, column in UTF-8 bytes) to offsets in the text."""

    def __init__(self, text: str) -> None:
        self._lines = lines_of(text)
        self._starts: list[int] = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        """Return the offset in characters of a position that an ``ast`` node carries."""
        before = self._lines[line - 1].encode()[:column] if line <= len(self._lines) else b""
        return self._starts[line - 1] + len(before.decode())

    def start(self, node: ast.stmt | ast.alias | ast.expr) -> int:
        """Return where the node begins, its decorators included."""
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        if decorators:
            return self._starts[min(decorator.lineno for decorator in decorators) - 1]
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.stmt | ast.alias | ast.expr) -> int:
        """Return where the node ends."""
        return self.at(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def line_start(self, offset: int) -> int:
        """Return the offset at which the line that holds ``offset`` begins."""
        return self._starts[bisect_right(self._starts, offset) - 1]

    def line_end(self, offset: int) -> int:
        """Return the offset just after the line that holds the character before ``offset``."""
        return self._starts[min(bisect_left(self._starts, offset), len(self._starts) - 1)]


def parse(text: str) -> ast.Module | None:
    """Return the syntax tree, or None if the text is not Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def read_module(path: Path) -> str:
    """Return the text of a module, to be written as UTF-8, whatever encoding the file declares (PEP 263).

    Raises
    ------
    OSError, SyntaxError, ValueError
        If it cannot be read, or is not in the encoding that it declares.
    """
    with tokenize.open(path) as file:
        lines = file.readlines()
    lines[:2] = [_CODING.sub(r"\1utf-8", line) for line in lines[:2]]
    return "".join(lines)


def parse_cell(text: str, *, filename: str = "the cell") -> ast.Module:
    """Return the syntax tree of a cell that has to be a module's source.

    Raises
    ------
    CellSyntaxError
        If it is not: the message quotes the line and points at the column. IPython's own syntax (``%magic``,
        ``!command``, ``name?``) and ``await`` outside a function work in a notebook but not in a module.
    """
    if "\0" in text:  # a ValueError without a line in Python 3.10, a SyntaxError later
        raise CellSyntaxError(
            f"Line {len(lines_of(text[: text.index(chr(0)) + 1]))} of {filename} holds a null byte.",
            hint="Delete it, or write it as \\0 in a string; nothing was written.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Compiling finds what parsing alone does not: `return` outside a function, unknown future features.
            compile(text, filename, "exec", dont_inherit=True)
            return ast.parse(text)
        except SyntaxError as error:
            raise _syntax_error(text, filename, error) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise CellSyntaxError(
                f"What stands in {filename} cannot be read as Python: {error}.", hint="Nothing was written."
            ) from None


def is_docstring(node: ast.stmt) -> bool:
    """Return whether a statement is nothing but a string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _syntax_error(text: str, filename: str, error: SyntaxError) -> CellSyntaxError:
    number = error.lineno or 1
    lines = lines_of(text)
    line = lines[number - 1].rstrip("\r\n") if 0 < number <= len(lines) else (error.text or "").rstrip("\r\n")
    caret = " " * max((error.offset or 1) - 1, 0) + "^"
    message = f"Line {number} of {filename} is not Python: {error.msg}.\n    {line}\n    {caret}"
    if _MAGIC.match(line):
        hint = "Magics and shell commands do not exist in the container: take this line out of the cell."
    elif "'await' outside" in str(error.msg):
        hint = "Only a notebook can await at the top level: call it from a function, with asyncio.run."
    else:
        hint = "Correct the line and run the cell again; nothing was written."
    return CellSyntaxError(message, hint=hint)
