"""The pages that are made: each magic has one with all its options, and the policy has what deploying sends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "site"))
nbformat = pytest.importorskip("nbformat")

import magics_pages  # noqa: E402
import policy  # noqa: E402
import python_pages  # noqa: E402
import tutorial_pages  # noqa: E402


def test_each_magic_has_a_page_with_all_its_options():
    pages = magics_pages.pages()
    for name, _, parser in magics_pages.magics():
        page = pages[f"reference/{name}.md"]
        for action in parser._actions:
            assert all(flag in page for flag in action.option_strings)
    assert "`--save-as {state_dict,torchscript,module}`" in pages["reference/sm_package.md"]
    assert all(f"reference/{name}.md" in magics_pages.overview() for name, _, _ in magics_pages.magics())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("with --sample, as %sm_check does", "with `--sample`, as `%sm_check` does"),
        ("found in\ncode/inference.py.", "found in\n`code/inference.py`."),
        ("a | b, 100 %", "a \\| b, 100 %"),
        ("--dry-run shows", "`--dry-run` shows"),
    ],
)
def test_options_and_magics_in_a_help_text_are_code(text, shown):
    assert magics_pages._escaped(text) == shown


def test_the_policy_has_what_deploying_calling_and_deleting_send():
    actions = policy.actions()
    assert {
        *(
            f"sagemaker:{verb}{what}"
            for verb in ("Create", "Describe", "Delete")
            for what in ("Model", "EndpointConfig")
        ),
        *(f"sagemaker:{verb}Endpoint" for verb in ("Create", "Describe", "Delete", "Update", "Invoke")),
        *("sagemaker:AddTags", "sagemaker:ListTags", "sagemaker:DescribeTrainingJob", "sagemaker:ListEndpoints"),
        *("s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject", "s3:AbortMultipartUpload"),
        *("logs:DescribeLogStreams", "logs:GetLogEvents", "pricing:GetProducts"),
    } <= actions
    assert not {action for action in actions if "TrainingJob" in action and "Create" in action}
    statements = policy.document()["Statement"]
    said = [
        action
        for one in statements
        for action in ([one["Action"]] if one["Action"] == "iam:PassRole" else one["Action"])
    ]
    assert sorted(said) == sorted([*actions, "iam:PassRole"])


def test_each_exported_name_has_a_page():
    pages = python_pages.pages()
    assert "## predict" in pages["python/Endpoint.md"]
    assert "endpoint_name" in pages["python/deploy.md"]


def test_a_notebook_becomes_a_page_with_its_outputs(tmp_path):
    from nbformat import v4

    stream = v4.new_output("stream", text="1 < 2\n")
    shown = v4.new_output("display_data", {"text/html": "<b>card</b>\n\n* no list", "text/plain": "card"})
    raised = v4.new_output("error", ename="ModelError", evalue="no", traceback=["ModelError: no", "  hint: yes"])
    frames = v4.new_output("error", ename="KeyError", evalue="'a'", traceback=["\x1b[31m-----", "KeyError: 'a'"])
    cells = [v4.new_markdown_cell("# Title"), v4.new_code_cell("print(1)", outputs=[stream, shown, raised, frames])]
    cells[1].id = "a"
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "01_x.ipynb")
    made = tutorial_pages.pages(tmp_path)
    page = made.files["tutorials/01_x.md"]
    assert page.startswith("# Title\n")
    assert "```python\nprint(1)\n```" in page
    html = [made.outputs[mark] for mark in tutorial_pages.PLACE.findall(page)]
    assert "1 &lt; 2" in html[0]
    assert "<b>card</b>\n\n* no list" in html[1]
    assert "ModelError: no\n  hint: yes" in html[2]
    assert "KeyError: &#x27;a&#x27;" in html[3]
    assert "-----" not in html[3]
