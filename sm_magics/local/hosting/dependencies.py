"""``code/requirements.txt``: the container installs it before it serves; here it is first looked whether it has to be.

What the interpreter has already costs a look, and nothing when the same file was looked at before. What it lacks is
installed into an environment of its own on top of it, made once for each content of the file; the interpreter itself
is never changed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from sm_magics.serving.environment import install
from sm_magics.serving.layout import requirements_file
from sm_magics.serving.requirements import RequirementsFailed, check

#: Container environment: what to do about ``code/requirements.txt``: ``install`` (as the container), or ``ignore``.
REQUIREMENTS = "SM_MAGICS_REQUIREMENTS"


class Dependencies:
    """What is known about interpreters and requirements files."""

    def __init__(self) -> None:
        self._met: set[tuple[str, str]] = set()

    async def interpreter(self, model_dir: Path, python: str, log: Callable[[str], None]) -> str:
        """Return an interpreter like `python` that has what the model asks for.

        Parameters
        ----------
        model_dir
            The extracted model data.
        log
            Gets what pip prints.

        Raises
        ------
        RequirementsFailed
            If it cannot be had. The message says why, in several lines.
        """
        file = requirements_file(model_dir)
        if file is None:
            return python
        known = (python, hashlib.sha256(file.read_bytes()).hexdigest())
        if known in self._met:
            return python
        try:
            await asyncio.to_thread(check, file, python)
        except RequirementsFailed:
            return await asyncio.to_thread(install, file, python, log)
        self._met.add(known)
        return python
