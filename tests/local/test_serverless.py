"""Serverless endpoints: what their configuration may say, what they refuse, and that they sleep."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from local_service import DOUBLE, IMAGE, Service, variant, wait_until

#: Answers when a file is there.
HELD = """
import json, os, time
def model_fn(model_dir):
    return 3
def predict_fn(data, model):
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    return data
def input_fn(body, content_type):
    return json.loads(body)
def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def serverless(model: str, **config) -> dict:
    settings = {"MemorySizeInMB": 2048, "MaxConcurrency": 2, **config}
    return {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": settings}


def configure(service: Service, name: str, *variants: dict, **members) -> None:
    service.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **members)


def deploy(service: Service, name: str, code: str = DOUBLE, config: dict | None = None, **container) -> None:
    service.create_model(name, code, **container)
    configure(service, name, serverless(name, **(config or {})))
    service.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert service.settled(name)["EndpointStatus"] == "InService", service.log(name)


def refused(service: Service, *variants: dict, **members) -> str:
    with pytest.raises(ClientError) as caught:
        configure(service, "refused", *variants, **members)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def test_what_serverless_excludes_is_refused(service):
    service.create_model("excluded", DOUBLE)
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://a/b",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    one, other = serverless("excluded"), {**serverless("excluded"), "VariantName": "Other"}
    assert "DataCaptureConfig is not supported" in refused(service, one, DataCaptureConfig=capture)
    assert "More than one production variant" in refused(service, one, other)
    for member, value in (("InstanceType", "ml.m5.large"), ("InitialInstanceCount", 1), ("VolumeSizeInGB", 5)):
        assert f"{member} is not supported for serverless" in refused(service, {**one, member: value})
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    for number, member in enumerate(({"VpcConfig": vpc}, {"EnableNetworkIsolation": True})):
        name = f"excluded-{number}"
        service.sagemaker.create_model(
            ModelName=name, PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=service.role, **member
        )
        assert f"{next(iter(member))} is not supported for serverless" in refused(service, serverless(name))
        # What runs on instances may have it.
        configure(service, name, variant(name))


def test_memory_comes_in_gigabytes_and_no_more_is_provisioned_than_allowed(service):
    service.create_model("sized", DOUBLE)
    assert "1 GB increments" in refused(service, serverless("sized", MemorySizeInMB=1500))
    assert "Member must have value less than or equal to 6144" in refused(
        service, serverless("sized", MemorySizeInMB=7168)
    )
    assert "Member must have value less than or equal to 200" in refused(
        service, serverless("sized", MaxConcurrency=201)
    )
    assert "less than or equal to MaxConcurrency 2" in refused(service, serverless("sized", ProvisionedConcurrency=3))


def test_a_body_over_four_megabytes_is_oversize(service):
    deploy(service, "oversize")
    with pytest.raises(ClientError, match=r"Request [0-9a-f-]{36} has oversize body\.") as caught:
        service.invoke("oversize", b" " * (4 << 20) + b"[]")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert service.invoke("oversize", b"[1]" + b" " * ((4 << 20) - 3)) == b"[2]"
    service.delete_endpoint("oversize")


def test_more_requests_at_a_time_than_allowed_are_throttled_until_more_are_allowed(service, tmp_path):
    gate = tmp_path / "gate"
    deploy(service, "throttled", HELD, Environment={"GATE": str(gate)})
    sagemaker = service.sagemaker
    described = sagemaker.describe_endpoint(EndpointName="throttled")["ProductionVariants"][0]
    assert described["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    answers: list[object] = []
    arrived = threading.Semaphore(0)

    def call() -> None:
        client = Service(service.home)
        try:
            client.address  # noqa: B018 - the connection's beginning is not what is timed
            arrived.release()
            answers.append(client.invoke("throttled"))
        except ClientError as error:
            answers.append(error)
        finally:
            client.close_clients()

    with ThreadPoolExecutor(3) as pool:
        callers = [pool.submit(call) for _ in range(3)]
        wait_until(lambda: answers, what="one that is turned away")
        throttled = answers.pop()
        assert isinstance(throttled, ClientError)
        assert throttled.response["Error"]["Code"] == "ThrottlingException"
        assert throttled.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="throttled",
            DesiredWeightsAndCapacities=[
                {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 3}}
            ],
        )
        changed = service.settled("throttled")["ProductionVariants"][0]
        assert changed["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 3}
        third = pool.submit(call)
        gate.touch()
        for caller in (*callers, third):
            caller.result()
    assert answers == [b"[1, 2]"] * 3
    assert "MaxConcurrency" in service.log("throttled")
    service.delete_endpoint("throttled")
