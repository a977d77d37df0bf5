"""Training jobs as the panel lists them, and one of them in detail."""

from __future__ import annotations

from faulty import denied


async def test_jobs_are_rows(ask, trained):
    answer = await ask("training-jobs", query={"where": "local"})
    [there] = answer.body["places"]
    assert (there["state"], there["problem"]) == ("ok", None)
    row = next(row for row in there["jobs"] if row["name"] == trained)
    assert (row["status"], row["moving"], row["where"]) == ("Failed", False, "local")
    assert row["created"] <= row["ended"]
    assert row["arn"].endswith(trained)


async def test_a_job_in_detail(ask, trained):
    found = (await ask("training-jobs", "local", trained)).body
    assert (found["status"], found["instance_type"], found["instance_count"]) == ("Failed", "ml.m5.large", 1)
    assert found["program"] == "train.py"
    assert found["hyperparameters"] == {"epochs": 3, "hub_token": "••••"}
    assert [(metric["name"], metric["value"]) for metric in found["metrics"]] == [("loss", 0.25)]
    assert "KeyError: 'no such column'" in found["diagnosis"]["text"]
    assert found["attach"] == f"%sm_attach {trained}"
    assert "pytorch-training" in found["image"]


async def test_the_log_of_a_job_has_no_secrets(ask, trained):
    found = (await ask("training-jobs", "local", trained, "log")).body
    assert any("loss=0.25 token=••••" in line for line in found["lines"])
    assert "abcdefabcdef" not in str(found)


async def test_a_job_that_is_not_there_is_not_found(ask, trained):
    for path in ((), ("log",)):
        answer = await ask("training-jobs", "local", "nobody-home", *path)
        assert (answer.status, answer.error["code"]) == (404, "TrainingJobNotFound")


async def test_a_region_that_refuses_says_so(ask, trained, as_aws, faults):
    faults.always("ListTrainingJobs", denied)
    [there] = (await ask("training-jobs", query={"where": as_aws})).body["places"]
    assert (there["state"], there["jobs"], there["problem"]["code"]) == ("problem", [], "AccessDenied")
