"""What may be put into ``code/``: paths that stay inside it, and Python source in UTF-8."""

from __future__ import annotations

import os
import tokenize
from io import BytesIO
from pathlib import Path, PurePosixPath

from sm_magics.errors import AuthoringError


def checked_path(relative: str) -> PurePosixPath:
    """Return a path as typed, relative to ``code/``.

    Raises
    ------
    AuthoringError
        If it names no file, leads out of ``code/``, or is the script's, which cells write.
    """
    path = PurePosixPath(relative)
    if not relative.strip() or not path.parts or relative.endswith("/") or "\0" in relative:
        raise AuthoringError(f"{relative!r} names no file.", hint="Name one, such as: %%sm_code features.py")
    if path.is_absolute() or ".." in path.parts or relative.startswith("~"):
        raise AuthoringError(
            f"{relative} leads out of code/.", hint="Name a file inside it, such as: %%sm_code features.py"
        )
    if path.parts[0] == "code" and len(path.parts) > 1:
        raise AuthoringError(
            f"Paths are inside code/ already: {relative} would be code/{relative}.",
            hint=f"%%sm_code {PurePosixPath(*path.parts[1:])}",
        )
    if str(path).casefold() == "inference.py":
        raise AuthoringError(
            "inference.py is written by cells, one section each, not as a whole.", hint="Use %%sm_inference."
        )
    return path


def check_encoding(data: bytes, path: PurePosixPath) -> None:
    """Refuse Python source whose first lines declare another encoding than the one it is written in."""
    if path.suffix != ".py":
        return
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
    except SyntaxError as error:
        encoding = str(error)
    if encoding not in {"utf-8", "utf-8-sig"}:
        raise AuthoringError(
            f"The first lines of code/{path} would declare another encoding than UTF-8: {encoding}.",
            hint="Take the coding comment out of the cell; files here are UTF-8.",
        )


def check_inside(path: Path, code: Path) -> None:
    """Refuse a path that a symbolic link leads out of ``code/``.

    Raises
    ------
    AuthoringError
        If it does.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(code)):
        raise AuthoringError(f"{path} leads out of {code}, through a symbolic link.", hint="Remove the link.")
