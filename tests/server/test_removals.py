"""Endpoints go through the panel: shown, confirmed, removed behind its back; only what was shown goes."""

from __future__ import annotations

import threading
import uuid

import pytest
from faulty import denied

from sm_magics import hosting, seen
from sm_magics.hosting import removal
from sm_magics.settings import Settings

IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/some-other-image:1"


@pytest.fixture
def made(home, deployed):
    """The name of an endpoint that was made with the package of another, as sm_magics makes them."""
    client = hosting.connect(Settings()).client("sagemaker")
    name = f"gone-{uuid.uuid4().hex[:8]}"
    tags = [{"Key": "sm-magics:endpoint", "Value": name}, {"Key": "sm-magics:created-by", "Value": "sm_magics"}]
    config = client.describe_endpoint_config(EndpointConfigName=deployed.config_name)
    model = client.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    own = f"{name}-12345678"
    client.create_model(
        ModelName=own,
        PrimaryContainer={key: model["PrimaryContainer"][key] for key in ("Image", "ModelDataUrl", "Environment")},
        ExecutionRoleArn=model["ExecutionRoleArn"],
        Tags=tags,
    )
    variant = {"VariantName": "AllTraffic", "ModelName": own, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName=own, ProductionVariants=[variant], Tags=tags)
    client.create_endpoint(EndpointName=name, EndpointConfigName=own, Tags=tags)
    client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})
    yield name
    endpoint = hosting.Endpoint(name)
    if hosting.endpoints.get(name, endpoint.connection):
        removal.remove(removal.of(endpoint))


async def over(ask, identifier):
    while True:
        answer = await ask("removals", identifier)
        assert answer.status == 200
        if answer.body["state"] != "running":
            return answer.body


async def test_what_was_confirmed_goes(ask, made):
    plan = (await ask("endpoints", "local", made, "removal")).body
    kinds = [row["kind"] for row in plan["rows"]]
    assert kinds == ["endpoint", "endpoint configuration", "model"]
    assert plan["rows"][0]["name"] == made
    assert any("uses it too" in why for why in plan["kept"])  # the model data, which is the other one's
    assert not plan["half_made"]
    answer = await ask("endpoints", "local", made, "removal", send={"confirmed": plan["rows"]})
    assert answer.status == 202
    assert (answer.body["where"], answer.body["name"], answer.body["rows"]) == ("local", made, plan["rows"])
    found = await over(ask, answer.body["id"])
    assert (found["state"], found["problem"], found["endpoint_status"]) == ("done", None, "Deleted")
    assert found["started"] <= found["ended"]
    assert (await ask("endpoints", "local", made)).status == 404
    listed = (await ask("endpoints", query={"where": "local"})).body["places"][0]["endpoints"]
    assert made not in {row["name"] for row in listed}
    known = (await ask("removals")).body["removals"]
    assert [one["id"] for one in known] == [found["id"]]


async def test_nothing_goes_that_was_not_confirmed(ask, made):
    plan = (await ask("endpoints", "local", made, "removal")).body
    for confirmed in ([], plan["rows"][:1], [*plan["rows"], {"kind": "model", "name": "another"}]):
        answer = await ask("endpoints", "local", made, "removal", send={"confirmed": confirmed})
        assert (answer.status, answer.error["code"]) == (409, "PlanChanged")
        assert answer.error["plan"] == plan
    answer = await ask("endpoints", "local", made, "removal", send={})
    assert (answer.status, answer.error["code"]) == (400, "InvalidRequest")
    assert (await ask("endpoints", "local", made)).body["status"] == "InService"
    assert (await ask("removals")).body["removals"] == []


async def test_it_goes_once_and_the_row_says_so_meanwhile(ask, made, monkeypatch):
    may_go, real = threading.Event(), removal.remove
    monkeypatch.setattr(removal, "remove", lambda plan: (may_go.wait(120), real(plan)))
    plan = (await ask("endpoints", "local", made, "removal")).body
    first = await ask("endpoints", "local", made, "removal", send={"confirmed": plan["rows"]})
    try:
        assert first.body["state"] == "running"
        again = await ask("endpoints", "local", made, "removal", send={"confirmed": plan["rows"]})
        assert (again.status, again.error["code"]) == (409, "BeingRemoved")
        assert again.error["removal"]["id"] == first.body["id"]
        listed = (await ask("endpoints", query={"where": "local"})).body["places"][0]["endpoints"]
        assert {row["name"]: row["removal"] for row in listed}[made] == first.body["id"]
        assert (await ask("endpoints", "local", made)).body["removal"] == first.body["id"]
    finally:
        may_go.set()
    assert (await over(ask, first.body["id"]))["state"] == "done"


async def test_in_a_region_the_model_data_stays_unless_it_is_asked_for(ask, made, as_aws):
    plan = (await ask("endpoints", as_aws, made, "removal")).body
    assert not [row for row in plan["rows"] if row["kind"] == "model data"]
    seen.note(as_aws, made, 1.0)
    answer = await ask("endpoints", as_aws, made, "removal", send={"confirmed": plan["rows"]})
    assert (await over(ask, answer.body["id"]))["state"] == "done"
    assert not [one for one in seen.all_of_them() if one.name == made]


async def test_what_keeps_it_from_going_is_told(ask, made, as_aws, faults):
    plan = (await ask("endpoints", as_aws, made, "removal")).body
    faults.always("DeleteEndpoint", denied)
    answer = await ask("endpoints", as_aws, made, "removal", send={"confirmed": plan["rows"]})
    found = await over(ask, answer.body["id"])
    assert (found["state"], found["problem"]["code"]) == ("failed", "AccessDenied")
    assert found["problem"]["operation"] == "DeleteEndpoint"
    assert (await ask("endpoints", as_aws, made)).body["status"] == "InService"


async def test_a_deletion_that_nobody_knows_is_not_found(ask):
    answer = await ask("removals", "none")
    assert (answer.status, answer.error["code"]) == (404, "RemovalNotFound")
