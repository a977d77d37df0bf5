"""The user's own modules go into the archive as Python reads them, and what is not Python stays behind."""

from __future__ import annotations

import sys

import pytest

from sm_magics.authoring import own_file
from sm_magics.packaging.own_modules import own_files


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A directory on the module search path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_is_the_users_own_whether_it_is_loaded_or_not(beside):
    (beside / "thing_of_mine.py").write_text("x = 1\n")
    assert own_file("thing_of_mine") == (beside / "thing_of_mine.py").resolve()
    assert "thing_of_mine" not in sys.modules
    assert [own_file(name) for name in ("json", "pytest", "nowhere_at_all", "sys")] == [None] * 4


def test_sources_in_another_encoding_travel_as_utf_8(beside):
    (beside / "labels_of_mine.py").write_bytes("# -*- coding: latin-1 -*-\nNAME = 'Käse'\n".encode("latin-1"))
    files = own_files(["labels_of_mine"]).sources
    assert files == {"labels_of_mine.py": "# -*- coding: utf-8 -*-\nNAME = 'Käse'\n"}


@pytest.mark.parametrize(
    "broken", [b"print 'hello'\n", "NAME = 'Käse'\n".encode("latin-1"), b"# coding: nope\n", b"\0"]
)
def test_a_file_of_a_package_that_is_not_python_stays_behind(beside, broken):
    (beside / "parts_of_mine").mkdir()
    (beside / "parts_of_mine/__init__.py").write_text("from . import good\n")
    (beside / "parts_of_mine/good.py").write_text("import sizes_of_mine\n")
    (beside / "parts_of_mine/old.py").write_bytes(broken)
    (beside / "sizes_of_mine.py").write_text("N = 1\n")

    found = own_files(["parts_of_mine"])

    assert set(found.sources) == {"parts_of_mine/__init__.py", "parts_of_mine/good.py", "sizes_of_mine.py"}
    assert len(found.notes) == 1
    assert "parts_of_mine/old.py" in found.notes[0]
