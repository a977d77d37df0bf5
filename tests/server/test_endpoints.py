"""Endpoints as the panel lists them, and one of them in detail; on this machine and in a region."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import datetime

import psutil
import pytest
from faulty import denied, refused

from sm_magics.hosting.machine import ensure_running
from sm_magics.server import endpoints


async def place(ask, *where, **query):
    answer = await ask("endpoints", query=[("where", one) for one in where] + list(query.items()))
    assert answer.status == 200, answer.body
    return answer.body["places"] if len(where) > 1 else answer.body["places"][0]


async def complete(ask, where):
    """Return a place once all is known about its endpoints."""
    while True:
        there = await place(ask, where, fresh="true")
        if there["state"] == "ok" and not there["incomplete"]:
            return there


async def test_an_endpoint_on_this_machine_is_a_row_with_all_that_the_panel_shows(ask, deployed):
    there = await complete(ask, "local")
    assert (there["where"], there["place"], there["state"], there["problem"]) == ("local", "this machine", "ok", None)
    row = next(row for row in there["endpoints"] if row["name"] == "served")
    assert {
        "where": "local",
        "place": "this machine",
        "status": "InService",
        "moving": False,
        "reason": "",
        "instance_type": "",
        "instance_count": 1,
        "cost_per_hour": 0.0,
        "cost_so_far": 0.0,
        "mine": True,
        "made_here": True,
        "notebook": "/somewhere/else/a notebook.ipynb",
        "notebook_path": None,
        "removal": None,
    }.items() <= row.items()
    assert datetime.fromisoformat(row["created"]) <= datetime.fromisoformat(row["modified"])
    assert datetime.fromisoformat(row["created"]).utcoffset() is not None


async def test_an_endpoint_in_detail(ask, deployed):
    answer = await ask("endpoints", "local", "served")
    assert answer.status == 200
    found = answer.body
    [variant] = found["variants"]
    assert variant["name"] == "AllTraffic"
    assert variant["traffic"] == 1.0
    assert variant["current_instance_count"] == 1
    assert variant["image"].count("pytorch-inference") == 1
    assert variant["model_data"].startswith("s3://")
    assert found["config_name"].startswith("served-")
    assert found["tags"]["team"] == "vision"
    assert found["tags"]["api-token"] == "••••"
    assert found["tags_problem"] is found["config_problem"] is found["diagnosis"] is None


async def test_the_log_has_its_last_lines_without_secrets(ask, deployed):
    answer = await ask("endpoints", "local", "served", "log", query={"lines": "50"})
    assert answer.status == 200
    assert any("loaded with api_key=••••" in line for line in answer.body["lines"])
    assert "abcdef0123456789" not in str(answer.body)
    assert answer.body["group"] == "/aws/sagemaker/Endpoints/served"
    short = await ask("endpoints", "local", "served", "log", query={"lines": "1"})
    assert short.body["lines"] == answer.body["lines"][-1:]
    assert short.body["truncated"] is True


async def test_the_notebook_that_made_it_can_be_opened_where_it_lies_below_the_root(jp_root_dir):
    from sm_magics.server.values import below

    (jp_root_dir / "dir").mkdir()
    (jp_root_dir / "dir" / "a.ipynb").write_text("{}")
    assert below(str(jp_root_dir), str(jp_root_dir / "dir" / "a.ipynb")) == "dir/a.ipynb"
    assert below(str(jp_root_dir), str(jp_root_dir / "dir" / ".." / ".." / "b.ipynb")) is None
    assert below(str(jp_root_dir), "/etc/passwd") is None
    assert below(str(jp_root_dir), "a.ipynb") is None
    assert below("", str(jp_root_dir / "dir" / "a.ipynb")) is None


async def test_looking_does_not_keep_this_machine_s_service_from_ending(ask, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="sm", dir="/tmp") as home:
        monkeypatch.setenv("SM_MAGICS_HOME", home)
        monkeypatch.setenv("SM_MAGICS_IDLE_STOP", "1")
        service = psutil.Process(ensure_running().pid)
        while (await place(ask, "local"))["state"] != "stopped":
            assert (await ask("training-jobs", query={"where": "local"})).status == 200
        await asyncio.to_thread(psutil.wait_procs, [service], 120)  # it writes what is left to write


async def test_nothing_is_started_where_nothing_runs(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path / "h"))
    there = await place(ask, "local")
    assert (there["state"], there["endpoints"], there["problem"]) == ("stopped", [], None)
    for path in (
        ("endpoints", "local", "served"),
        ("training-jobs", "local", "job"),
        ("endpoints", "local", "a", "log"),
    ):
        answer = await ask(*path)
        assert (answer.status, answer.error["code"]) == (409, "ServiceStopped")
    assert not (tmp_path / "h" / "service.json").exists()


async def test_a_region_without_credentials_leaves_this_machine_alone(ask, deployed):
    here, there = await place(ask, "local", "eu-central-1")
    assert here["state"] == "ok"
    assert (there["state"], there["endpoints"], there["problem"]["code"]) == ("problem", [], "NoCredentials")
    assert there["problem"]["hint"]
    answer = await ask("endpoints", "eu-central-1", "served")
    assert (answer.status, answer.error["code"]) == (409, "NoCredentials")


async def test_a_profile_that_is_not_there_is_named(ask):
    there = await place(ask, "eu-central-1", profile="nobody")
    assert there["problem"]["code"] == "NoProfile"
    assert "nobody" in there["problem"]["message"]


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("AccessDeniedException", 424, "AccessDenied"),
        ("ExpiredTokenException", 424, "ExpiredToken"),
        ("UnrecognizedClientException", 424, "UnknownCaller"),
        ("ThrottlingException", 429, "Throttled"),
        ("InternalFailure", 424, "BackendError"),
    ],
)
@pytest.mark.usefixtures("deployed")
async def test_a_refusal_by_aws_is_a_state_of_the_place_and_an_error_of_one_endpoint(ask, faults, code, status, told):
    as_aws = faults.region
    faults.always("ListEndpoints", refused(code, "no token=abcdefabcdef for you"))
    faults.always("DescribeEndpoint", refused(code, "no token=abcdefabcdef for you"))
    there = await place(ask, as_aws)
    assert (there["state"], there["problem"]["code"]) == ("problem", told)
    answer = await ask("endpoints", as_aws, "served")
    assert (answer.status, answer.error["code"]) == (status, told)
    assert "abcdefabcdef" not in str(answer.body) + str(there)


async def test_credentials_that_have_expired_are_read_anew(ask, as_aws, faults, deployed):
    faults.once("ListEndpoints", refused("ExpiredTokenException"))
    assert (await place(ask, as_aws))["problem"]["code"] == "ExpiredToken"
    # The fault hangs on the session that has gone: whoever asks next has another one.
    while (there := await place(ask, as_aws, fresh="true"))["state"] != "ok":
        pass
    assert "served" in {row["name"] for row in there["endpoints"]}


async def test_what_aws_does_not_tell_is_unknown_and_not_asked_for_again_at_once(ask, as_aws, faults, deployed):
    faults.always("ListTags", denied)
    row = next(row for row in (await complete(ask, as_aws))["endpoints"] if row["name"] == "served")
    assert (row["mine"], row["made_here"], row["notebook"]) == (None, None, None)
    assert row["status"] == "InService"
    asked = faults.calls.count("ListTags")
    await complete(ask, as_aws)
    assert faults.calls.count("ListTags") == asked
    found = (await ask("endpoints", as_aws, "served")).body
    assert found["tags_problem"]["code"] == "AccessDenied"
    assert found["tags"] == {}


async def test_what_they_run_on_is_unknown_without_the_right_to_see_the_configuration(ask, as_aws, faults, deployed):
    faults.always("DescribeEndpointConfig", denied)
    found = (await ask("endpoints", as_aws, "served")).body
    assert found["config_problem"]["code"] == "AccessDenied"
    assert found["cost_per_hour"] is None
    assert found["cost_unknown"]
    assert found["variants"][0]["name"] == "AllTraffic"


async def test_many_tabs_are_one_request_to_aws(ask, as_aws, faults, deployed, monkeypatch):
    monkeypatch.setitem(endpoints.OLDEST, False, 600.0)
    there = await asyncio.gather(*(place(ask, as_aws) for _ in range(8)))
    assert all(one["state"] == "ok" and one["endpoints"] for one in there)
    assert faults.calls.count("ListEndpoints") == 1
    await place(ask, as_aws)
    assert faults.calls.count("ListEndpoints") == 1  # new enough for who comes later
    # Each endpoint's details, too.
    await complete(ask, as_aws)
    assert faults.calls.count("DescribeEndpoint") == len(there[0]["endpoints"])


async def test_nothing_is_left_to_ask_when_all_is_known(ask, as_aws, faults, deployed):
    await complete(ask, as_aws)
    await asyncio.gather(*(task for task in asyncio.all_tasks() if "_Question" in str(task.get_coro())))
    before = list(faults.calls)
    assert (await ask("removals")).status == 200  # asks nobody
    assert faults.calls == before


async def test_details_are_asked_for_once(ask, as_aws, faults, deployed):
    await complete(ask, as_aws)
    assert faults.calls.count("ListTags") == faults.calls.count("DescribeEndpoint")
    before = faults.calls.count("DescribeEndpoint")
    await complete(ask, as_aws)
    assert faults.calls.count("DescribeEndpoint") == before


async def test_a_region_that_is_not_there_is_refused(ask):
    for where in ("nowhere", "us-west-2'", "LOCAL", "", "../local", "us-west-2\n"):
        answer = await ask("endpoints", query={"where": where})
        assert (answer.status, answer.error["code"]) == (400, "InvalidRequest"), where


async def test_some_places_are_named_and_not_too_many(ask):
    for query in ([], [("where", "local")] * 2 + [("where", f"us-{number}") for number in range(9)]):
        assert (await ask("endpoints", query=query)).status == 400


async def test_a_name_that_sagemaker_does_not_take_is_refused(ask):
    for name in ("-a", "a_b", "a" * 64, "a b", "ä", "a%2fb", "a.b"):
        answer = await ask("endpoints", "local", name)
        assert (answer.status, answer.error["code"]) == (400, "InvalidRequest"), name


async def test_a_number_of_lines_is_bounded(ask):
    for lines in ("0", "1001", "-1", "many", "1.5", "٣"):
        assert (await ask("endpoints", "local", "served", "log", query={"lines": lines})).status == 400, lines


async def test_an_endpoint_that_is_not_there_is_not_found(ask, deployed):
    for path in ((), ("log",), ("removal",)):
        answer = await ask("endpoints", "local", "nobody-home", *path)
        assert (answer.status, answer.error["code"]) == (404, "EndpointNotFound")
