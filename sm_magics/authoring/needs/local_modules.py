"""Modules that no index has: the user's own beside the notebook, and what was installed from a place on this machine.

They travel with the model, as files in ``code/``.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from sm_magics.authoring.slicing.live import own_file
from sm_magics.authoring.source import parse, read_module

_COMPILED = {".so", ".pyd", ".dylib", ".dll"}
_LEFT_OUT = {".pyc", ".pyo", ".pth"}


@dataclass(frozen=True)
class LocalModule:
    """The files of one top-level module.

    Attributes
    ----------
    name
        The module.
    files
        Their contents by path below ``code/``. Python source is in UTF-8, whatever it was in. What is called ``.py``
        and is no Python stays behind: nothing can import it.
    compiled
        Extension modules among its files, which are not copied: they are of this machine.
    """

    name: str
    files: Mapping[str, bytes]
    compiled: tuple[str, ...] = ()


def beside(module: str) -> LocalModule | None:
    """Return a module of the user's own: a file or folder on the search path that is not installed.

    Parameters
    ----------
    module
        Its dotted name. A folder without ``__init__.py`` counts only where the part below it is there.
    """
    top = module.partition(".")[0]
    files = files_beside(module)
    return _taken(top, files) if files else None


def files_beside(module: str) -> dict[str, Path]:
    """Return the files of a module of the user's own, by their path below ``code/``; of a package, all.

    Parameters
    ----------
    module
        As for `beside`.
    """
    top, _, rest = module.partition(".")
    path = own_file(top)
    if path is not None:
        return _below(top, path.parent) if path.name == "__init__.py" else {path.name: path}
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return {}
    if spec is None or spec.origin is not None or not rest:
        return {}
    below = rest.partition(".")[0]
    for location in spec.submodule_search_locations or ():
        folder = Path(location).resolve()
        if not _is_installed(folder) and ((folder / f"{below}.py").is_file() or any((folder / below).glob("*.py"))):
            return _below(top, folder)
    return {}


def installed_from_here(module: str, distribution: Distribution) -> LocalModule:
    """Return a top-level module of a distribution that was installed from this machine."""
    top = module.partition(".")[0]
    files = {}
    for file in distribution.files or ():
        if file.parts[0] == top or (len(file.parts) == 1 and file.name.partition(".")[0] == top):
            files[file.as_posix()] = Path(str(distribution.locate_file(file)))
    return _taken(top, files)


def _below(name: str, folder: Path) -> dict[str, Path]:
    return {f"{name}/{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*"))}


def _taken(name: str, paths: Mapping[str, Path]) -> LocalModule:
    files: dict[str, bytes] = {}
    compiled = []
    for relative, path in paths.items():
        hidden = any(part.startswith(".") or part == "__pycache__" for part in Path(relative).parts)
        if hidden or path.suffix in _LEFT_OUT or not path.is_file():
            continue
        if path.suffix in _COMPILED:
            compiled.append(relative)
            continue
        with suppress(OSError, SyntaxError, ValueError):
            files[relative] = _source(path) if path.suffix == ".py" else path.read_bytes()
    return LocalModule(name, files, tuple(compiled))


def _source(path: Path) -> bytes:
    text = read_module(path)
    if parse(text) is None:
        raise SyntaxError
    return text.encode()


def _is_installed(folder: Path) -> bool:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    places = {Path(sysconfig.get_path(kind)).resolve() for kind in kinds}
    named = "site-packages" in folder.parts or "dist-packages" in folder.parts
    return named or any(folder.is_relative_to(place) for place in places)
