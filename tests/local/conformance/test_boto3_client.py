"""boto3 as somebody's own code has it: its default retries, waiters, paginators and resources; nothing of ours."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, WaiterError
from local_service import DOUBLE, IMAGE, Service, model_archive, variant, wait_until

TRIPLE = DOUBLE.replace("return 2", "return 3")
RAISING = "def model_fn(model_dir):\n    raise RuntimeError('the weights are missing')\n"
TAGS = [{"Key": "newkey1", "Value": "newval1"}, {"Key": "newkey2", "Value": "newval2"}]


class Clients:
    """A ``boto3.Session`` of default clients, closed with the test."""

    def __init__(self, session: boto3.Session) -> None:
        self._session = session
        self._clients: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._clients:
            self._clients[name] = self._session.client(name)
        return self._clients[name]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@pytest.fixture(scope="module")
def clients(variables: dict[str, str]) -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patched.delenv(name, raising=False)
        for name, value in variables.items():
            patched.setenv(name, value)
        made = Clients(boto3.Session())
        yield made
        made.close()


@pytest.fixture(scope="module")
def sagemaker(clients: Clients) -> Any:
    return clients["sagemaker"]


@pytest.fixture(scope="module")
def model(service: Service, sagemaker: Any) -> str:
    """A model that doubles."""
    service.create_model("conformance-model", DOUBLE)
    return "conformance-model"


def configure(sagemaker: Any, name: str, *variants: dict[str, Any], **members: Any) -> str:
    arn: str = sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **members)[
        "EndpointConfigArn"
    ]
    return arn


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    return str(caught.value.response["Error"]["Message"])


def test_the_whole_way_from_bucket_to_deleted_endpoint_with_waiters_only(clients, variables):
    s3, sagemaker, runtime = clients["s3"], clients["sagemaker"], clients["sagemaker-runtime"]
    location = {"LocationConstraint": variables["AWS_DEFAULT_REGION"]}
    s3.create_bucket(Bucket="whole-way", CreateBucketConfiguration=location)
    s3.get_waiter("bucket_exists").wait(Bucket="whole-way")
    s3.upload_fileobj(io.BytesIO(model_archive(DOUBLE)), "whole-way", "model.tar.gz")
    s3.get_waiter("object_exists").wait(Bucket="whole-way", Key="model.tar.gz")
    role = clients["sts"].get_caller_identity()["Account"].join(("arn:aws:iam::", ":role/whole-way"))
    sagemaker.create_model(
        ModelName="whole-way",
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://whole-way/model.tar.gz"},
        ExecutionRoleArn=role,
    )
    configure(sagemaker, "whole-way", variant("whole-way"))
    sagemaker.create_endpoint(EndpointName="whole-way", EndpointConfigName="whole-way", Tags=TAGS)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="whole-way")
    described = sagemaker.describe_endpoint(EndpointName="whole-way")
    assert isinstance(described["CreationTime"], datetime)
    assert described["CreationTime"] <= described["LastModifiedTime"] <= datetime.now(timezone.utc)
    assert sagemaker.list_tags(ResourceArn=described["EndpointArn"])["Tags"] == TAGS
    answer = runtime.invoke_endpoint(EndpointName="whole-way", Body="[1, 2]", ContentType="application/json")
    with answer["Body"] as body:
        assert body.read() == b"[2, 4]"
    sagemaker.delete_endpoint(EndpointName="whole-way")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="whole-way")
    sagemaker.delete_endpoint_config(EndpointConfigName="whole-way")
    sagemaker.delete_model(ModelName="whole-way")


def test_the_waiter_raises_for_an_endpoint_that_fails_and_for_one_that_is_not_there(service, sagemaker):
    service.create_endpoint("waits-in-vain", RAISING)
    with pytest.raises(WaiterError) as caught:
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="waits-in-vain")
    assert caught.value.last_response["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in caught.value.last_response["FailureReason"]
    sagemaker.delete_endpoint(EndpointName="waits-in-vain")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="waits-in-vain")
    with pytest.raises(WaiterError) as caught:
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="waits-in-vain")
    assert "Could not find endpoint" in caught.value.last_response["Error"]["Message"]


def test_the_waiter_sees_the_end_of_an_update_without_waiting_for_its_next_look(service, sagemaker):
    service.deploy("waited-update")
    service.create_config("waited-update-2", TRIPLE)
    sagemaker.update_endpoint(EndpointName="waited-update", EndpointConfigName="waited-update-2")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="waited-update")
    assert sagemaker.describe_endpoint(EndpointName="waited-update")["EndpointConfigName"] == "waited-update-2"
    assert service.invoke("waited-update") == b"[3, 6]"
    sagemaker.delete_endpoint(EndpointName="waited-update")


def test_every_paginator_of_hosting_goes_through_all_pages_once(service, sagemaker, model):
    names = [f"conformance-page-{number:02d}" for number in range(7)]
    for name in names:
        sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE})
        configure(sagemaker, name, variant(model))
    # An endpoint that cannot come up costs no worker.
    sagemaker.create_model(ModelName="no-such-image", PrimaryContainer={"Image": "example.com/other:1"})
    configure(sagemaker, "no-such-image", variant("no-such-image"))
    for name in names:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="no-such-image")
    for operation, list_, key in (
        ("list_models", "Models", "ModelName"),
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        ("list_endpoints", "Endpoints", "EndpointName"),
    ):
        pages = list(
            sagemaker.get_paginator(operation).paginate(
                NameContains="conformance-page-",
                SortBy="Name",
                SortOrder="Ascending",
                PaginationConfig={"PageSize": 3},
            )
        )
        found = [row[key] for page in pages for row in page[list_]]
        assert found == names, operation
        assert all(len(page[list_]) <= 3 for page in pages)
        assert "NextToken" not in pages[-1]
    for name in names:
        service.settled(name)
        sagemaker.delete_endpoint(EndpointName=name)


def test_lists_begin_with_what_was_made_last(sagemaker, model):
    """Where moto lists the oldest first; AWS's default is Descending by CreationTime (API reference, ListEndpoints)."""
    for name in ("order-1", "order-2", "order-3"):
        configure(sagemaker, name, variant(model))
    listed = sagemaker.list_endpoint_configs(NameContains="order-")["EndpointConfigs"]
    assert [row["EndpointConfigName"] for row in listed] == ["order-3", "order-2", "order-1"]


def test_filters_of_lists_hold_together(service, sagemaker):
    service.deploy("filters-mine")
    sagemaker.create_model(ModelName="filters-other", PrimaryContainer={"Image": "example.com/other:1"})
    configure(sagemaker, "filters-other", variant("filters-other"))
    sagemaker.create_endpoint(EndpointName="filters-other", EndpointConfigName="filters-other")
    service.settled("filters-other")
    everything = {
        "CreationTimeAfter": datetime(2021, 1, 1, tzinfo=timezone.utc),
        "CreationTimeBefore": datetime(2099, 1, 1, tzinfo=timezone.utc),
        "LastModifiedTimeAfter": time.time() - 86_400,
        "LastModifiedTimeBefore": "2099-01-01",
        "NameContains": "filters-",
    }

    def names(**more: Any) -> set[str]:
        return {row["EndpointName"] for row in sagemaker.list_endpoints(**{**everything, **more})["Endpoints"]}

    assert names() == {"filters-mine", "filters-other"}
    assert names(StatusEquals="InService") == {"filters-mine"}
    assert names(StatusEquals="Failed", SortBy="Status") == {"filters-other"}
    assert names(NameContains="mine", StatusEquals="Failed") == set()
    assert names(CreationTimeBefore="2021-01-01", CreationTimeAfter="2020-01-01") == set()
    assert "enum value set" in refused(sagemaker.list_endpoints, SortBy="name")  # which moto accepts
    service.delete_endpoint("filters-mine")
    service.delete_endpoint("filters-other")


def test_a_deleted_resource_is_gone_and_cannot_be_deleted_again(sagemaker, model):
    configure(sagemaker, "deleted-once", variant(model))
    assert sagemaker.describe_endpoint_config(EndpointConfigName="deleted-once")["ProductionVariants"] == [
        {**variant(model), "InitialVariantWeight": 1.0}
    ]
    sagemaker.delete_endpoint_config(EndpointConfigName="deleted-once")
    for operation in (sagemaker.describe_endpoint_config, sagemaker.delete_endpoint_config):
        assert refused(operation, EndpointConfigName="deleted-once").startswith("Could not find endpoint configuration")


def test_a_configuration_needs_its_model_and_an_endpoint_its_configuration(sagemaker):
    serverless = {
        "VariantName": "AllTraffic",
        "ModelName": "nothing-there",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 10},
    }
    for described in (variant("nothing-there"), serverless):
        assert refused(
            sagemaker.create_endpoint_config, EndpointConfigName="x", ProductionVariants=[described]
        ).startswith("Could not find model")
    assert refused(sagemaker.create_endpoint, EndpointName="x", EndpointConfigName="nothing-there").startswith(
        "Could not find endpoint configuration"
    )


def test_an_instance_type_that_does_not_exist_is_named_with_those_that_do(sagemaker, model):
    odd = variant(model, InstanceType="InvalidInstanceType")
    found = refused(sagemaker.create_endpoint_config, EndpointConfigName="odd-instance", ProductionVariants=[odd])
    assert found.startswith(
        "1 validation error detected: Value 'InvalidInstanceType' at 'productionVariants.1.member.instanceType' "
        "failed to satisfy constraint: Member must satisfy enum value set: ["
    )
    assert "ml.m5.large" in found


def test_tags_are_added_replaced_and_removed_by_arn_of_any_resource(service, sagemaker, model):
    arns = [
        sagemaker.describe_model(ModelName=model)["ModelArn"],
        configure(sagemaker, "tagged-by-arn", variant(model), Tags=TAGS[:1]),
    ]
    for arn in arns:
        sagemaker.add_tags(ResourceArn=arn, Tags=TAGS)
        paged = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        assert [tag for page in paged for tag in page["Tags"]] == TAGS
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=[tag["Key"] for tag in TAGS])
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
    # moto keeps 80 tags; AWS has 50 (tagging restrictions, Amazon SageMaker developer guide).
    many = [{"Key": str(number), "Value": "myValue"} for number in range(50)]
    sagemaker.add_tags(ResourceArn=arns[0], Tags=many)
    assert sorted(tag["Key"] for tag in sagemaker.list_tags(ResourceArn=arns[0])["Tags"]) == sorted(map(str, range(50)))
    assert "50" in refused(sagemaker.add_tags, ResourceArn=arns[0], Tags=[{"Key": "one", "Value": "more"}])
    sagemaker.delete_tags(ResourceArn=arns[0], TagKeys=[tag["Key"] for tag in many])


def test_the_exceptions_of_the_clients_are_the_ones_to_catch(service, clients):
    with pytest.raises(clients["sagemaker-runtime"].exceptions.ClientError, match="not found"):
        clients["sagemaker-runtime"].invoke_endpoint(EndpointName="nowhere", Body=b"")
    failing = DOUBLE.replace("return [factor * value for value in data]", "raise ValueError('no')")
    service.deploy("catchable", failing)
    with pytest.raises(clients["sagemaker-runtime"].exceptions.ModelError) as caught:
        clients["sagemaker-runtime"].invoke_endpoint(EndpointName="catchable", Body=b"[1]")
    assert caught.value.response["OriginalStatusCode"] == 500
    assert "ValueError: no" in caught.value.response["OriginalMessage"]
    assert caught.value.response["LogStreamArn"].endswith("log-group:/aws/sagemaker/Endpoints/catchable")
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    service.delete_endpoint("catchable")


def test_pages_of_a_log_end_when_the_token_repeats(service, clients):
    service.deploy("logged", 'def model_fn(model_dir):\n    for number in range(57):\n        print("line", number)\n')
    logs, group = clients["logs"], "/aws/sagemaker/Endpoints/logged"
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 10})
    filtered = [event["message"] for page in pages for event in page["events"]]
    expected = [f"line {number}" for number in range(57)]
    assert [message for message in filtered if message.startswith("line")] == expected
    stream = logs.describe_log_streams(logGroupName=group)["logStreams"][0]["logStreamName"]
    seen, token = [], None
    while True:
        page = logs.get_log_events(
            logGroupName=group, logStreamName=stream, limit=10, startFromHead=True,
            **({"nextToken": token} if token else {}),
        )  # fmt: skip
        seen += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    assert [message for message in seen if message.startswith("line")] == expected
    service.delete_endpoint("logged")


def test_the_resource_interface_of_s3_works(clients, variables):
    s3 = boto3.resource("s3")
    bucket = s3.create_bucket(
        Bucket="by-resource", CreateBucketConfiguration={"LocationConstraint": variables["AWS_DEFAULT_REGION"]}
    )
    for number in range(5):
        bucket.put_object(Key=f"a/{number}", Body=str(number).encode())
    assert [item.key for item in bucket.objects.filter(Prefix="a/").page_size(2)] == [f"a/{n}" for n in range(5)]
    target = io.BytesIO()
    bucket.download_fileobj("a/3", target)
    assert target.getvalue() == b"3"
    bucket.objects.all().delete()
    bucket.delete()
    assert "by-resource" not in {found.name for found in s3.buckets.all()}
    s3.meta.client.close()


def test_clients_in_threads_share_one_session(service, clients):
    service.deploy("threads")
    runtime = clients["sagemaker-runtime"]

    def ask(number: int) -> bytes:
        with runtime.invoke_endpoint(EndpointName="threads", Body=f"[{number}]")["Body"] as body:
            answer: bytes = body.read()
            return answer

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ask, range(100))) == [f"[{2 * number}]".encode() for number in range(100)]
    service.delete_endpoint("threads")


def test_a_container_is_given_its_environment(service):
    code = (
        "import json, os\ndef model_fn(model_dir):\n    return dict(os.environ)\n"
        "def transform_fn(model, body, content_type, accept):\n"
        "    return json.dumps({name: model.get(name) for name in json.loads(body)}), accept\n"
    )
    service.deploy("environment", code, Environment={"GREETING": "Grüße", "EMPTY": ""})
    asked = '["GREETING", "EMPTY", "AWS_SECRET_ACCESS_KEY"]'
    answer = service.invoke("environment", asked.encode())
    assert json.loads(answer) == {"GREETING": "Grüße", "EMPTY": "", "AWS_SECRET_ACCESS_KEY": None}
    service.delete_endpoint("environment")


def test_a_worker_that_dies_is_replaced(service):
    code = DOUBLE.replace("return [", "import os\n    if data == ['die']: os._exit(3)\n    return [")
    service.deploy("dying", code)
    with pytest.raises(ClientError, match="Worker died"):
        service.invoke("dying", b'["die"]')

    def again() -> bool:
        try:
            return service.invoke("dying") == b"[2, 4]"
        except ClientError:
            return False

    wait_until(again, what="an answer of the next worker")
    service.delete_endpoint("dying")
