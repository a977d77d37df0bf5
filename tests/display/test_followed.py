"""What a live card says of an endpoint, for each state that it can be in."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.display import followed
from sm_magics.display.followed import Known
from sm_magics.display.timeline import DONE, Phase
from sm_magics.hosting import Endpoint, diagnosis
from sm_magics.hosting.composition import Variant
from sm_magics.hosting.cost import Cost
from sm_magics.hosting.endpoints import Asked
from sm_magics.hosting.measuring import Measured
from sm_magics.packaging.report import Frame

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
LOG = """\
Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 3, in model_fn
    net.load_state_dict(torch.load("weights.pt"))
FileNotFoundError: weights.pt"""
IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1) | st.sampled_from(
    ["<q>", "</pre></div>", "<script>alert(1)</script>", "&amp;", "a'b\"c"]
)


def endpoint(status="InService", **changes):
    values = {
        "name": "digits",
        "status": status,
        "where": "us-west-2",
        "created": BEGAN,
        "modified": BEGAN + timedelta(seconds=90),
        "variants": ({"VariantName": "AllTraffic", "CurrentInstanceCount": 2},),
        "config_name": "digits-1",
    }
    return Endpoint(**{**values, **changes})


def said(known: Known, seconds: float = 134) -> str:
    now = BEGAN + timedelta(seconds=seconds)
    return "\n".join(part.text for part in [followed.head(known, now), *followed.body(known)])


def test_while_it_comes_up_the_phases_stand_in_a_line():
    known = Known(
        endpoint("Creating"), (Phase("Upload", DONE, "1.3 MB in 0.4 s"),), (Variant("A", "ml.m5.large", 2, 1.0, IMAGE),)
    )
    text = said(known)
    for words in (
        "being created · us-west-2 · 2 min 14 s",
        "1.3 MB in 0.4 s",
        "Starting",
        "In service",
        "ml.m5.large × 2  torch 2.6.0 · Python 3.12",
    ):
        assert words in text


def test_in_service_it_shows_how_it_does():
    latencies = (None,) * 57 + (0.003, 0.004, 0.0031)
    text = said(Known(endpoint(), measured=Measured(1797, 3, 0.0031, 0.0058, latencies)))
    for words in ("in service · us-west-2 · up 2 min 14 s", "2 instances", "3.1 ms / 5.8 ms", "1,797", "3 errors", "█"):
        assert words in text
    assert "Starting" not in text


def test_a_serverless_endpoint_has_a_limit_and_no_instances():
    variants = ({"VariantName": "A", "CurrentServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}},)
    text = said(Known(endpoint(variants=variants), variants=(Variant("A", "", 0, 1.0, IMAGE),)))
    assert "5 max concurrency" in text
    assert "instance" not in text
    assert "1 workers" in said(Known(endpoint(where="local", variants=variants)))


def test_what_it_costs_is_shown_where_that_is_known():
    text = said(Known(endpoint(), cost=Cost("ml.m5.large", Decimal("0.12"), Decimal("2.761"))))
    assert "$0.12 an hour · $2.76 so far" in text
    assert "$" not in said(Known(endpoint(), cost=Cost(unknown="No permission.")))
    assert "$" not in said(Known(endpoint(where="local"), cost=Cost("", Decimal(0), Decimal(0))))


def test_a_failure_says_why_first_and_names_the_line(read_live):
    known = Known(endpoint("Failed", reason="No ping."), failure=diagnosis.read(LOG))
    text = said(known)
    assert "failed · us-west-2 · after 1 min 30 s" in text
    assert "FileNotFoundError: weights.pt (model_fn, code/inference.py line 3)" in text
    assert "model_fn raised" in text
    found = read_live(*followed.body(known))
    assert {"details", "summary"} <= found.tags
    assert text.index("FileNotFoundError") < text.index("load_state_dict")
    assert "No ping." in said(Known(endpoint("Failed", reason="No ping.")))


def test_a_rolled_back_update_is_told_though_it_is_in_service():
    text = said(Known(endpoint(asked=Asked("digits-2"))))
    assert "it serves what it served before" in text
    assert "Updating" in text


def test_what_keeps_it_from_knowing_is_said_beside_what_it_knew():
    text = said(Known(endpoint("Creating"), trouble=("The AWS credentials have expired.", "!aws sso login")))
    assert "The AWS credentials have expired. !aws sso login" in text
    assert "being created" in text


def test_several_variants_are_told_with_their_share():
    variants = (Variant("old", "ml.m5.large", 1, 0.9), Variant("new", "", 0, 0.1, "me/image:1"))
    text = said(Known(endpoint(), variants=variants))
    assert "old  ██████████████████  90%  ml.m5.large × 1" in text
    assert "new  ██                  10%  serverless       image:1" in text


def test_on_this_machine_no_instance_type_is_told_for_it_is_a_label():
    assert "ml.m5" not in said(Known(endpoint(where="local"), variants=(Variant("A", "ml.m5.large", 1),)))
    assert "2 workers" in said(Known(endpoint(where="local")))


def test_what_is_deleted_says_nothing_else():
    assert said(Known(endpoint("Deleted"))) == "◐ digits · deleted · us-west-2".replace("◐", "●")


@pytest.mark.parametrize("status", ["", "Creating", "SomethingNew", "OutOfService", "Deleting", "UpdateRollbackFailed"])
def test_any_status_is_shown(read_live, status):
    known = Known(endpoint(status, created=None, modified=None, variants=()))
    read_live(followed.head(known, BEGAN), *followed.body(known))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, st.sampled_from(["InService", "Failed", "Creating", "<q>"]))
def test_no_value_becomes_markup(read_live, one, other, status):
    known = Known(
        endpoint(status, name=one, where=other, reason=one, notes=(other,)),
        (Phase(one, DONE, other),),
        (Variant(one, other, 1, 0.5, one), Variant(other)),
        failure=diagnosis.read(f"{LOG}{one}"),
        trouble=(one, other),
    )
    parts = [followed.head(known, BEGAN), *followed.body(known)]
    found = read_live(*parts)
    for text in (one, other):
        assert text in found.text


def test_what_answered_its_sample_is_verified_and_what_did_not_is_a_warning():
    assert "in service, verified · us-west-2" in said(Known(endpoint(verified=True)))
    known = Known(endpoint(verified=False, notes=("Not verified, it answers otherwise.",)))
    assert "in service, not verified" in said(known)
    assert known.state == "warn"
    assert "verified" not in said(Known(endpoint()))
    assert "verified" not in said(Known(endpoint("Updating", verified=True)))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [((240, 362), "usually 4 min to 6 min"), ((0.4, 0.42), "usually 0.4 s"), ((45, 89), "usually 45 s to 89 s")],
)
def test_what_is_usual_of_its_kind_stands_at_the_phase_that_goes_on(seconds, words):
    assert words in said(Known(endpoint("Creating"), usual=seconds))
    assert "usually" not in said(Known(endpoint("Creating")))
    assert "usually" not in said(Known(endpoint("Updating"), usual=seconds))


def test_the_images_versions_are_told_where_the_notebooks_differ():
    variants = (Variant("A", "ml.m5.large", 1, 1.0, IMAGE),)
    assert "The notebook has torch 2.13.0." in said(Known(endpoint(), variants=variants, ours=("2.13.0", "3.12.1")))
    text = said(Known(endpoint(), variants=variants, ours=("2.5.0", "3.11.7")))
    assert "The notebook has torch 2.5.0 · Python 3.11.7." in text
    assert "The notebook has" not in said(Known(endpoint(), variants=variants, ours=("2.6.1", "3.12.0")))
    assert "The notebook has" not in said(Known(endpoint(), variants=variants))
    noted = endpoint(notes=("The notebook has torch 2.5.0, the container image torch 2.6.0.",))
    text = said(Known(noted, variants=variants, ours=("2.5.0", "3.11.7")))
    assert "The notebook has Python 3.11.7." in text


def test_traffic_is_what_it_is_now_and_not_what_was_asked_for_once():
    now = (
        {"VariantName": "old", "CurrentWeight": 1.0, "CurrentInstanceCount": 3},
        {"VariantName": "new", "CurrentWeight": 3.0, "CurrentInstanceCount": 1},
    )
    variants = (Variant("old", "ml.m5.large", 1, 0.9), Variant("new", "ml.m5.large", 1, 0.1))
    text = said(Known(endpoint(variants=now), variants=variants))
    assert "25%  ml.m5.large × 3" in text
    assert "75%  ml.m5.large × 1" in text


def test_a_failure_is_shown_at_its_cell(read_live):
    frame = Frame("code/inference.py", 3, "model_fn", "x", "model_fn", 3, 4, "id-4", ((2, "a"), (3, "b<c")))
    found = replace(diagnosis.explain("", LOG.splitlines()), frame=frame)
    parts = followed.body(Known(endpoint("Failed"), failure=found, notebook="n.ipynb"))
    page = read_live(*parts)
    assert "section model_fn, cell [4], line 3" in page.text
    assert "▸ 3  b<c" in page.text
    assert 'href="n.ipynb#cell-id=id-4"' in "".join(part.html for part in parts)


def test_what_handlers_raised_is_saved_at_the_line_of_the_cell(read):
    frame = Frame("code/inference.py", 3, "predict_fn", "x", "predict_fn", 3, 4, "id-4", ((2, "a"), (3, "b<c")))
    found = replace(diagnosis.explain("", LOG.splitlines()), frame=frame)
    shown = followed.refusal(endpoint(), found, "n.ipynb")
    assert "section predict_fn, cell [4], line 3" in shown.text
    assert "▸ 3  b<c" in read(shown).text
    assert "FileNotFoundError: weights.pt" in read(shown).text
