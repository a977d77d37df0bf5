"""What went wrong in a container: the exception, the user's own line that raised it, the cause, and what mends it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sm_magics.packaging.proving.tracing import FRAME, START, Cells
from sm_magics.packaging.report import Frame

from . import causes
from .causes import Cause

_CONNECTORS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)


@dataclass(frozen=True)
class Diagnosis:
    """Why something failed.

    Attributes
    ----------
    exception
        A traceback's last line: ``KeyError: 'fc.weight'``. Where there is no traceback, the cause, else SageMaker's
        own words.
    traceback
        The part that concerns the user: from the first frame in ``code/`` on; all of it where there is none.
    function, path, line
        The innermost frame in the user's own ``code/``; empty and 0 where there is none.
    text_line
        The line that the traceback quotes there.
    frame
        The same place in the notebook, where that is known: see `located`.
    cause
        What is known about failures of this kind; None where nothing is.
    """

    exception: str
    traceback: str
    function: str = ""
    path: str = ""
    line: int = 0
    text_line: str = ""
    frame: Frame | None = None
    cause: Cause | None = None

    @property
    def where(self) -> str:
        """The user's own line, as words: ``model_fn, code/inference.py line 12``. Empty if it is not known."""
        if not self.path:
            return ""
        if self.frame is not None and self.frame.is_in_cell:
            return f"{self.function}, {self.frame.where}" if self.function else self.frame.where
        return f"{self.function}, {self.path} line {self.line}" if self.function else f"{self.path} line {self.line}"

    @property
    def summary(self) -> str:
        """Exception and place, in one line."""
        return f"{self.exception} ({self.where})" if self.where else self.exception

    @property
    def text(self) -> str:
        """The summary, what mends it, and the traceback if it has frames of the user's own."""
        advice = [line for line in (self.cause.what, self.cause.fix) if line] if self.cause else []
        first = "\n".join([self.summary, *(line for line in advice if line != self.exception)])
        return f"{first}\n\n{self.traceback}" if self.path else first

    def located(self, cells: Cells) -> Diagnosis:
        """Return the same with its place in the notebook, if the code there still has the line that is quoted."""
        if not self.path or not self.text_line:
            return self
        frame = cells.frame(self.path, self.line, self.function)
        return replace(self, frame=frame) if frame.text == self.text_line else self


def explain(reason: str, log: Sequence[str] = ()) -> Diagnosis | None:
    """Return why something failed; None where neither SageMaker nor the log says anything.

    Parameters
    ----------
    reason
        SageMaker's ``FailureReason``, or the message of a request that it refused.
    log
        All that the containers printed.
    """
    found = read(log)
    cause = causes.known(reason, log, found.exception if found else "")
    if found is None:
        said = cause.what if cause else reason
        return Diagnosis(said, "", cause=cause) if said else None
    if cause is not None and cause.name in causes.SYMPTOMS:
        cause = None  # the exception says more than what came of it
    return replace(found, cause=cause)


def read(text: str | Sequence[str]) -> Diagnosis | None:
    """Return the last traceback in a log or an error's body, read. None if there is none."""
    lines = unfolded(text.splitlines() if isinstance(text, str) else text)
    traceback = _last_traceback(lines)
    if not traceback:
        return None
    # Of chained exceptions the last one is what was raised.
    exception = next((line.strip() for line in reversed(traceback) if _ends(line)), traceback[-1])
    frames = [
        (index, match) for index, line in enumerate(traceback) if (match := FRAME.match(line)) and _own(match["path"])
    ]
    if not frames:
        return Diagnosis(exception, "\n".join(traceback))
    # Where the package was extracted to says nothing, and is another place each time.
    shown = [START, *(_shortened(line) for line in traceback[frames[0][0] :])]
    index, innermost = frames[-1]
    following = traceback[index + 1] if index + 1 < len(traceback) else ""
    return Diagnosis(
        exception,
        "\n".join(shown),
        function=innermost["function"] or "",
        path=_own(innermost["path"]),
        line=int(innermost["line"]),
        text_line="" if FRAME.match(following) or _ends(following) else following.strip(),
    )


def _own(path: str) -> str:
    """Return a file's path from ``code/`` on if it is one of the package's, else empty."""
    if "site-packages" in path:
        return ""
    _, found, rest = path.rpartition("/code/")
    return f"code/{rest}" if found else ""


def _shortened(line: str) -> str:
    match = FRAME.match(line)
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
    starts = [index for index, line in enumerate(lines) if line.endswith(START)]
    if not starts:
        return []
    start = starts[-1]
    for earlier in reversed(starts[:-1]):  # chained exceptions are one story
        if not any(line.endswith(_CONNECTORS) for line in lines[earlier:start]):
            break
        start = earlier
    indent = len(lines[starts[-1]]) - len(START)  # what a logger may have put before each line
    last = starts[-1]
    end = next((index for index in range(last + 1, len(lines)) if _ends(lines[index][indent:])), len(lines) - 1)
    while end + 1 < len(lines) and lines[end + 1][indent:].startswith((" ", "\t")):  # a message of several lines
        end += 1
    return [line[indent:] for line in lines[start : end + 1]]


def _ends(line: str) -> bool:
    """Return whether a traceback's line is the one that names the exception."""
    return bool(line) and not line[0].isspace() and not line.endswith(_CONNECTORS) and START not in line
