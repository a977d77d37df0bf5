"""Which files go into the archive beside the model, and which never do."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sm_magics.errors import PackagingError

from .archive import Member

_LEFT_OUT = ("__pycache__", ".*", "*.pyc", "*~", "#*#", "*.swp", "*.orig", "*.rej", "*.bak", "*.bak.[0-9]*")


def code_members(code: Path) -> list[Member]:
    """Return the files of ``code/``: not the hidden ones, caches, and what editors leave behind.

    Raises
    ------
    PackagingError
        If something there is no regular file, nor a link to one, naming it.
    """
    return [Member(f"code/{relative}", path) for relative, path in _walk(code)]


def included_members(model_dir: Path, patterns: Sequence[str], *, beside: set[str]) -> list[Member]:
    """Return further files below a model directory.

    Parameters
    ----------
    model_dir
        The directory that the patterns start at; names in the archive are relative to it.
    patterns
        Paths of files or directories, or glob patterns (``assets/**/*.json``).
    beside
        Names that have another source: the model file, the archive itself.

    Raises
    ------
    PackagingError
        If a pattern leads out of the directory, nothing matches it, or something that does is no file.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        parts = PurePosixPath(pattern).parts
        if not parts or pattern.startswith(("/", "~")) or ".." in parts:
            raise PackagingError(
                f"{pattern!r} is not below the model directory {model_dir}.", hint=f"!cp -r {pattern} {model_dir}"
            )
        matches = sorted(model_dir.glob(pattern))
        if not matches:
            raise PackagingError(f"Nothing in {model_dir} matches {pattern!r}.", hint=f"!ls {model_dir}")
        for match in matches:
            inside = match.relative_to(model_dir).as_posix()
            if match.is_dir():
                found |= {f"{inside}/{relative}": path for relative, path in _walk(match)}
            else:
                found[inside] = _regular(match)
    kept = {name: path for name, path in found.items() if name not in beside and not name.startswith("code/")}
    return [Member(name, kept[name]) for name in sorted(kept)]


def _walk(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a directory by relative name, sorted; links are followed, but not in circles."""
    found: dict[str, Path] = {}
    seen: set[str] = set()
    for folder, folders, files in os.walk(directory, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else [name for name in folders if not _left_out(name)]
        if real not in seen:
            seen.add(real)
            paths = (Path(folder, name) for name in files if not _left_out(name))
            found |= {path.relative_to(directory).as_posix(): _regular(path) for path in paths}
    yield from sorted(found.items())


def _regular(path: Path) -> Path:
    if not path.is_file():
        what = "a link that leads nowhere" if path.is_symlink() else "a pipe, socket or device"
        raise PackagingError(f"{path} is not a file but {what}: it cannot be packed.", hint=f"!ls -l {path}")
    return path


def _left_out(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _LEFT_OUT)
