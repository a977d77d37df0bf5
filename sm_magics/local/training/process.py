"""One command of a training job, as the service sees it: lines out, an exit status at the end, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sm_magics.serving.settings import inherited

#: Bytes of a line that has no end after which it is passed on (the longest event of CloudWatch Logs).
_LONGEST_LINE = 256 * 1024
#: Seconds for the supervisor to kill what it started.
_PATIENCE = 15.0


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes
    ----------
    whole_group
        Whether all processes are told to stop, rather than the first one: a shell does not pass it on.
    """

    arguments: list[str]
    environ: Mapping[str, str]
    directory: Path
    whole_group: bool = False


class TrainingProcess:
    """A command that runs under a `supervisor`. Make one with `start`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Callable[[str], None]) -> None:
        self._process = process
        self._reading = asyncio.create_task(self._read(log))

    @classmethod
    async def start(cls, command: Command, log: Callable[[str], None]) -> TrainingProcess:
        """Start a command; each line that it prints goes to `log`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sm_magics.local.training.supervisor",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # -m puts the working directory on sys.path: nothing can be imported from this one.
            cwd=os.sep,
            env=inherited(os.environ),
            start_new_session=True,
        )
        order = {
            "command": command.arguments,
            "environ": dict(command.environ),
            "cwd": str(command.directory),
            "whole_group": command.whole_group,
        }
        running = cls(process, log)
        running._tell(json.dumps(order))
        return running

    async def wait(self) -> int:
        """Return the exit status, negative for a signal, once it has ended and all that it printed is in the log."""
        status = await self._process.wait()
        with contextlib.suppress(asyncio.TimeoutError):
            # A process that escaped may hold the pipe.
            await asyncio.wait_for(asyncio.shield(self._reading), _PATIENCE)
        self._reading.cancel()
        return status

    def stop(self) -> None:
        """Send SIGTERM."""
        self._tell("stop")

    async def kill(self) -> None:
        """End it at once, with all that it started."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _PATIENCE)
        except asyncio.TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{line}\n".encode())

    async def _read(self, log: Callable[[str], None]) -> None:
        rest = b""
        while self._process.stdout and (data := await self._process.stdout.read(1 << 16)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                log(_text(line))
            if len(rest) > _LONGEST_LINE:
                log(_text(rest))
                rest = b""
        if rest:
            log(_text(rest))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
