"""What a worker can import: all that is installed, or only what a container would have.

A module that is left out is not found, as if it were not installed: ``import`` raises ``ModuleNotFoundError`` and
``find_spec`` returns None, so that libraries that look for it take the way that they take in the container.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# What the interpreter itself brings under names that sys.stdlib_module_names does not have, and our stand-in for
# TorchServe's Python package.
_ALWAYS = {"__main__", "__mp_main__", "sitecustomize", "usercustomize", "ts"}
_BUILD = "_sysconfigdata_"  # how the interpreter was built, for sysconfig; the platform's name follows


def restrict(names: Iterable[str], *, own: Sequence[str]) -> None:
    """Leave nothing importable but the named top-level modules, the standard library, and what lies below `own`.

    What has been imported already and is left out has to be imported again, and is then not found. To be called in a
    worker before the handlers are imported.

    Parameters
    ----------
    names
        Top-level modules, such as ``torch``.
    own
        Directories whose modules are all importable.
    """
    allowed = {*names, *sys.stdlib_module_names, *sys.builtin_module_names, *_ALWAYS}
    for name in list(sys.modules):
        if not _is_allowed(name, allowed):
            del sys.modules[name]
    below = tuple(f"{directory}/" for directory in own)
    sys.meta_path[:] = [_Only(finder, allowed, below) for finder in sys.meta_path]


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    return name.partition(".")[0] in allowed or name.startswith(_BUILD)


class _Only(MetaPathFinder):
    """A finder that finds what is allowed of what another one finds."""

    def __init__(self, inner: Any, allowed: Collection[str], own: tuple[str, ...]) -> None:
        self._inner = inner
        self._allowed = allowed
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec: ModuleSpec | None = self._inner.find_spec(fullname, path, target)
        if spec is None or _is_allowed(fullname, self._allowed) or self._is_own(spec):
            return spec
        return None

    def _is_own(self, spec: ModuleSpec) -> bool:
        places = [spec.origin or "", *(f"{place}/" for place in spec.submodule_search_locations or ())]
        return any(place.startswith(self._own) for place in places)
