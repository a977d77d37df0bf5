"""What went wrong in a container, out of what it printed: the exception, and the user's own line that raised it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

_START = "Traceback (most recent call last):"
_CONNECTORS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
# Of a file that does not parse the place has no function.
_FRAME = re.compile(r'\s+File "(?P<path>[^"]+)", line (?P<line>\d+)(, in (?P<function>.+))?$')


@dataclass(frozen=True)
class Diagnosis:
    """A Python traceback, read.

    Attributes
    ----------
    exception
        Its last line: ``KeyError: 'fc.weight'``.
    traceback
        The part that concerns the user: from the first frame in ``code/`` on; all of it where there is none.
    function, path, line
        The innermost frame in the user's own ``code/``; empty and 0 where there is none.
    """

    exception: str
    traceback: str
    function: str = ""
    path: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        """The user's own line, as words: ``model_fn, code/inference.py line 12``. Empty if it is not known."""
        if not self.path:
            return ""
        return f"{self.function}, {self.path} line {self.line}" if self.function else f"{self.path} line {self.line}"

    @property
    def summary(self) -> str:
        """Exception and place, in one line."""
        return f"{self.exception} ({self.where})" if self.where else self.exception

    @property
    def text(self) -> str:
        """The summary, and below it the traceback if it has frames of the user's own: the toolkit's say nothing."""
        return f"{self.summary}\n\n{self.traceback}" if self.path else self.summary


def read(text: str | Sequence[str]) -> Diagnosis | None:
    """Return the last traceback in a log or an error's body, read. None if there is none."""
    lines = unfolded(text.splitlines() if isinstance(text, str) else text)
    traceback = _last_traceback(lines)
    if not traceback:
        return None
    # Of chained exceptions the last one is what was raised.
    exception = next((line.strip() for line in reversed(traceback) if _ends(line)), traceback[-1])
    frames = [
        (index, match) for index, line in enumerate(traceback) if (match := _FRAME.match(line)) and _own(match["path"])
    ]
    if not frames:
        return Diagnosis(exception, "\n".join(traceback))
    # Where the package was extracted to says nothing, and is another place each time.
    shown = [_START, *(_shortened(line) for line in traceback[frames[0][0] :])]
    innermost = frames[-1][1]
    return Diagnosis(
        exception,
        "\n".join(shown),
        function=innermost["function"] or "",
        path=_own(innermost["path"]),
        line=int(innermost["line"]),
    )


def _own(path: str) -> str:
    """Return a file's path from ``code/`` on if it is one of the package's, else empty."""
    if "site-packages" in path:
        return ""
    _, found, rest = path.rpartition("/code/")
    return f"code/{rest}" if found else ""


def _shortened(line: str) -> str:
    match = _FRAME.match(line)
    own = _own(match["path"]) if match else ""
    return line.replace(match["path"], own, 1) if match and own else line


def unfolded(lines: Sequence[str]) -> list[str]:
    """Return a log with the tracebacks that the inference toolkit prints in one line, as a list, in lines of their own.

    ``Transform failed for model: model. Error traceback: ['Traceback …', …]`` (sagemaker_inference/transformer.py).
    """
    result = []
    for line in lines:
        head, folded, rest = line.partition("Error traceback: [")
        try:
            inner = ast.literal_eval(f"[{rest}") if folded else []
        except (ValueError, SyntaxError):
            inner = []
        if inner and all(isinstance(item, str) for item in inner):
            result += [head.rstrip(), *inner]
        else:
            result.append(line)
    return result


def summarized(lines: Sequence[str]) -> list[str]:
    """Return a log in which a traceback that the toolkit printed in one line is one line with what it says."""
    result = []
    for line in lines:
        several = unfolded([line])
        found = read(several) if len(several) > 1 else None
        result.append(f"{several[0]} {found.summary}" if found else line)
    return result


def _last_traceback(lines: list[str]) -> list[str]:
    starts = [index for index, line in enumerate(lines) if line.endswith(_START)]
    if not starts:
        return []
    start = starts[-1]
    for earlier in reversed(starts[:-1]):  # chained exceptions are one story
        if not any(line.endswith(_CONNECTORS) for line in lines[earlier:start]):
            break
        start = earlier
    indent = len(lines[starts[-1]]) - len(_START)  # what a logger may have put before each line
    last = starts[-1]
    end = next((index for index in range(last + 1, len(lines)) if _ends(lines[index][indent:])), len(lines) - 1)
    while end + 1 < len(lines) and lines[end + 1][indent:].startswith((" ", "\t")):  # a message of several lines
        end += 1
    return [line[indent:] for line in lines[start : end + 1]]


def _ends(line: str) -> bool:
    """Return whether a traceback's line is the one that names the exception."""
    return bool(line) and not line[0].isspace() and not line.endswith(_CONNECTORS) and _START not in line
