"""``code/requirements.txt``: what the container installs with pip before it serves."""

from __future__ import annotations

import tokenize
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from .checks.requirements import REQUIREMENTS
from .folder import Author, CodeFolder
from .needs.dependencies import Dependencies

_NAME = REQUIREMENTS.removeprefix("code/")


def ensure_requirements(
    folder: CodeFolder,
    *,
    author: Author | None = None,
    files: Iterable[str] = (),
    modules: Iterable[str] = (),
    force: bool = False,
) -> Path:
    """Write what ``code/`` needs beyond the image, and return where: ``requirements.txt``, and files in ``code/``.

    The file asks for what is imported, in the versions of this environment. It is written anew each time, as long as
    nobody has touched it; one that a person or a cell wrote stays as it is, and `CodeFolder.check` compares it.
    Modules that no index has, beside the notebook or installed from this machine, become files in ``code/``.

    Parameters
    ----------
    folder
        The code.
    author
        Who packages.
    files
        Files in ``code/`` that are imported without an import statement, by their path below it.
    modules
        Modules that are needed without being imported, such as those of a pickled object.
    force
        Replace files that are not ours, another notebook's among them, keeping a copy beside them.

    Raises
    ------
    FileConflictError
        If a file of a local module would take the place of one that is not ours.
    AuthoringError
        If something cannot be written.
    """
    author = author or Author()
    path = folder.path / _NAME
    own = folder.own_requirements()
    needed = folder.needed(files=files, modules=modules)
    for relative, data in needed.files.items():
        target = folder.path / relative
        if not target.is_file() or target.read_bytes() != data:
            folder.write_file(relative, _text(relative, data), author=author, force=force, generated=True)
    if own is None:
        folder.write_file(_NAME, rendered(needed, folder), author=author, force=force, generated=True)
    return path


def rendered(needed: Dependencies, folder: CodeFolder) -> str:
    """Return the text of the file."""
    has = f"PyTorch {folder.image.torch} image has (as of {folder.image.as_of})" if folder.image else "image has"
    if not needed.requirements:
        return f"# Nothing: inference.py imports no more than the {has}.\n"
    lines = "".join(f"{line}\n" for line in needed.requirements.values())
    return f"# What inference.py imports beyond what the {has}, as installed in the notebook.\n{lines}"


def _text(relative: str, data: bytes) -> str | bytes:
    if not relative.endswith(".py"):
        return data
    encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
    return data.decode(encoding)
