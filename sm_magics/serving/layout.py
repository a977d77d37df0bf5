"""Where things lie in a model directory."""

from __future__ import annotations

from pathlib import Path


def model_directory(path: Path) -> Path:
    """Return the directory that is the model's: a single folder in an archive *is* the model directory."""
    entries = list(path.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else path


def requirements_file(path: Path) -> Path | None:
    """Return the ``code/requirements.txt`` that the container installs, None if there is none."""
    file = model_directory(path) / "code" / "requirements.txt"
    return file if file.is_file() else None
