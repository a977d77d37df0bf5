"""A place in the notebook: the section and the cell that it is in, linked, and its lines with one of them marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from sm_magics.packaging.report import Frame

from . import page
from .page import BAD, Part

HERE = "#"
"""The notebook that a live card is in: JupyterLab follows a fragment alone, and never leaves the page for it. In what
is saved it resolves the notebook's name instead."""


def place(frame: Frame, notebook: str) -> Part:
    """Return where a frame is; linked to its cell where the front end can follow that."""
    where = link(frame.where, frame.cell_id, notebook).html
    function = f"<code>{page.escape(frame.function)}</code>, " if frame.function else ""
    text = f"{frame.function}, {frame.where}" if frame.function else frame.where
    return Part(f"<p>{function}{where}</p>", f"  {text}")


def link(words: str, cell_id: str, notebook: str) -> Part:
    """Return words that lead to a cell; words alone where the cell or the notebook is not known.

    Parameters
    ----------
    notebook
        Its path, or `HERE`.
    """
    name = PurePosixPath(notebook).name if notebook != HERE else ""
    if not cell_id or not (notebook == HERE or name.endswith(".ipynb")):
        return Part(page.escape(words), words)
    target = page.escape(f"{quote(name)}#cell-id={quote(cell_id)}")
    return Part(f'<a href="{target}">{page.escape(words)}</a>', words)


def excerpt(lines: Sequence[tuple[int, str]], marked: int) -> Part:
    """Return numbered lines, of which one is marked."""
    width = len(str(lines[-1][0])) if lines else 0
    html, text = [], []
    for number, line in lines:
        sign = "▸" if number == marked else " "
        drawn = f"{sign} {number:>{width}}  {line}"
        html.append(page.sign(BAD, drawn).html if number == marked else page.escape(drawn))
        text.append(f"  {drawn}".rstrip())
    return Part(f"<pre>{chr(10).join(html)}</pre>", "\n".join(text))
