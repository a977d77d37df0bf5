"""The metrics of a training job: what the regular expressions of its ``MetricDefinitions`` find in its log.

They are looked for in a process of their own (``python -m sm_magics.local.training.metrics``): an expression can take
for ever, and would hold up the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from sm_magics.local.protocol.errors import invalid
from sm_magics.serving.settings import inherited

#: Bytes of lines that wait to be looked at; a job that prints faster loses metrics, not its log.
_MOST_WAITING = 16 << 20
#: Seconds that looking at the last lines may take.
_PATIENCE = 10.0


def check(definitions: Sequence[dict[str, str]]) -> None:
    """Refuse expressions that cannot be compiled.

    Raises
    ------
    ApiError
        Naming the first of them.
    """
    for definition in definitions:
        _compiled(definition)


def _compiled(definition: dict[str, str]) -> re.Pattern[str]:
    try:
        return re.compile(definition["Regex"])
    except re.error as error:
        # Unconfirmed wording.
        raise invalid(f"The regular expression of metric {definition['Name']} is not valid: {error}.") from error


class Metrics:
    """Metrics of one job.

    Parameters
    ----------
    definitions
        ``MetricDefinitions`` of the request.
    publish
        Called with each metric that is found: its name, value, and time in seconds.
    """

    def __init__(self, definitions: Sequence[dict[str, str]], publish: Callable[[str, float, float], None]) -> None:
        self._definitions = definitions
        self._publish = publish
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._final: dict[str, dict[str, Any]] = {}

    async def start(self) -> None:
        """Start the process, if there is anything to look for."""
        if not self._definitions:
            return
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sm_magics.local.training.metrics",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=os.sep,
            env=inherited(os.environ),
            start_new_session=True,
        )
        self._send(self._definitions)
        self._reading = asyncio.create_task(self._read(self._process))

    def feed(self, line: str) -> None:
        """Look at a line of the log."""
        if self._process:
            self._send([time.time(), line])

    async def finish(self) -> list[dict[str, Any]]:
        """Return ``FinalMetricDataList``: the last value of each metric that was found."""
        if self._process and self._process.stdin and self._reading:
            self._process.stdin.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._reading), _PATIENCE)
        await self.close()
        return list(self._final.values())

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _send(self, message: object) -> None:
        stdin = self._process.stdin if self._process else None
        if stdin and not stdin.is_closing() and stdin.transport.get_write_buffer_size() < _MOST_WAITING:
            stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout and (line := await process.stdout.readline()):
            name, value, when = json.loads(line)
            self._final[name] = {"MetricName": name, "Value": value, "Timestamp": when}
            self._publish(name, value, when)


def main() -> None:
    """Read definitions, then lines with their times; print what is found as soon as it is."""
    definitions = json.loads(sys.stdin.readline() or "[]")
    metrics = [(definition["Name"], re.compile(definition["Regex"])) for definition in definitions]
    for text in sys.stdin:
        when, line = json.loads(text)
        for name, pattern in metrics:
            # Its value is the first group.
            for match in pattern.finditer(line) if pattern.groups else ():
                with contextlib.suppress(TypeError, ValueError):
                    value = float(match[1])
                    if math.isfinite(value):
                        print(json.dumps([name, value, when]), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
