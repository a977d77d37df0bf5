"""The codes of findings: each is documented, each is silenced on its line, each says where it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import sm_magics
from sm_magics.authoring.findings import CODES, Finding, is_silenced

PACKAGE = Path(sm_magics.__file__).parent
PAGE = PACKAGE.parent / "docs" / "findings.md"


def used() -> set[str]:
    """Return the codes that findings are made with."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "findings.py":
                found |= set(re.findall(r"^SM\d{3}$", node.value))
    return found


def test_every_code_is_documented_and_every_documented_code_exists():
    documented = dict(re.findall(r"^### (SM\d{3}): (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert documented == CODES
    assert used() == set(CODES)


def test_a_finding_is_silenced_by_its_code_only_and_on_its_line_only():
    finding = Finding("SM121", "warning", "…", "…", line=2)
    assert is_silenced(finding, "a\nb  # noqa: SM121\n")
    assert is_silenced(finding, "a\nb  # noqa: E501,SM121 - for a reason\n")
    assert not is_silenced(finding, "a  # noqa: SM121\nb\n")
    assert not is_silenced(finding, "a\nb  # noqa\n")
    assert not is_silenced(finding, "a\nb  # noqa: SM12\n")
    assert not is_silenced(finding, "a\n")


def test_a_finding_of_the_folder_quotes_its_line_and_names_the_cell(folder):
    folder.write_section("import os\n\n\ndef predict_fn(data, model):\n    return Scaler(data)\n")
    (finding,) = folder.check()
    assert (finding.section, finding.cell_line, finding.quoted) == ("predict_fn", 5, "return Scaler(data)")


def test_findings_that_no_module_check_makes_are_silenced_too(folder):
    folder.write_section("import nowhere_to_be_found  # noqa: SM141\n")
    folder.write_section("def input_fn(body):  # noqa: SM102\n    return body\n")
    folder.write_file("requirements.txt", "what is this  # noqa: SM151\n")
    assert folder.check() == ()


def test_what_nothing_imports_is_looked_at_when_it_is_written_and_not_again(folder):
    folder.write_section("def predict_fn(data, model):\n    return model(data)\n")
    written = folder.write_file("train.py", "import torch\ntorch.save(net, '/opt/ml/output/net.pt')\n")
    assert [finding.code for finding in written.findings] == ["SM111", "SM161"]
    assert folder.check() == ()
