"""Why a training job failed, in AWS's words.

The toolkit writes ``ExecuteUserScriptError`` with what the script printed from its first error on into the file
``failure`` (``process.py``, ``errors.py``); SageMaker puts its first 1,024 characters behind ``AlgorithmError``.
"""

from __future__ import annotations

import builtins
import shlex
from collections.abc import Sequence
from pathlib import Path

#: Characters of ``FailureReason``.
LONGEST = 1024
#: Characters of an error message that are kept.
_LONGEST_MESSAGE = 64 * 1024
#: Words that begin an error message: Python's exceptions, and what else the toolkit looks for.
_ERRORS = (
    *sorted(
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning)
    ),
    "BaseException",
    "Invalid requirement",
    "ResourceExhaustedError",
    "OutOfRangeError",
    "InvalidArgumentError",
    "ExecuteUserScriptError",
)
_KILLED = 137


class JobFailed(Exception):  # noqa: N818 - what happened
    """A training job failed. The message is its ``FailureReason``."""


class ErrorText:
    """Picks the error message out of what a script prints.

    Parameters
    ----------
    words
        Further words that begin an error message.
    """

    def __init__(self, *words: str) -> None:
        self._words = (*_ERRORS, *words)
        self._lines: dict[str, None] = {}
        self._size = 0

    def feed(self, line: str) -> None:
        """Look at one line."""
        if (self._lines or any(word in line for word in self._words)) and self._size < _LONGEST_MESSAGE:
            # Each line once, as the toolkit has it.
            self._lines.setdefault(line.strip(" :\n"))
            self._size += len(line)

    def __str__(self) -> str:
        return "\n ".join(self._lines).strip()


def script_failure(error: str, status: int, message: ErrorText, command: Sequence[str]) -> str:
    """Return the toolkit's description of a command that failed.

    Parameters
    ----------
    error
        Its name, such as ``ExecuteUserScriptError``.
    status
        The exit status, negative for a signal.
    """
    extra = '\nExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"' if status == _KILLED else ""
    return f'{error}:\nExitCode {status}\nErrorMessage "{message}"{extra}\nCommand "{shlex.join(command)}"'


def reason(failure: Path, status: int) -> str:
    """Return the ``FailureReason`` of a container that ended, from its file ``failure``."""
    try:
        with failure.open(encoding="utf-8", errors="replace") as file:
            text = file.read(LONGEST)
    except OSError:
        text = ""
    suffix = f", exit code: {status if status >= 0 else 128 - status}"
    return f"AlgorithmError: {text}"[: LONGEST - len(suffix)] + suffix
