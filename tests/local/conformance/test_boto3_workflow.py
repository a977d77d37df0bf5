"""A piece of work with boto3 alone: train, wait, deploy what was trained, capture, measure, change weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from local_service import BUCKET, DOUBLE, Service, archive, variant, wait_until

TRAINING_IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
#: "Learns" a factor from its data; needs no torch, which takes seconds to import.
TRAINING = """
import json, os
with open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "pairs.json")) as file:
    pairs = json.load(file)
factor = sum(y / x for x, y in pairs) / len(pairs)
print("factor", factor)
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"), "w") as file:
    json.dump(factor, file)
os.makedirs(os.path.join(os.environ["SM_MODEL_DIR"], "code"), exist_ok=True)
with open(os.path.join(os.environ["SM_MODEL_DIR"], "code", "inference.py"), "w") as file:
    file.write(open("inference.py").read())
"""
INFERENCE = DOUBLE.replace("return 2", 'return json.load(open(model_dir + "/model.pth"))')


@pytest.fixture
def session(service: Service, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made: list[Any] = []

    def client(name: str) -> Any:
        made.append(boto3.Session().client(name))
        return made[-1]

    yield client
    for each in made:
        each.close()


def test_what_was_trained_is_deployed_called_captured_and_measured(service, session):
    sagemaker, runtime, s3 = session("sagemaker"), session("sagemaker-runtime"), session("s3")
    code = service.upload("workflow/source.tar.gz", archive({"train.py": TRAINING, "inference.py": INFERENCE}))
    service.upload("workflow/train/pairs.json", b"[[1, 7], [2, 14], [3, 21]]")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/workflow/train/"}
    sagemaker.create_training_job(
        TrainingJobName="workflow",
        AlgorithmSpecification={"TrainingImage": TRAINING_IMAGE, "TrainingInputMode": "File"},
        RoleArn=service.role,
        HyperParameters={"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(code)},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/workflow/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    # A long interval, as the waiter itself has it, would show in the test's time.
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="workflow", WaiterConfig={"Delay": 1})
    job = sagemaker.describe_training_job(TrainingJobName="workflow")
    pages = sagemaker.get_paginator("list_training_jobs").paginate(NameContains="workflow", StatusEquals="Completed")
    assert [row["TrainingJobName"] for page in pages for row in page["TrainingJobSummaries"]] == ["workflow"]

    container = {
        "Image": TRAINING_IMAGE.replace("pytorch-training", "pytorch-inference"),
        "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
    }
    sagemaker.create_model(ModelName="workflow", PrimaryContainer=container, ExecutionRoleArn=service.role)
    sagemaker.create_endpoint_config(
        EndpointConfigName="workflow",
        ProductionVariants=[variant("workflow")],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/workflow/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
    )
    sagemaker.create_endpoint(EndpointName="workflow", EndpointConfigName="workflow")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="workflow")
    answer = runtime.invoke_endpoint(
        EndpointName="workflow", Body="[1, 2]", ContentType="application/json", InferenceId="first"
    )
    with answer["Body"] as body:
        assert json.load(body) == [7, 14]
    streamed = runtime.invoke_endpoint_with_response_stream(
        EndpointName="workflow", Body="[3]", ContentType="application/json"
    )
    assert json.loads(b"".join(event["PayloadPart"]["Bytes"] for event in streamed["Body"])) == [21]

    def captured() -> list[dict[str, Any]]:
        listed = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="workflow/captured/workflow/")
        keys = [found["Key"] for page in listed for found in page.get("Contents", ())]
        files = (s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys)
        lines = [json.loads(line) for file in files for line in file.splitlines()]
        return lines if len(lines) == 2 else []

    lines = {line["captureData"]["endpointInput"]["data"]: line for line in wait_until(captured, what="captured data")}
    assert json.loads(lines["[1, 2]"]["captureData"]["endpointOutput"]["data"]) == [7, 14]
    assert lines["[1, 2]"]["eventMetadata"]["inferenceId"] == "first"

    cloudwatch, now = session("cloudwatch"), datetime.now(timezone.utc)
    dimensions = [{"Name": "EndpointName", "Value": "workflow"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions}

    def invocations() -> float:
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[{"Id": "sum", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
        )
        return sum(value for page in pages for found in page["MetricDataResults"] for value in found["Values"])

    wait_until(lambda: invocations() == 2, what="two invocations")
    sagemaker.delete_endpoint(EndpointName="workflow")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="workflow")


def test_desired_weights_and_capacities_are_those_of_variants_that_are_there_once(service, session):
    """moto answers at once; here, as in AWS, the endpoint is Updating until the instances are there."""
    sagemaker = session("sagemaker")
    service.deploy("weights")
    before = sagemaker.describe_endpoint(EndpointName="weights")

    def refused(endpoint: str, *names: str) -> str:
        desired = [{"VariantName": name, "DesiredWeight": 1.5, "DesiredInstanceCount": 2} for name in names]
        with pytest.raises(ClientError) as caught:
            sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=desired)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        return str(caught.value.response["Error"]["Message"])

    assert refused("weights", "Silly") == (
        'The variant name(s) "Silly" is/are not present within endpoint configuration "weights".'
    )
    assert refused("weights", "AllTraffic", "AllTraffic") == (
        'The variant name "AllTraffic" was non-unique within the request.'
    )
    arn = before["EndpointArn"].replace("weights", "nothing-there")
    assert refused("nothing-there", "AllTraffic") == f'Could not find endpoint "{arn}".'
    after = sagemaker.describe_endpoint(EndpointName="weights")
    assert {**after, "ResponseMetadata": None} == {**before, "ResponseMetadata": None}

    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="weights",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 1.5, "DesiredInstanceCount": 2}],
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="weights")
    changed = sagemaker.describe_endpoint(EndpointName="weights")["ProductionVariants"][0]
    assert (changed["CurrentWeight"], changed["DesiredWeight"]) == (1.5, 1.5)
    assert (changed["CurrentInstanceCount"], changed["DesiredInstanceCount"]) == (2, 2)
    service.delete_endpoint("weights")
