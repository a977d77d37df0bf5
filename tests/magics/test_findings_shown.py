"""What a cell shows of the findings: the cell's own lines, the line itself, what to do, and what the notebook has."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter


def offered(notebook, text: str) -> set[str]:
    with provisionalcompleter():
        return {found.text for found in notebook.shell.Completer.completions(text, len(text))}


def test_a_finding_names_the_cells_own_line_and_quotes_it(notebook):
    notebook.succeed("%%sm_inference\n\ndef predict_fn(data, model):\n    return scale(data)\n")
    assert "SM111" in notebook.text
    assert "this cell, line 3" in notebook.text
    assert "return scale(data)" in notebook.text
    notebook.succeed("%%sm_inference\ndef output_fn(prediction, accept):\n    return str(prediction)\n")
    assert "section predict_fn, line 3" in notebook.text


def test_a_name_that_the_notebook_has_comes_with_the_cell_that_takes_it_along(notebook):
    notebook.succeed("FACTOR = 3\ndef scale(x):\n    return x * FACTOR\n")
    notebook.succeed("%%sm_inference\ndef predict_fn(data, model):\n    return scale(data)\n")
    assert "--with-notebook-names" in notebook.text
    assert "FACTOR = 3" in notebook.text
    assert "def scale(x):" in notebook.text


def test_a_silenced_finding_is_not_shown(notebook):
    notebook.succeed("%%sm_inference\ndef predict_fn(data, model):\n    return scale(data)  # noqa: SM111\n")
    assert "SM111" not in notebook.text


def test_the_image_that_is_asked_for_is_the_one_that_is_checked_against(notebook):
    cell = "%%sm_inference\nimport torchdata\n\n\ndef predict_fn(data, model):\n    return torchdata\n"
    notebook.succeed(cell)
    assert "SM14" not in notebook.text
    notebook.succeed("%config SmMagics.framework_version = '2.5'")
    notebook.succeed(cell)
    assert "SM141" in notebook.text
    notebook.succeed("%config SmMagics.framework_version = ''")
    notebook.succeed("%config SmMagics.image_uri = '123.dkr.ecr.us-west-2.amazonaws.com/mine:1'")
    notebook.succeed(cell.replace("torchdata", "known_to_that_image_only"))
    assert "SM14" not in notebook.text


def test_the_packages_requirements_are_those_of_the_code(notebook):
    torch = pytest.importorskip("torch")
    notebook.namespace["net"] = torch.nn.Linear(2, 1)
    notebook.succeed(
        "%%sm_inference\nimport hypothesis\n\n\ndef input_fn(body, content_type):\n    return hypothesis\n"
    )
    notebook.succeed("%sm_package net")
    assert "hypothesis==" in Path("code/requirements.txt").read_text()
    assert "1 requirement" in notebook.text


def test_tab_offers_sections_files_and_versions(notebook):
    notebook.succeed("%%sm_inference decoding\ndef decode(x):\n    return x\n")
    notebook.succeed("%%sm_code features.py\nx = 1\n")
    assert "decoding" in offered(notebook, "%%sm_inference deco")
    assert "model_fn" in offered(notebook, "%%sm_inference mod")
    assert "features.py" in offered(notebook, "%%sm_code fea")
    assert "requirements.txt" in offered(notebook, "%%sm_code req")
    assert {"2.5.1", "2.6.0"} <= offered(notebook, "%sm_deploy net --framework-version 2.")
    assert "--with-notebook-names" in offered(notebook, "%%sm_inference --with")
