"""Whether the files in ``code/`` are still what the cells of a notebook say, and which cell a line of them comes from.

What a cell writes follows from the cell alone; what was written stands in the file, and who wrote it in the record
beside ``code/``. No kernel is asked, so a directory that only ``%config`` names is not known here.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sm_magics.authoring import Script
from sm_magics.authoring.checks.files import MODEL_MODULE
from sm_magics.authoring.inside import checked_path
from sm_magics.authoring.origins import Cell as NotebookCell
from sm_magics.authoring.origins import origin
from sm_magics.authoring.ownership import read_text
from sm_magics.authoring.percent import ended, locate
from sm_magics.authoring.record import FileRecord, Record
from sm_magics.authoring.script import derived_name
from sm_magics.authoring.source import parse_cell
from sm_magics.errors import SmMagicsError

from . import values
from .call import Call
from .problems import invalid

SCRIPT = "code/inference.py"

_MOST, _LONGEST = 200, 1 << 20
_FIRST_LINE = re.compile(r"\s*%%(?P<magic>sm_inference|sm_code)(?P<line>(?:[ \t][^\n]*)?)(?:\n|$)")
_TAKES_VALUE = {"--model-dir", "-o", "--out"}


@dataclass(frozen=True)
class Cell:
    """What a cell says that it writes.

    Attributes
    ----------
    given
        The section's name or the file's path, as the line has it.
    model_dir
        The option's value; empty where it is the notebook's directory.
    body
        What is below the first line, as IPython gives it to the magic.
    """

    magic: str
    given: str
    model_dir: str
    body: str

    @classmethod
    def read(cls, source: str) -> Cell | None:
        """Return what a cell writes, None where it writes nothing or its line depends on variables."""
        first = _FIRST_LINE.match(source)
        if not first:
            return None
        try:
            words = shlex.split(first["line"], comments=True)
        except ValueError:  # a quote that is not closed
            return None
        if any(re.search(r"[{$]", word) for word in words):
            return None
        given, model_dir, index = "", "", 0
        while index < len(words):
            flag, equals, value = words[index].partition("=")
            if flag in _TAKES_VALUE and not equals:
                index += 1
                value = words[index] if index < len(words) else ""
            if flag == "--model-dir":
                model_dir = value
            elif not flag.startswith("-"):
                given = words[index]
            index += 1
        return cls(first["magic"], given.rstrip(";"), model_dir, ended(source[first.end() :]))


async def compared(call: Call) -> dict[str, Any]:
    """Return for each cell which file it writes, and whether that is what stands there."""
    notebook, cells = _notebook(call), _listed(call, "cells")
    for cell in cells:
        if not isinstance(cell.get("id"), str) or not isinstance(cell.get("source"), str):
            raise invalid("A cell has an id and a source, both texts.")
        if len(cell["source"]) > _LONGEST:
            raise invalid("A cell's source is no longer than a mebibyte.")
    root = call.root
    return {"cells": await call.state.machine.run(lambda: [_compared(notebook, cell, root) for cell in cells])}


def _compared(notebook: Path | None, given: Mapping[str, Any], root: str) -> dict[str, Any]:
    cell = Cell.read(given["source"])
    told: dict[str, Any] = {"id": given["id"], "file": "", "path": None, "section": "", "line": None}
    if cell is None or notebook is None:
        return {**told, "state": "unknown", "why": "Which file it writes is known to its kernel alone."}
    model_dir = notebook.parent / Path(cell.model_dir).expanduser()
    try:
        is_file = cell.magic == "sm_code"
        found = _file(model_dir, cell) if is_file else _section(model_dir, cell, given["id"])
    except SmMagicsError as error:
        return {**told, "state": "unknown", "why": error.message.splitlines()[0]}
    told |= found
    return {**told, "path": values.below(root, str(model_dir / told["file"]))}


def _file(model_dir: Path, cell: Cell) -> dict[str, Any]:
    file = f"code/{checked_path(cell.given)}"
    text = read_text(model_dir / file)
    if text is None:
        return {"file": file, "state": "absent", "why": f"{file} is not there: run the cell."}
    is_same = text == cell.body
    return {
        "file": file,
        "line": 1,
        "state": "matches" if is_same else "differs",
        "why": "" if is_same else f"{file} is not what the cell says: run it, or take over what was edited.",
    }


def _section(model_dir: Path, cell: Cell, identifier: str) -> dict[str, Any]:
    text = read_text(model_dir / SCRIPT)
    record = Record.read(model_dir).files.get(SCRIPT, FileRecord())
    tree = parse_cell(cell.body)
    # Who has no name of its own goes on under the one that it wrote under last.
    written = next((name for name, known in record.sections.items() if known.cell_id == identifier), "")
    name = cell.given or (derived_name(tree) if tree.body else "")
    script = Script.parse(text or "")
    section = script.section(name) or (script.section(written) if not cell.given else None)
    told: dict[str, Any] = {"file": SCRIPT, "section": section.name if section else name}
    if section is None:
        return {**told, "state": "absent", "why": f"{SCRIPT} has no section {name}: run the cell."}
    told["line"] = _first_line(text or "", section.name)
    if section.source == cell.body:
        return {**told, "state": "matches", "why": ""}
    known = record.sections.get(section.name)
    if known is not None and section.digest in known.digests:
        return {**told, "state": "differs", "why": "The cell has changed since it was run."}
    return {**told, "state": "differs", "why": f"Section {section.name} was edited in {SCRIPT}."}


def _first_line(text: str, section: str) -> int | None:
    """Return the number of a section's first line of code in the script's text."""
    lines = len(text.splitlines())
    return next((line for line in range(1, lines + 1) if locate(text, line) == (section, 1)), None)


async def located(call: Call) -> dict[str, Any]:
    """Return for each place in ``code/`` the cell and the line in it that it comes from."""
    notebook, frames = _notebook(call), _listed(call, "frames")
    for frame in frames:
        if not isinstance(frame.get("file"), str) or not isinstance(frame.get("line"), int):
            raise invalid("A frame has a file, a text, and a line, a number.")
    return {"frames": await call.state.machine.run(lambda: [_located(notebook, frame) for frame in frames])}


def _located(notebook: Path | None, frame: Mapping[str, Any]) -> dict[str, Any]:
    told = {"file": frame["file"], "line": frame["line"], "cell": None, "section": "", "cell_line": None}
    # In the container it is /opt/ml/model/code/inference.py, on this machine a copy in the service's own directory.
    parts = PurePosixPath(frame["file"]).parts
    file = f"code/{parts[-1]}" if parts and (len(parts) == 1 or parts[-2] == "code") else ""
    if notebook is None or file not in {SCRIPT, MODEL_MODULE}:
        return told
    model_dir = notebook.parent
    try:
        text = read_text(model_dir / file) or ""
    except SmMagicsError:
        return told
    if file == MODEL_MODULE:
        found = origin(text, frame["line"], _saved(notebook))
        return {**told, "cell": found.cell.id or None, "cell_line": found.line} if found else told
    section, line = locate(text, frame["line"])
    known = Record.read(model_dir).files.get(SCRIPT, FileRecord()).sections.get(section)
    there = Script.parse(text).section(section)
    if known is None or there is None:
        return {**told, "section": section}
    # Lines are the cell's as long as the section is what the cell wrote; the first one is the magic's.
    is_ours = there.digest in known.digests
    return {
        **told,
        "section": section,
        "cell": known.cell_id or None,
        "cell_line": line + 1 if is_ours and not known.generated else None,
    }


def _saved(notebook: Path) -> list[NotebookCell]:
    """Return the code cells of a notebook as it was saved last; none where it cannot be read."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = [one for one in cells if one["cell_type"] == "code"]
        return [NotebookCell("".join(one["source"]), id=str(one.get("id", ""))) for one in code]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _notebook(call: Call) -> Path | None:
    """Return where the notebook lies, None where Jupyter's files are not on this disk."""
    path = call.word("notebook")
    if "\0" in path or not path or len(path) > 4096:  # noqa: PLR2004 - PATH_MAX
        raise invalid("notebook is the notebook's path, as Jupyter has it.")
    if not call.root:
        return None
    root = Path(call.root).expanduser().resolve()
    found = (root / path.lstrip("/")).resolve()
    if not found.is_relative_to(root):
        raise invalid("The notebook's path leads out of the directory that Jupyter serves.")
    return found


def _listed(call: Call, name: str) -> Sequence[Mapping[str, Any]]:
    given = call.body.get(name)
    if not isinstance(given, list) or len(given) > _MOST or not all(isinstance(one, dict) for one in given):
        raise invalid(f"{name} is a list of up to {_MOST} objects.")
    return given
