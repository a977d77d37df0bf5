"""Lists of endpoints and of their configurations: what moto's tests of SageMaker ask of them, and more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_service import Service, variant

#: Cannot run here: its endpoints are Failed at once, and take no process.
OTHER = "763104351884.dkr.ecr.us-west-2.amazonaws.com/huggingface-pytorch-inference:2.6"
AHEAD = datetime.now(timezone.utc) + timedelta(days=365)


@pytest.fixture(scope="module")
def prefix(service: Service) -> Iterator[str]:
    """What the names of five endpoints, their configurations and their model begin with."""
    name, sagemaker = f"l{time.time_ns()}-", service.sagemaker
    sagemaker.create_model(ModelName=f"{name}m", PrimaryContainer={"Image": OTHER}, ExecutionRoleArn=service.role)
    for letter in "caebd":
        one = f"{name}{letter}"
        sagemaker.create_endpoint_config(EndpointConfigName=one, ProductionVariants=[variant(f"{name}m")])
        sagemaker.create_endpoint(EndpointName=one, EndpointConfigName=one)
        assert service.settled(one)["EndpointStatus"] == "Failed"
    yield name
    for letter in "abcde":
        service.delete_endpoint(f"{name}{letter}")
        sagemaker.delete_endpoint_config(EndpointConfigName=f"{name}{letter}")
    sagemaker.delete_model(ModelName=f"{name}m")


def endpoints(service: Service, prefix: str, **asked: Any) -> str:
    found = service.sagemaker.list_endpoints(NameContains=prefix, **asked)["Endpoints"]
    return "".join(one["EndpointName"].removeprefix(prefix) for one in found)


def configs(service: Service, prefix: str, **asked: Any) -> str:
    found = service.sagemaker.list_endpoint_configs(NameContains=prefix, **asked)["EndpointConfigs"]
    return "".join(one["EndpointConfigName"].removeprefix(prefix) for one in found)


def test_the_newest_comes_first_unless_the_client_says_otherwise(service: Service, prefix: str) -> None:
    for ask in (endpoints, configs):
        assert ask(service, prefix) == "dbeac"
        assert ask(service, prefix, SortOrder="Ascending") == "caebd"
        assert ask(service, prefix, SortBy="Name") == "edcba"
        assert ask(service, prefix, SortBy="Name", SortOrder="Ascending") == "abcde"
        assert ask(service, prefix, MaxResults=2) == "db"
        assert ask(service, f"{prefix}none") == ""
    assert endpoints(service, prefix, SortBy="Status", SortOrder="Ascending") == "abcde"


def test_what_is_listed_is_what_was_asked_for(service: Service, prefix: str) -> None:
    assert endpoints(service, prefix, StatusEquals="Failed") == "dbeac"
    assert endpoints(service, prefix, StatusEquals="InService") == ""
    past = datetime(2021, 1, 1, tzinfo=timezone.utc)
    for ask, members in ((endpoints, ("CreationTime", "LastModifiedTime")), (configs, ("CreationTime",))):
        for member in members:
            assert ask(service, prefix, **{f"{member}After": past, f"{member}Before": AHEAD}) == "dbeac"
            assert ask(service, prefix, **{f"{member}After": AHEAD}) == ""
            assert ask(service, prefix, **{f"{member}Before": past}) == ""
    made = service.sagemaker.describe_endpoint(EndpointName=f"{prefix}e")["CreationTime"]
    assert endpoints(service, prefix, CreationTimeAfter=made) == "dbe"
    assert endpoints(service, prefix, CreationTimeBefore=made) == "ac"


def test_pages_go_on_where_the_last_ended_and_only_there(service: Service, prefix: str) -> None:
    sagemaker = service.sagemaker
    for kind, member in (("endpoints", "EndpointName"), ("endpoint_configs", "EndpointConfigName")):
        ask = getattr(sagemaker, f"list_{kind}")
        result = "Endpoints" if kind == "endpoints" else "EndpointConfigs"
        pages = sagemaker.get_paginator(f"list_{kind}").paginate(NameContains=prefix, PaginationConfig={"PageSize": 2})
        assert "".join(one[member].removeprefix(prefix) for page in pages for one in page[result]) == "dbeac"
        token = ask(NameContains=prefix, MaxResults=2)["NextToken"]
        assert len(ask(NameContains=prefix, MaxResults=100, NextToken=token)[result]) == 3
        for other in ({"SortOrder": "Ascending"}, {"SortBy": "Name"}, {"CreationTimeBefore": AHEAD}):
            with pytest.raises(ClientError, match="Invalid pagination token"):
                ask(NameContains=prefix, NextToken=token, **other)
        with pytest.raises(ClientError, match="Invalid pagination token"):
            ask(NextToken=token)


def test_what_was_deleted_is_gone_and_cannot_be_deleted_again(service: Service, prefix: str) -> None:
    sagemaker, name = service.sagemaker, f"gone-{prefix}x"
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(f"{prefix}m")])
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    for call in (sagemaker.describe_endpoint_config, sagemaker.delete_endpoint_config):
        with pytest.raises(ClientError, match="Could not find endpoint configuration"):
            call(EndpointConfigName=name)
    assert sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"] == []


def test_an_endpoint_that_failed_is_neither_asked_nor_updated(service: Service, prefix: str) -> None:
    with pytest.raises(ClientError, match=r"Endpoint .* of account \d{12} not found"):
        service.invoke(f"{prefix}a")
    with pytest.raises(ClientError, match="in status Failed"):
        service.sagemaker.update_endpoint(EndpointName=f"{prefix}a", EndpointConfigName=f"{prefix}a")
    with pytest.raises(ClientError, match="in status Failed"):
        service.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=f"{prefix}a", DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 2.0}]
        )
