"""``code/requirements.txt``: what the container installs with pip before it serves."""

from __future__ import annotations

from pathlib import Path

from .folder import Author, CodeFolder

_EMPTY = "# What inference.py imports beyond the image's own packages, one requirement a line.\n"


def ensure_requirements(folder: CodeFolder, *, author: Author | None = None) -> Path:
    """Return ``code/requirements.txt``, made with nothing but a comment if it is not there.

    A file that is there is the user's and stays as it is.

    Raises
    ------
    AuthoringError
        If it cannot be written.
    """
    path = folder.path / "requirements.txt"
    if not path.exists():
        folder.write_file("requirements.txt", _EMPTY, author=author or Author(), generated=True)
    return path
