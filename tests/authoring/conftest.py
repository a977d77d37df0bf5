from __future__ import annotations

from pathlib import Path

import pytest

from sm_magics.authoring import Author, CodeFolder


@pytest.fixture
def folder(tmp_path: Path) -> CodeFolder:
    return CodeFolder(tmp_path)


@pytest.fixture
def cell():
    """Make the author of a cell: `cell(3)` is the third cell of this session's notebook."""

    def author(number: int = 1, *, notebook: str = "nb.ipynb", session: str = "one", cell_id: str = "") -> Author:
        return Author(notebook, session, number, cell_id or f"cell-{number}")

    return author
