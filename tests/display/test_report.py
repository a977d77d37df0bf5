"""The proof as a card."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.authoring import Finding
from sm_magics.display import report as drawn
from sm_magics.packaging.report import FAILED, PASSED, SKIPPED, WARNING, Failure, Frame, Measures, Report, Step

DIGEST = "0123456789abcdef" * 4
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1) | st.sampled_from(
    ["<q>", "</pre></div>", "<script>", "&amp;", "a'b\"c"]
)
FRAME = Frame(
    "code/inference.py",
    12,
    "model_fn",
    "raise OSError('gone')",
    section="model_fn",
    cell_line=2,
    execution_count=4,
    cell_id="abc-1",
    excerpt=((1, "def model_fn(model_dir):"), (2, "    raise OSError('gone')"), (3, "    return 1")),
)


def report(*steps: Step, **changes) -> Report:
    values = {
        "name": "digits",
        "digest": DIGEST,
        "steps": steps,
        "measures": Measures(0.123456, 0.654321, 0.111222, 123456789),
        "notebook": "work/my digits.ipynb",
    }
    return Report(**{**values, **changes})


PASSES = tuple(
    Step(name, PASSED, what, seconds=1.25)
    for name, what in (("load", "loads"), ("call", "answers"), ("compare", "same"))
)
FAILS = report(
    Step("load", FAILED, "loads in a clean process", "OSError: gone"),
    failure=Failure("load", "OSError: gone", (FRAME,), fix="Look there.", paste="%sm_check"),
)


def test_a_proof_that_passed_is_a_table_of_its_steps(read):
    shown = drawn.report(report(*PASSES))
    assert shown.text.splitlines() == ["● digits · proof · passed", "  ✓  loads", "  ✓  answers", "  ✓  same"]
    assert "sm-bad" not in read(shown).classes


def test_remarks_do_not_make_a_proof_a_failure(read):
    shown = drawn.report(report(*PASSES, Step("versions", WARNING, "checked under torch 2.13", "the image has 2.6")))
    assert shown.text.startswith("● digits · proof · passed\n")
    assert "  !  checked under torch 2.13  the image has 2.6" in shown.text


def test_what_was_not_tried_is_said_in_the_head():
    shown = drawn.report(report(PASSES[0], Step("call", SKIPPED, "answers the sample", "no sample is known")))
    assert shown.text.startswith("! digits · proof · passed as far as it went · no sample is known\n")


def test_a_failure_leads_with_the_error_the_cell_and_the_line(read):
    shown = drawn.report(FAILS)
    assert shown.text.splitlines() == [
        "● digits · proof · failed · not loaded",
        "  OSError: gone",
        "  model_fn, section model_fn, cell [4], line 2",
        "    1  def model_fn(model_dir):",
        "  ▸ 2      raise OSError('gone')",
        "    3      return 1",
        "  Look there.",
        "  Try %sm_check",
        "  ✗  loads in a clean process",
    ]
    assert "sm-bad" in read(shown).classes


def test_the_cell_is_linked_where_the_front_end_can_follow(read):
    assert (
        '<a href="my%20digits.ipynb#cell-id=abc-1">section model_fn, cell [4], line 2</a>' in drawn.report(FAILS).html
    )
    unknown = report(*FAILS.steps, failure=FAILS.failure, notebook="")
    assert "<a" not in drawn.report(unknown).html
    read(drawn.report(FAILS))


def test_what_is_saved_holds_no_time_memory_or_digest():
    for value in (report(*PASSES), FAILS):
        shown = drawn.report(value)
        for text in (shown.html.partition("</style>")[2], shown.text):
            assert DIGEST[:8] not in text
            assert not any(number in text for number in ("1.25", "0.12", "0.65", "0.11", "123456789"))


def test_findings_stand_below(read):
    finding = Finding("SM121", "warning", "torch.load without map_location.", "Add it.", line=3)
    shown = drawn.report(report(*PASSES, findings=(finding,)))
    assert "SM121" in read(shown).text


def test_a_message_of_several_lines_and_a_default_handler(read):
    failure = Failure("load", "RuntimeError: Error(s)\nMissing key: a\nUnexpected key: b", handler="model_fn")
    shown = drawn.report(report(Step("load", FAILED, "loads"), failure=failure))
    assert "  RuntimeError: Error(s)\n  Missing key: a\n  Unexpected key: b" in shown.text
    assert "in the container's default model_fn: no cell defines one" in read(shown).text


@pytest.mark.parametrize("step", ["load", "call", "compare"])
@given(TEXT, TEXT)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_everything_shown_is_escaped(read, step, one, other):
    frame = Frame("code/x.py", 1, one, other, excerpt=((1, other),), section=one, cell_id=other)
    failure = Failure(step, f"{one}\n{other}", (frame, frame), fix=one, paste=other)
    shown = drawn.report(
        report(Step(step, FAILED, one, other, (one,)), failure=failure, name=one, notebook=f"{other}.ipynb")
    )
    read(shown)  # fails where a tag is not ours or not closed
