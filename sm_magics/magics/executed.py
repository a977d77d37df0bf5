"""The cells that a kernel has executed, also where it keeps no history of them (nbval asks for none)."""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell

if TYPE_CHECKING:
    from sm_magics.authoring.origins import Cell


class Executed:
    """The sources of the cells executed so far.

    A shell tells of each cell that it is about to run. Those from before are where its compiler has put them for
    tracebacks.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._cells = _compiled(shell)
        self._ids: dict[str, str] = {}
        if self.sources():  # the cell that loads the extension runs already
            self._ids[self.sources()[-1].rstrip("\n")] = str(self._parent().get("metadata", {}).get("cellId") or "")
        self._request = ""

    def note(self, info: Any) -> None:
        """Note a cell; called by IPython before it runs one. What a cell runs in turn is that cell's own."""
        request = self._asked()
        if request and request == self._request:
            return
        self._request = request
        source = self._transformed(info)
        self._cells.append(source)
        self._ids[source.rstrip("\n")] = getattr(info, "cell_id", None) or ""

    def sources(self) -> list[str]:
        """Return them, oldest first, as Python: the shell's history if it has one."""
        return self._history() or list(self._cells)

    def cells(self) -> list[Cell]:
        """Return them with their numbers, where there is a history, and the ids that the front end gave them."""
        from sm_magics.authoring.origins import Cell

        has_numbers = bool(self._history())
        return [
            Cell(source, number if has_numbers else 0, self._ids.get(source.rstrip("\n"), ""))
            for number, source in enumerate(self.sources())
        ]

    def _history(self) -> list[str]:
        history = getattr(self._shell, "history_manager", None)
        kept = list(history.input_hist_parsed) if history is not None else []
        return kept if any(kept) else []

    def _asked(self) -> str:
        """Return the id of the request that is being served; empty without a kernel."""
        return str(self._parent().get("header", {}).get("msg_id", ""))

    def _parent(self) -> dict[str, Any]:
        kernel: Any = getattr(self._shell, "kernel", None)
        parent: dict[str, Any] = (kernel.get_parent() or {}) if kernel is not None else {}
        return parent

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
