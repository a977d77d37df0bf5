"""Weights and capacities: changed while the endpoint answers, retained over an update."""

from __future__ import annotations

import itertools

import pytest
from botocore.exceptions import ClientError
from local_service import DOUBLE, Service, variant

from sm_magics.local.hosting.quotas import MOST_INSTANCES, MOST_WORKERS

TRIPLE = DOUBLE.replace("return 2", "return 3")
UNLOADABLE = """
import json, os
def model_fn(model_dir):
    if os.path.exists(os.environ["GATE"]):
        raise RuntimeError("no more of these")
    return 2
"""
UNLOADABLE += DOUBLE.partition("return 2\n")[2]
NUMBERS = itertools.count()


def refused(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def change(service: Service, name: str, *desired: dict) -> dict:
    service.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=list(desired)
    )
    return service.settled(name)


@pytest.fixture
def pair(service):
    """An endpoint whose variant ``two`` gets everything, and whose variant ``three`` gets nothing."""
    name = f"pair-{next(NUMBERS)}"
    service.create_model(f"{name}-two", DOUBLE)
    service.create_model(f"{name}-three", TRIPLE)
    service.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            variant(f"{name}-two", VariantName="two"),
            variant(f"{name}-three", VariantName="three", InitialVariantWeight=0.0),
        ],
    )
    service.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert service.settled(name)["EndpointStatus"] == "InService"
    yield name
    service.delete_endpoint(name)


def test_weights_take_effect_and_are_described(service, pair):
    assert {service.invoke(pair) for _ in range(5)} == {b"[2, 4]"}
    described = change(
        service,
        pair,
        {"VariantName": "two", "DesiredWeight": 0.0},
        {"VariantName": "three", "DesiredWeight": 5.0},
    )
    assert described["EndpointStatus"] == "InService"
    weights = {
        one["VariantName"]: (one["CurrentWeight"], one["DesiredWeight"]) for one in described["ProductionVariants"]
    }
    assert weights == {"two": (0.0, 0.0), "three": (5.0, 5.0)}
    assert {service.invoke(pair) for _ in range(5)} == {b"[3, 6]"}
    answer = service.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=pair, Body=b"[1]", ContentType="application/json"
    )
    with answer["Body"] as body:
        assert body.read() == b"[3]"
    assert answer["InvokedProductionVariant"] == "three"


def test_instances_are_added_and_taken_away_and_have_logs_of_their_own(service, pair):
    described = change(service, pair, {"VariantName": "two", "DesiredInstanceCount": 3})
    two = described["ProductionVariants"][0]
    assert (two["CurrentInstanceCount"], two["DesiredInstanceCount"], two["CurrentWeight"]) == (3, 3, 1.0)
    streams = service.client("logs").describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{pair}")["logStreams"]
    assert len([one for one in streams if one["logStreamName"].startswith("two/i-")]) == 3
    assert service.invoke(pair) == b"[2, 4]"
    described = change(service, pair, {"VariantName": "two", "DesiredInstanceCount": 1})
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert service.invoke(pair) == b"[2, 4]"


def test_an_instance_that_cannot_be_started_leaves_everything_as_it_was(service, tmp_path):
    gate = tmp_path / "gate"
    service.deploy("not-scaled", UNLOADABLE, Environment={"GATE": str(gate)})
    gate.touch()
    described = change(
        service, "not-scaled", {"VariantName": "AllTraffic", "DesiredInstanceCount": 2, "DesiredWeight": 7.0}
    )
    assert described["EndpointStatus"] == "InService"
    assert "did not pass the ping health check" in described["FailureReason"]
    one = described["ProductionVariants"][0]
    assert (one["CurrentInstanceCount"], one["CurrentWeight"]) == (1, 1.0)
    assert "no more of these" in service.log("not-scaled")
    assert service.invoke("not-scaled") == b"[2, 4]"
    service.delete_endpoint("not-scaled")


def test_an_update_retains_what_it_is_told_to(service, pair):
    sagemaker = service.sagemaker
    change(
        service,
        pair,
        {"VariantName": "two", "DesiredWeight": 3.0, "DesiredInstanceCount": 2},
        {"VariantName": "three", "DesiredWeight": 4.0},
    )
    new = f"{pair}-new"
    sagemaker.create_endpoint_config(
        EndpointConfigName=new,
        ProductionVariants=[
            variant(f"{pair}-two", VariantName="two", InitialVariantWeight=1.0),
            variant(f"{pair}-three", VariantName="four", InitialVariantWeight=1.0),
        ],
    )

    def updated(**members) -> dict[str, tuple[float, int]]:
        sagemaker.update_endpoint(EndpointName=pair, EndpointConfigName=new, **members)
        described = service.settled(pair)
        assert described["EndpointConfigName"] == new
        return {
            one["VariantName"]: (one["CurrentWeight"], one["CurrentInstanceCount"])
            for one in described["ProductionVariants"]
        }

    assert updated(RetainAllVariantProperties=True) == {"two": (3.0, 2), "four": (1.0, 1)}
    excluded = [{"VariantPropertyType": "DesiredWeight"}]
    assert updated(RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=excluded) == {
        "two": (1.0, 2),
        "four": (1.0, 1),
    }
    assert updated() == {"two": (1.0, 1), "four": (1.0, 1)}


def test_a_deployment_configuration_is_described_and_retained(service, pair):
    sagemaker = service.sagemaker
    blue_green = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            "TerminationWaitInSeconds": 0,
        }
    }
    sagemaker.update_endpoint(EndpointName=pair, EndpointConfigName=pair, DeploymentConfig=blue_green)
    assert service.settled(pair)["LastDeploymentConfig"] == blue_green
    sagemaker.update_endpoint(EndpointName=pair, EndpointConfigName=pair, RetainDeploymentConfig=True)
    assert service.settled(pair)["LastDeploymentConfig"] == blue_green
    sagemaker.update_endpoint(EndpointName=pair, EndpointConfigName=pair)
    assert "LastDeploymentConfig" not in service.settled(pair)
    rolling = {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
            "WaitIntervalInSeconds": 0,
        }
    }
    assert "mutually exclusive" in refused(
        sagemaker.update_endpoint,
        EndpointName=pair,
        EndpointConfigName=pair,
        DeploymentConfig={**blue_green, **rolling},
    )


def test_a_change_that_makes_no_sense_is_refused(service, pair):
    def told(*desired: dict) -> str:
        return refused(
            service.sagemaker.update_endpoint_weights_and_capacities,
            EndpointName=pair,
            DesiredWeightsAndCapacities=list(desired),
        )

    one = {"VariantName": "two", "DesiredWeight": 1.0}
    assert told({"VariantName": "five", "DesiredWeight": 1.0}) == (
        f'The variant name(s) "five" is/are not present within endpoint configuration "{pair}".'
    )
    assert told(one, one) == 'The variant name "two" was non-unique within the request.'
    assert "DesiredInstanceCount 0" in told({"VariantName": "two", "DesiredInstanceCount": 0})
    assert "is not serverless" in told({"VariantName": "two", "ServerlessUpdateConfig": {"MaxConcurrency": 1}})
    assert "Could not find endpoint" in refused(
        service.sagemaker.update_endpoint_weights_and_capacities,
        EndpointName="not-there",
        DesiredWeightsAndCapacities=[one],
    )


def test_more_instances_than_the_quota_are_refused_by_its_name(service, pair):
    with pytest.raises(ClientError) as caught:
        change(service, pair, {"VariantName": "two", "DesiredInstanceCount": MOST_INSTANCES})
    error = caught.value.response["Error"]
    assert error["Code"] == "ResourceLimitExceeded"
    assert error["Message"].startswith(
        f"The account-level service limit 'ml.m5.large for endpoint usage' is {MOST_INSTANCES} Instances"
    )
    assert service.sagemaker.describe_endpoint(EndpointName=pair)["EndpointStatus"] == "InService"


@pytest.mark.parametrize("workers", [MOST_WORKERS + 1, 10**12])
def test_more_workers_than_a_machine_can_have_are_refused_before_one_is_started(service, workers):
    name = f"crowd-{workers}"
    service.create_config(name, Environment={"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)})
    with pytest.raises(ClientError, match=f"this one would have {workers}") as caught:
        service.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert caught.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    assert service.sagemaker.list_endpoints(NameContains=name)["Endpoints"] == []


def test_changed_weights_and_capacities_survive_the_service(own_service):
    own_service.start()
    own_service.deploy("survivor")
    change(own_service, "survivor", {"VariantName": "AllTraffic", "DesiredInstanceCount": 2, "DesiredWeight": 9.0})
    own_service.kill()
    own_service.close_clients()
    own_service.start()
    assert own_service.invoke("survivor") == b"[2, 4]"
    one = own_service.sagemaker.describe_endpoint(EndpointName="survivor")["ProductionVariants"][0]
    assert (one["CurrentInstanceCount"], one["CurrentWeight"]) == (2, 9.0)
