"""Handlers that use names of the notebook."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sm_magics.authoring import Author, CodeFolder, Script, notebook_names, write_notebook_names


def run(*cells: str) -> dict[str, object]:
    space: dict[str, object] = {"__name__": "__main__"}
    for cell in cells:
        exec(cell, space)
    return space


def wanted(script: str, *cells: str):
    return notebook_names(Script.parse(script), cells=cells, namespace=run(*cells))


def test_functions_and_constants_are_taken_with_what_they_need():
    found = wanted(
        "# %% input_fn\ndef input_fn(body, content_type):\n    return clean(json.loads(body))[:LIMIT]\n",
        "import json, os\nWORDS = {'a': 1}\nLIMIT = 2 * 3  # at most\n",
        "def clean(words):\n    # unknown ones go\n    return [w for w in words if w in WORDS]\n",
    )
    assert found.names == ("LIMIT", "clean", "json")
    assert found.missing == ()
    assert found.source == (
        "import json\n\n\nWORDS = {'a': 1}\nLIMIT = 2 * 3  # at most\n\n\n"
        "def clean(words):\n    # unknown ones go\n    return [w for w in words if w in WORDS]\n"
    )
    assert found.cell().startswith("%%sm_inference notebook_names\nimport json\n")
    assert "--with-notebook-names" in found.fix("clean")


def test_what_the_script_has_itself_or_the_shell_gives_is_not_taken():
    found = wanted(
        "from helpers import far\n\n# %% a\nNEAR = 1\n\n# %% input_fn\ndef input_fn(body, content_type):\n"
        "    here = [x for x in body]\n    return far(NEAR, here, len(body), _, In, nowhere)\n",
        "NEAR = 2\nfar = here = x = body = _ = In = 3\n",
    )
    assert found.names == ()
    assert found.source == ""


def test_what_cannot_be_taken_is_said():
    found = wanted("def input_fn(body, content_type):\n    return next(stream)\n", "stream = iter([])\n")
    assert found.names == found.missing == ("stream",)
    assert "Make stream in a cell" in found.fix("stream")


def test_the_section_follows_what_the_handlers_use(tmp_path):
    cells = ["A = 1\nB = 2\n"]
    space = run(*cells)
    folder = CodeFolder(tmp_path)
    folder.write_section("def input_fn(body, content_type):\n    return A\n")
    _, written = write_notebook_names(folder, cells=cells, namespace=space)
    assert written is not None
    assert not [finding for finding in written.findings if finding.code == "SM111"]
    script = (tmp_path / "code/inference.py").read_text()
    assert "# %% notebook_names\nA = 1\n" in script
    folder.write_section("def input_fn(body, content_type):\n    return B\n")
    write_notebook_names(folder, cells=cells, namespace=space)
    script = (tmp_path / "code/inference.py").read_text()
    assert "# %% notebook_names\nB = 2\n" in script
    folder.write_section("def input_fn(body, content_type):\n    return 3\n")
    write_notebook_names(folder, cells=cells, namespace=space)
    assert "notebook_names" not in (tmp_path / "code/inference.py").read_text()
    assert write_notebook_names(folder, cells=cells, namespace=space)[1] is None


def test_a_base_class_of_the_notebook_comes_before_what_derives_from_it(tmp_path):
    cells = ["class Base:\n    pass\n"]
    folder = CodeFolder(tmp_path)
    folder.write_section("class Mine(Base):\n    pass\n\n\ndef input_fn(body, content_type):\n    return Mine()\n")
    write_notebook_names(folder, cells=cells, namespace=run(*cells))
    script = (tmp_path / "code/inference.py").read_text()
    exec(compile(script, "inference.py", "exec"), {})


@pytest.mark.parametrize("script", ["", "# %% broken\n"])
def test_a_script_that_uses_nothing(script):
    assert wanted(script, "A = 1\n").names == ()


def test_the_cell_that_takes_names_along_still_has_its_own_section(tmp_path):
    author = Author("/home/me/a.ipynb", "session", 1, "cell")
    folder = CodeFolder(tmp_path)
    folder.write_section("def input_fn(body, content_type):\n    return A\n", name="handlers", author=author)
    write_notebook_names(folder, cells=["A = 1\n"], namespace=run("A = 1"), author=author)
    assert folder.stale(author) == ()
    later = replace(author, cell_id="another", execution_count=2)
    written = folder.write_section("def output_fn(answer, accept):\n    return '1', accept\n", author=later)
    assert written.stale == ()
    assert written.handlers["input_fn"] == "handlers"
