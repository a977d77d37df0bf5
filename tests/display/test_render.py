"""What each value looks like."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.authoring import Finding, Written
from sm_magics.display import render
from sm_magics.hosting import Endpoint, Removal
from sm_magics.packaging import Package, PackageFile
from sm_magics.progress import Progress, StatusChanged

DIGEST = "0123456789abcdef" * 4
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1) | st.sampled_from(
    ["<q>", "</pre></div>", "<script>", "&amp;", "a'b\"c"]
)
with_read = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def package(**changes):
    values = {
        "name": "digits",
        "path": Path("/secret/place/model.tar.gz"),
        "digest": DIGEST,
        "size": 1234,
        "files": (
            PackageFile("model.pth", 1000, "state_dict, 14 tensors"),
            PackageFile("code/inference.py", 200),
            PackageFile("code/parts/net.py", 30),
            PackageFile("code/requirements.txt", 4),
        ),
        "model_dir": Path("/secret/place"),
        "python": "3.11",
        "torch": "2.5.1",
        "saved_as": "state_dict",
        "source": "net",
    }
    return Package(**{**values, **changes})


def endpoint(**changes):
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    values = {
        "name": "digits",
        "status": "InService",
        "created": when,
        "modified": when,
        "arn": "arn:aws:sagemaker:us-west-2:123456789012:endpoint/digits",
        "config_name": f"digits-{DIGEST[:8]}-01234567",
        "variants": ({"VariantName": "AllTraffic", "CurrentInstanceCount": 1},),
    }
    return Endpoint(**{**values, **changes})


def test_a_package_is_drawn_as_the_tree_of_its_archive(read):
    shown = render.package(package(notes=("A note.",)))
    lines = shown.text.splitlines()[1:]
    drawn = [
        "model.tar.gz",
        "├── model.pth",
        "└── code/",
        "    ├── inference.py",
        "    ├── parts/",
        "    │   └── net.py",
    ]
    assert [line[2 : 2 + len(want)] for line, want in zip(lines, drawn, strict=False)] == drawn
    assert "state_dict, 14 tensors" in shown.text
    assert "A note." in read(shown).text
    assert "1.2 kB" in shown.text


def test_what_is_saved_with_the_notebook_holds_no_digest_time_or_place():
    for shown in (
        render.package(package()),
        *(render.endpoint(endpoint(outcome=outcome)) for outcome in ("", "created", "updated", "unchanged")),
        render.endpoint(endpoint(status="Creating", outcome="created")),
        render.endpoint(endpoint(status="Failed", reason="No.")),
        render.removal(
            Removal(endpoint(), (f"digits-{DIGEST[:8]}-1",), (f"digits-{DIGEST[:8]}-2",), (f"s3://b/{DIGEST}",))
        ),
    ):
        for form in (shown.html, shown.text):
            assert DIGEST[:8] not in form
            assert "/secret/" not in form
            assert "2026" not in form
            assert "123456789012" not in form


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"outcome": "created"}, ["in service · this machine", "Created.", "%sm_predict -e digits"]),
        ({"outcome": "updated"}, ["in service", "Updated in place."]),
        ({"outcome": "unchanged"}, ["in service", "Already serving this package."]),
        ({}, ["in service", "AllTraffic", "1 instance"]),
        ({"status": "Creating", "outcome": "created"}, ["deployment started", "%sm_status digits"]),
        ({"status": "Creating"}, ["being created", "%sm_status digits"]),
        ({"status": "Failed", "reason": "No ping."}, ["failed", "No ping.", "%sm_logs digits"]),
        ({"status": "SomethingNew"}, ["SomethingNew"]),
        ({"where": "us-west-2", "notes": ("A gap.",)}, ["in service · us-west-2", "A gap."]),
    ],
)
def test_an_endpoint_says_how_it_is_and_what_can_be_done(read, changes, says):
    shown = render.endpoint(endpoint(**changes))
    for words in says:
        assert words in shown.text
    for words in says:
        assert all(part in read(shown).text for part in words.split(" · "))


def test_a_removal_is_told_before_by_name_and_after_by_number(read):
    value = Removal(endpoint(), ("c1",), ("m1", "m2"), ("s3://b/k", "s3://b/l"), kept=("m3: not ours",))
    before, after = render.removal_plan(value), render.removal(value)
    for name in ("c1", "m1", "m2", "s3://b/k", "m3: not ours"):
        assert name in before.text
        assert name in read(before).text
    assert "Gone: endpoint, endpoint configuration, 2 models, model data." in after.text
    assert "Kept: m3: not ours." in after.text


def test_a_cells_file_says_which_handlers_are_defined_and_what_is_wrong(read):
    finding = Finding("SM101", "error", "It has no model_fn.", "def model_fn(model_dir): …", "code/inference.py", 3)
    value = Written(
        path=Path("/x/code/inference.py"),
        section="handlers",
        handlers={"model_fn": "", "input_fn": "handlers", "predict_fn": "other", "output_fn": "", "transform_fn": ""},
        taken_over={"input_fn": "old"},
        stale=("other",),
        findings=(finding,),
    )
    shown = render.written(value)
    for words in ("handlers", "input_fn", "predict_fn", "SM101", "It has no model_fn.", "line 3", "old"):
        assert words in shown.text
        assert words in read(shown).text
    assert "sm-bad" in read(shown).classes
    warned = render.written(dataclasses.replace(value, findings=(dataclasses.replace(finding, severity="warning"),)))
    assert "sm-bad" not in read(warned).classes
    assert "sm-warn" in read(warned).classes


def test_a_cell_that_mends_two_findings_is_shown_once():
    fix = "this cell:\n%%sm_inference names\nTOPICS = []"
    found = [Finding("SM111", "error", f"{name} is not defined.", fix, "code/inference.py", 3) for name in ("a", "b")]
    text = "\n".join(part.text for part in render.findings(found))
    assert text.count("%%sm_inference names") == 1
    assert "Fix: the same." in text


def test_what_an_earlier_session_left_looks_as_if_it_were_not_there():
    handlers = {"model_fn": "", "input_fn": "input_fn", "predict_fn": "", "output_fn": ""}
    fresh = Written(path=Path("/x/code/inference.py"), section="input_fn", handlers=handlers)
    again = replace(
        fresh,
        handlers={**handlers, "model_fn": "model_fn", "predict_fn": "predict_fn"},
        stale=("predict_fn",),
        generated=("model_fn",),
    )
    assert render.written(fresh) == render.written(again)


def test_what_no_cell_defines_any_more_is_said():
    written = Written(path=Path("/x/code/inference.py"), section="s", dropped=("output_fn",))
    assert "No cell defines output_fn any more." in render.written(written).text


def test_a_package_names_sections_whose_cell_was_not_run():
    assert "not run in this session: predict_fn" in render.package(package(), ("predict_fn",)).text
    assert "session" not in render.package(package()).text


@pytest.mark.parametrize("changes", [{}, {"replaced": True}, {"replaced": True, "unchanged": True}])
def test_running_a_cell_again_shows_the_same_again(changes):
    shown = render.written(Written(path=Path("/x/code/inference.py"), section="s", **changes)).text
    assert shown == "● code/inference.py · section s"


@pytest.mark.parametrize(
    ("path", "name"), [("/x/code/helpers.py", "code/helpers.py"), ("/code/m/code/b.py", "code/b.py")]
)
def test_another_file_is_named_from_code_on(path, name):
    assert render.written(Written(path=Path(path))).text.startswith(f"● {name} ")


def test_a_log_shows_its_lines(read):
    lines = [f"line {number}" for number in range(5)]
    shown = render.log("digits", "this machine", lines)
    assert all(line in shown.text and line in read(shown).text for line in lines)
    assert "nothing yet" in render.log("digits", "this machine", []).text
    tail = render.log("digits", "this machine", lines, tail=2)
    assert "line 4" in tail.text
    assert "line 2" not in tail.text
    assert "The last line;" in render.log("digits", "this machine", lines, tail=1).text


@pytest.mark.parametrize(
    "event",
    [Progress("Pack"), Progress("Upload", 5, 10), Progress("Upload", 50, 10), StatusChanged("digits", "Creating")],
)
def test_progress_is_a_card_too(read, event):
    shown = render.event("digits", event)
    assert "digits" in read(shown).text


# -- whatever the values say -----------------------------------------------------------------------------------------

FINDINGS = st.builds(
    Finding,
    code=TEXT,
    severity=st.sampled_from(["error", "warning"]),
    message=TEXT,
    fix=TEXT,
    path=TEXT,
    line=st.integers(0, 9),
    section=TEXT,
)


@with_read
@given(TEXT, TEXT, st.lists(FINDINGS, max_size=3), st.sampled_from(["InService", "Failed", "Creating", "<q>"]))
def test_no_value_becomes_markup(read, one, other, findings, status):
    shown = [
        render.package(package(name=one, files=(PackageFile(f"{one}/{other}", 1, one),), notes=(other,))),
        render.endpoint(endpoint(name=one, where=other, status=status, reason=one, notes=(other,))),
        render.endpoint(endpoint(name=one, variants=({"VariantName": other},))),
        render.removal_plan(Removal(endpoint(name=one), (other,), (one,), (other,), (one,))),
        render.removal(Removal(endpoint(name=one), (other,), (one,), (other,), (one,))),
        render.log(one, other, [one, other, "Traceback (most recent call last):", f"E: {one}"]),
        render.written(
            Written(
                path=Path("/x/code/inference.py"),
                section=one,
                handlers={"model_fn": one, other: one},
                taken_over={one: other},
                stale=(other,),
                findings=tuple(findings),
            )
        ),
        render.event(one, Progress(other, 1, 2, one)),
        render.event(one, Progress(other, note=one)),
    ]
    for card in shown:
        assert one in read(card).text
        assert one in card.text
