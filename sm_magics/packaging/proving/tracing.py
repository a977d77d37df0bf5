"""A traceback out of the clean process, read against the notebook: frames of ``code/`` become sections and cells.

The sections stand in the archive's ``inference.py`` itself; which cell wrote each of them stands in ``.sm_magics.json``
beside ``code/``, and is trusted only where the section is still as that cell wrote it.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sm_magics.authoring import Author, Script
from sm_magics.authoring.checks.files import MODEL_MODULE
from sm_magics.authoring.origins import Cell, Origin, origin
from sm_magics.authoring.percent import locate
from sm_magics.authoring.record import FileRecord, Record
from sm_magics.packaging.archive import SCRIPT
from sm_magics.packaging.report import Failure, Frame

from .remedies import remedy

FRAME = re.compile(r'(?P<indent>\s*)File "(?P<path>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
"""A frame's line in a traceback. Of a file that does not parse the place has no function."""

START = "Traceback (most recent call last):"
_DEFAULT = re.compile(r", in default_(model_fn|input_fn|predict_fn|output_fn)$", re.MULTILINE)
_BEFORE, _AFTER = 3, 1  # lines of an excerpt
_LONGEST, _WIDEST = 8, 200  # lines of an exception's message, and characters of each


class Cells:
    """Where the lines of an extracted package come from.

    Parameters
    ----------
    directory
        The extracted model directory.
    model_dir
        The directory that it was packaged from, with the record of who wrote what.
    author
        The session that asks: execution numbers mean something within it alone.
    ran
        The cells that it has run, oldest first: what packaging took out of them leads back to them.
    """

    def __init__(self, directory: Path, model_dir: Path, author: Author, ran: Sequence[Cell] = ()) -> None:
        self._directory = directory
        self._author = author
        self._ran = ran
        self._record = Record.read(model_dir).files.get(SCRIPT, FileRecord())
        script = directory / SCRIPT
        self._text = script.read_text(encoding="utf-8", errors="replace") if script.is_file() else ""
        self._script = Script.parse(self._text)

    def frames(self, traceback: str) -> tuple[Frame, ...]:
        """Return the frames of the package's own code in a traceback, outermost first."""
        return tuple(
            self.frame(path, int(match["line"]), match["function"] or "")
            for line in traceback.splitlines()
            if (match := FRAME.match(line)) and (path := self._own(match["path"]))
        )

    def frame(self, path: str, line: int, function: str) -> Frame:
        """Return a place in the package's own code.

        Parameters
        ----------
        path
            From ``code/`` on, relative to the model directory.
        """
        lines = linecache.updatecache(str(self._directory / path))
        text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        section, cell_line = locate(self._text, line) if path == SCRIPT else ("", 0)
        taken = origin("".join(lines), line, self._ran) if path == MODEL_MODULE else None
        if taken is not None:
            return self._taken(taken, path, line, function, lines)
        first = line - cell_line + 1 if section else 1
        known = self._record.sections.get(section)
        there = self._script.section(section) if section else None
        ours = known is not None and there is not None and there.digest in known.digests
        ran = ours and known is not None and bool(known.session) and known.session == self._author.session
        return Frame(
            path=path,
            line=line,
            function=function,
            text=text,
            section=section,
            cell_line=cell_line,
            execution_count=known.execution_count if ran and known else 0,
            cell_id=known.cell_id if ran and known else "",
            excerpt=_excerpt(lines, line, first, cell_line or line),
        )

    def _taken(self, taken: Origin, path: str, line: int, function: str, lines: list[str]) -> Frame:
        """Return a place in code that packaging took out of a cell."""
        return Frame(
            path=path,
            line=line,
            function=function,
            text=lines[line - 1].strip(),
            cell_line=taken.line,
            execution_count=taken.cell.execution_count,
            cell_id=taken.cell.id,
            excerpt=_excerpt(lines, line, taken.first, taken.line),
            definition=taken.definition,
        )

    def output(self) -> Frame | None:
        """Return where the script defines what makes the answer's body; None where the container's default does."""
        return self.defines("output_fn") or self.defines("transform_fn")

    def failure(self, step: str, text: str, *, files: Sequence[str], at: Frame | None = None) -> Failure:
        """Return why a step failed.

        Parameters
        ----------
        text
            The traceback, after whatever the container puts before it; a sentence where nothing was raised.
        files
            Names of the files in the package.
        at
            The place to blame where the traceback names none.
        """
        # Where the archive was extracted to is another place each time, and the current directory there.
        text = text.replace(f"{self._directory}/", "")
        start = text.find(START)
        said = exception(text) if start >= 0 else text.strip()
        frames = self.frames(text) or ((at,) if at is not None else ())
        handler = default_handler(text) if not frames else ""
        fix = remedy(said, handler=handler, files=files)
        traceback = "\n".join(self._named(text[start:])) if start >= 0 else ""
        return Failure(step, said, frames, handler, fix.fix, fix.paste, traceback)

    def defines(self, name: str) -> Frame | None:
        """Return where the script defines a name at its top level; None where it does not."""
        for number, line in enumerate(self._text.splitlines(), start=1):
            if re.match(rf"(?:async )?(?:def|class) {re.escape(name)}\b|{re.escape(name)}\s*=", line):
                return self.frame(SCRIPT, number, name)
        return None

    def _named(self, traceback: str) -> Iterator[str]:
        """Yield a traceback in which the package's own places are named, and where it was extracted to is not."""
        for line in traceback.splitlines():
            match = FRAME.match(line)
            path = self._own(match["path"]) if match else ""
            if match and path:
                frame = self.frame(path, int(match["line"]), match["function"] or "")
                place = f"{path}, line {frame.line}" + (f" ({frame.where})" if frame.is_in_cell else "")
                yield f"{match['indent']}{place}" + (f", in {frame.function}" if frame.function else "")
            else:
                yield line

    def _own(self, path: str) -> str:
        """Return a path relative to the model directory if it is one of the package's ``code/``; empty otherwise."""
        inside = path.removeprefix(f"{self._directory}/")
        return inside if inside.startswith("code/") and (self._directory / inside).is_file() else ""


def _excerpt(lines: list[str], line: int, first: int, number: int) -> tuple[tuple[int, str], ...]:
    """Return the lines around one, from a first one on; `number` is what it is called."""
    start, end = max(first, line - _BEFORE), min(len(lines), line + _AFTER)
    found = [(one - line + number, lines[one - 1].rstrip()) for one in range(start, end + 1)]
    while len(found) > 1 and (not found[-1][1] or found[-1][1].startswith("# %%")):
        found.pop()
    return tuple(found)


def exception(traceback: str) -> str:
    """Return the lines of a traceback that name the exception: its message may have several."""
    lines = traceback.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith(START)]
    last = lines[starts[-1] + 1 :] if starts else lines
    first = next((index for index, line in enumerate(last) if line and not line[0].isspace()), None)
    if first is None:
        return ""
    end = next((index for index, line in enumerate(last[first + 1 :], first + 1) if not line[:1].isspace()), len(last))
    said = [last[first], *(line.strip() for line in last[first + 1 : min(end, first + _LONGEST)])]
    return "\n".join(_clipped(line) for line in said if line)


def _clipped(line: str) -> str:
    line = re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()  # torch writes some in bold
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"


def default_handler(traceback: str) -> str:
    """Return the container's default handler that a traceback went through last, empty if none."""
    found = _DEFAULT.findall(traceback)
    return found[-1] if found else ""


def unsendable(log: str) -> str:
    """Return why an answer could not be sent, out of what the worker printed."""
    found = re.findall(r"^TypeError: .+$", log, re.MULTILINE)
    return found[-1] if found else "TypeError: what output_fn returns cannot be sent."


def missing_module(exception_line: str) -> str:
    """Return the module that an exception says does not exist; empty if it says something else."""
    found = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", exception_line)
    return found[1] if found else ""
