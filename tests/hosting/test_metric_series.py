"""How metrics went, read out of a log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sm_magics.hosting import metric_series
from sm_magics.hosting.training import TrainingJob


def job(*definitions):
    rows = [{"Name": name, "Regex": regex} for name, regex in definitions]
    return TrainingJob("t", raw={"AlgorithmSpecification": {"MetricDefinitions": rows}})


def test_each_value_of_each_metric_is_found_in_its_order():
    lines = ["epoch 1 loss=0.5 acc=0.1", "nothing", "epoch 2 loss=0.25 acc=0.9", "loss=x loss=1e-3"]
    found = metric_series.of(job(("loss", r"loss=([0-9e.-]+)"), ("acc", r"acc=(\S+)"), ("none", r"f1=(\S+)")), lines)
    assert found == {"loss": (0.5, 0.25, 0.001), "acc": (0.1, 0.9)}


def test_what_is_no_number_or_no_expression_is_left_out():
    lines = ["loss=nan", "loss=inf", "loss=", "loss=2"]
    found = metric_series.of(job(("loss", r"loss=(.*)"), ("bad", "("), ("groupless", "loss")), lines)
    assert found == {"loss": (2.0,)}


@given(st.lists(st.text()), st.text())
def test_no_log_and_no_expression_is_a_failure(lines, regex):
    metric_series.of(job(("one", regex), ("two", "(.*)")), lines)


def test_a_job_that_defines_none_has_none():
    assert metric_series.of(TrainingJob("t"), ["loss=1"]) == {}
