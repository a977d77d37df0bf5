"""The cells that a kernel has executed, also where it keeps no history of them (nbval asks for none)."""

from __future__ import annotations

import linecache
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


class Executed:
    """The sources of the cells executed so far.

    A shell tells of each cell that it is about to run. Those from before are where its compiler has put them for
    tracebacks.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._cells = _compiled(shell)
        self._request = ""

    def note(self, info: Any) -> None:
        """Note a cell; called by IPython before it runs one. What a cell runs in turn is that cell's own."""
        request = self._asked()
        if request and request == self._request:
            return
        self._request = request
        self._cells.append(self._transformed(info))

    def sources(self) -> list[str]:
        """Return them, oldest first, as Python: the shell's history if it has one."""
        history = getattr(self._shell, "history_manager", None)
        kept = list(history.input_hist_parsed) if history is not None else []
        return kept if any(kept) else list(self._cells)

    def _asked(self) -> str:
        """Return the id of the request that is being served; empty without a kernel."""
        kernel: Any = getattr(self._shell, "kernel", None)
        parent: dict[str, Any] = (kernel.get_parent() or {}) if kernel is not None else {}
        return str(parent.get("header", {}).get("msg_id", ""))

    def _transformed(self, info: Any) -> str:
        known = getattr(info, "transformed_cell", None)  # older IPythons do not tell
        if known is not None:
            return str(known)
        try:
            return str(self._shell.transform_cell(info.raw_cell))
        except SyntaxError:
            return str(info.raw_cell)


def _compiled(shell: InteractiveShell) -> list[str]:
    """Return what a shell has compiled so far, each text where it came first."""
    names = getattr(shell.compile, "_filename_map", {})
    return ["".join(linecache.getlines(name)) for name in names if name in linecache.cache]
