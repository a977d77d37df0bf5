"""A training job's card: its stages, its metrics as they come in, what it left, and deploying that."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from card_driver import buttons, eventually, html
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.display import job_card, jobs, trained
from sm_magics.display.clock import Clock
from sm_magics.display.trained import Known
from sm_magics.hosting import Endpoint
from sm_magics.hosting.outputs import Output
from sm_magics.hosting.training import Metric, TrainingJob
from sm_magics.progress import Progress, StatusChanged

PATIENCE = 60
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1) | st.sampled_from(
    ["<q>", "</pre></div>", "<script>alert(1)</script>", "&amp;", "a'b\"c"]
)
LOG = ["loss=0.5", "loss=0.25", "loss=0.125"]


def raw(*stages, definitions=(("loss", r"loss=(\S+)"),)):
    seen = []
    for number, name in enumerate(stages):
        start = BEGAN + timedelta(seconds=10 * number)
        seen.append({"Status": name, "StartTime": start, "EndTime": start + timedelta(seconds=10)})
    if seen:
        seen[-1].pop("EndTime")
    return {
        "SecondaryStatusTransitions": seen,
        "AlgorithmSpecification": {"MetricDefinitions": [{"Name": one, "Regex": regex} for one, regex in definitions]},
        "HyperParameters": {"epochs": "3", "api_key": '"hush"'},
        "FinalMetricDataList": [{"MetricName": "loss", "Value": 0.125}],
    }


class Job(TrainingJob):
    """A job that is watched by the test."""

    def watch(self, listener):
        self.listener, self.seen, self.is_watched = listener, self, True
        return self

    def stop(self):
        self.is_watched = False

    def logs(self):
        return LOG

    @property
    def artifacts(self):
        return (Output("model.pth", 12_000),)


def job(status="InProgress", detail="Training", *stages, **changes):
    values = {
        "created": BEGAN,
        "image": "1.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.6.0-cpu-py312",
        "instance_type": "ml.m5.large",
        "instance_count": 2,
        "raw": raw(*(stages or ("Starting", "Downloading", "Training"))),
    }
    return Job("digits-training", "us-west-2", status, detail, **{**values, **changes})


def said(known, seconds=25.0):
    now = BEGAN + timedelta(seconds=seconds)
    return "\n".join(part.text for part in [trained.head(known, now), *trained.body(known, now)])


def test_while_it_runs_the_stages_stand_in_a_line_with_their_times():
    text = said(Known(job()))
    assert "training job · training · us-west-2 · 25 s" in text
    for words in ("✓  Starting     10 s", "◐  Training     5 s", "·  Uploading", "ml.m5.large × 2", "pytorch-training"):
        assert words in text


def test_metrics_are_a_line_and_their_last_value(read_live):
    known = Known(job(), {"loss": (0.5, 0.25, 0.125)})
    assert "loss" in said(known)
    assert "0.125" in said(known)
    assert "svg" in read_live(*trained.body(known, BEGAN)).tags
    assert "svg" not in read_live(*trained.body(Known(job()), BEGAN)).tags  # one value is no line


def test_what_its_name_says_to_be_secret_is_hidden():
    assert "hush" not in said(Known(job()))
    assert "epochs" in said(Known(job()))


def test_what_is_billed_is_told_of_a_job_in_aws():
    done = job("Completed", "Completed", ended=BEGAN + timedelta(seconds=95), billable_seconds=71)
    assert "1 min 11 s billed" in said(Known(done))
    assert "took 1 min 35 s" in said(Known(done))
    assert "billed" not in said(Known(replace(done, where="local")))


def test_one_that_failed_says_at_which_stage_and_why():
    text = said(Known(job("Failed", "Failed", reason="AlgorithmError: <b>", ended=BEGAN + timedelta(seconds=40))))
    assert "✗  Training" in text
    assert "AlgorithmError: <b>" in text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, TEXT)
def test_nothing_becomes_markup(read_live, one, other, third):
    value = TrainingJob(
        one, other, third, other, instance_type=one, image=third, raw={"HyperParameters": {other: third}}
    )
    known = Known(value, {third: (1.0, 2.0)}, (Output(one, 3),), trouble=(other, third))
    page = read_live(trained.head(known, BEGAN), *trained.body(known, BEGAN))
    for words in (one, other, third):
        assert words in page.text


@pytest.fixture
def made(monkeypatch):
    cards = []

    def make(value, **options):
        clock = Clock()
        monkeypatch.setattr(clock, "add", lambda _: None)
        card = job_card.TrainingJobCard(value, shown=jobs.training_job(value), ticks=clock, **options)
        cards.append(card)

        def tell(**changes):
            value.seen = replace(value, **changes)
            value.listener(StatusChanged(value.name, value.seen.status, value.seen.detail))
            card.tick(100.0)

        return card, tell

    yield make
    for card in cards:
        card.close()


def test_metrics_come_in_while_it_runs_and_it_asks_no_more_once_it_has_ended(made):
    card, tell = made(job())
    assert "loss, 3 values" not in html(card)
    assert card.tick(0.0) < 5
    assert "loss, 3 values" in html(card)
    tell(status="Completed", detail="Completed", ended=BEGAN)
    assert "training job · completed" in html(card)
    assert "training job digits-training is completed" in html(card)  # to a screen reader
    assert card.look_up(200.0) == float("inf")


def test_what_it_left_is_looked_through_on_request(made):
    card, _ = made(job("Completed", "Completed", ended=BEGAN))
    buttons(card)["Artifacts"].click()
    eventually(lambda: "model.pth" in html(card))
    assert "12.0 kB" in html(card)
    assert "Artifacts" not in buttons(card)


def test_deploying_asks_shows_how_far_it_is_and_then_the_endpoints_card(made):
    went = threading.Event()

    def deploy(listener):
        listener(Progress("Upload", 1, 2))
        assert went.wait(PATIENCE)
        return Endpoint("digits", status="InService")

    card, _ = made(
        job("Completed", "Completed", ended=BEGAN),
        where=lambda: "<b>digits</b> on this machine",
        deploy=deploy,
        card=lambda endpoint, before: job_card.widgets.button(f"{endpoint.name}, {before[0].name}", "", print),
    )
    buttons(card)["Deploy…"].click()
    eventually(lambda: "Cancel" in buttons(card))
    assert "Deploy what it trained as &lt;b&gt;digits&lt;/b&gt; on this machine?" in html(card)
    buttons(card)["Cancel"].click()
    assert "Deploy what" not in html(card.children[4])
    buttons(card)["Deploy…"].click()
    eventually(lambda: "Deploy" in buttons(card))
    buttons(card)["Deploy"].click()
    eventually(lambda: "Upload" in html(card))
    went.set()
    eventually(lambda: "digits, Upload" in buttons(card))
    assert "digits is in service" in html(card)


def test_what_cannot_be_deployed_says_so_and_may_be_tried_again(made):
    def refuse(_):
        raise OSError("no <b>way</b>")

    card, _ = made(job("Completed", "Completed", ended=BEGAN), deploy=refuse)
    buttons(card)["Deploy…"].click()
    eventually(lambda: "Deploy" in buttons(card))
    buttons(card)["Deploy"].click()
    eventually(lambda: "It was not deployed: no &lt;b&gt;way&lt;/b&gt;" in html(card))
    assert not buttons(card)["Deploy…"].disabled


def test_one_that_still_runs_has_nothing_to_deploy(made):
    card, _ = made(job(), deploy=print)
    assert list(buttons(card)) == ["Logs"]


def test_the_saved_card_is_the_static_one(made):
    value = job(raw={**raw("Training"), "FinalMetricDataList": []})
    card, tell = made(value)
    saved = jobs.training_job(value).bundle()
    tell(status="Stopped", detail="Stopped")
    assert card.shown.bundle() == saved


def test_metrics_without_a_log_are_their_last_values():
    assert "0.125" in said(Known(job()))
    assert isinstance(job().metrics[0], Metric)
