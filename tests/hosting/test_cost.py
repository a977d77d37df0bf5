"""What endpoints cost, as far as AWS says it."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from botocore.exceptions import ConnectTimeoutError

from sm_magics import seen
from sm_magics.hosting import connect, cost
from sm_magics.hosting.endpoints import Endpoint


def product(usage: str, price: str, unit: str = "Hrs", currency: str = "USD") -> str:
    """Return a product as the Price List API has it: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2."""
    dimension = {"unit": unit, "pricePerUnit": {currency: price}}
    return json.dumps(
        {
            "product": {"productFamily": "ML Instance", "attributes": {"usagetype": usage}},
            "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}},
        }
    )


M5 = [
    product("USW2-Train:ml.m5.large", "0.1150000000"),
    product("USW2-Host:ml.m5.large", "0.1150000000"),
    product("USW2-Notebk:ml.m5.large", "0.1200000000"),
]


@pytest.fixture
def prices(as_aws, monkeypatch, tmp_path):
    """What the Price List API answers, and what it was asked. The service on this machine does not know it."""
    monkeypatch.setattr(cost, "_refused", {})
    monkeypatch.setattr(cost, "home", lambda: tmp_path)
    answers, asked = [M5], []

    def answer(params, **_):
        asked.append(json.loads(params["body"]))
        if isinstance(answers[0], Exception):
            raise answers[0]
        if isinstance(answers[0], str):
            error = {"Error": {"Code": answers[0], "Message": "no"}, "ResponseMetadata": {}}
            return type("Answer", (), {"status_code": 400})(), error
        return type("Answer", (), {"status_code": 200})(), {"PriceList": answers[0]}

    connect(as_aws).session.events.register("before-call.pricing.GetProducts", answer)
    answers_and_asked = type("Prices", (), {"answers": answers, "asked": asked})
    yield answers_and_asked
    connect(as_aws).session.events.unregister("before-call.pricing.GetProducts", answer)


def test_the_price_is_that_of_hosting_and_is_asked_once(prices, as_aws):
    for _ in range(3):
        assert cost.rate("ml.m5.large", connect(as_aws)) == (Decimal("0.115"), "")
    assert len(prices.asked) == 1
    assert {one["Field"]: one["Value"] for one in prices.asked[0]["Filters"]} == {
        "regionCode": as_aws.region,
        "instanceName": "ml.m5.large",
    }


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [product("USW2-Train:ml.m5.large", "0.1")],
        [product("USW2-Host:ml.m5.large", "0.1"), product("USW2-Host:ml.m5.large", "0.2")],
        [product("USW2-Host:ml.m5.large", "0.1", currency="CNY")],
        [product("USW2-Host:ml.m5.large", "0.1", unit="GB")],
    ],
)
def test_what_is_not_one_price_is_unknown(prices, as_aws, answer):
    prices.answers[0] = answer
    price, why = cost.rate("ml.m5.large", connect(as_aws))
    assert price is None
    assert "no single price" in why


@pytest.mark.parametrize("fault", ["AccessDeniedException", ConnectTimeoutError(endpoint_url="https://x")])
def test_who_may_not_ask_is_told_why_and_not_asked_again_for_a_time(prices, as_aws, fault, monkeypatch):
    prices.answers[0] = fault
    for _ in range(2):
        price, why = cost.rate("ml.m5.large", connect(as_aws))
        assert price is None
        assert "Price List" in why
    assert len(prices.asked) == 1
    prices.answers[0] = M5  # the permission has been given, or the network is back
    monkeypatch.setattr(cost, "_ASKED_AGAIN", 0.0)
    assert cost.rate("ml.m5.large", connect(as_aws)) == (Decimal("0.115"), "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"us-west-2 ml.m5.large": 3}', '{"a": ["x", "y"]}'])
def test_a_damaged_note_of_prices_is_asked_for_anew(prices, as_aws, tmp_path, text):
    (tmp_path / "prices.json").write_text(text)
    assert cost.rate("ml.m5.large", connect(as_aws))[0] == Decimal("0.115")


@pytest.fixture
def running(as_aws):
    """An endpoint whose configuration is real, whatever becomes of it."""
    client, name = connect(as_aws).client("sagemaker"), f"priced-{uuid.uuid4().hex[:8]}"
    image = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
    made = []

    def make(**variant):
        client.create_model(ModelName=name, PrimaryContainer={"Image": image}, ExecutionRoleArn=as_aws.role)
        given = {"VariantName": "AllTraffic", "ModelName": name, **variant}
        client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[given])
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
        made.append(name)
        return Endpoint(name, as_aws.region, settings=as_aws).fetch()

    yield make
    for one in made:
        from sm_magics.hosting import removal

        removal.delete_endpoint(Endpoint(one, as_aws.region, settings=as_aws))
        client.delete_endpoint_config(EndpointConfigName=one)
        client.delete_model(ModelName=one)


def test_an_endpoint_costs_its_instances_since_it_was_created(prices, running):
    endpoint = running(InstanceType="ml.m5.large", InitialInstanceCount=2)
    found = cost.of(endpoint, now=endpoint.created + timedelta(hours=10))
    assert found.instance_types == "2 × ml.m5.large"
    assert found.per_hour == Decimal("0.23")
    assert round(found.so_far, 6) == Decimal("2.3")


def test_an_endpoint_without_a_known_price_says_why(prices, running):
    prices.answers[0] = "AccessDeniedException"
    found = cost.of(running(InstanceType="ml.m5.large", InitialInstanceCount=1))
    assert (found.per_hour, found.so_far, found.instance_types) == (None, None, "ml.m5.large")
    assert found.unknown
    assert found.is_refused


def test_what_is_gone_costs_nothing_that_is_known(prices, as_aws):
    assert cost.of(Endpoint("never-was", as_aws.region, settings=as_aws)).unknown


def test_on_this_machine_it_is_free(machine):
    assert cost.of(Endpoint("any")).so_far == 0


@pytest.fixture
def notes(monkeypatch, tmp_path):
    monkeypatch.setattr(seen, "home", lambda: tmp_path)
    return tmp_path / "in-service.json"


def test_what_was_in_service_is_known_without_asking(notes):
    seen.note("us-west-2", "digits", 1000.0, "0.115")
    seen.note("us-west-2", "digits", 1000.0)
    seen.note("eu-west-1", "cats", 500.0)
    assert [(one.where, one.name, one.per_hour) for one in seen.all_of_them()] == [
        ("eu-west-1", "cats", ""),
        ("us-west-2", "digits", "0.115"),
    ]
    assert seen.all_of_them()[1].so_far(1000.0 + 7200) == Decimal("0.23")
    assert seen.all_of_them()[0].so_far(9e9) is None
    seen.strike_out("us-west-2", "digits")
    seen.strike_out("us-west-2", "digits")
    assert [one.name for one in seen.all_of_them()] == ["cats"]


def test_a_look_at_a_region_strikes_out_what_is_not_there(notes):
    seen.note("us-west-2", "digits", 1000.0, "0.115")
    seen.note("us-west-2", "cats", 1000.0, "0.2")
    seen.note("eu-west-1", "dogs", 1000.0)
    seen.only("us-west-2", {"digits": 2000.0, "birds": 1.0})
    found = {(one.where, one.name): one.per_hour for one in seen.all_of_them()}
    # digits is another one by now: what it cost is not known
    assert found == {("us-west-2", "digits"): "", ("us-west-2", "birds"): "", ("eu-west-1", "dogs"): ""}


@pytest.mark.parametrize("text", ["", "{", "{}", '[{"name": 1}]', "[3]"])
def test_a_damaged_note_is_no_note(notes, text):
    notes.write_text(text)
    assert seen.all_of_them() == ()
    seen.note("us-west-2", "digits", 1.0)
    assert len(seen.all_of_them()) == 1
