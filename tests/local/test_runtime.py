"""InvokeEndpoint: what goes to the container, what comes back, and how its failures look."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from local_service import DOUBLE

#: Answers with what it was given.
ECHO = """
import json
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept, context):
    given = {"body": bytes(body).hex() if not isinstance(body, str) else body, "content_type": content_type,
             "accept": accept,
             "attributes": context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")}
    return json.dumps(given), accept
"""
FAILING = """
from sagemaker_inference.errors import BaseInferenceToolkitError
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    if "client" in data:
        raise BaseInferenceToolkitError(422, "unprocessable", "a phrase")
    if "exit" in data:
        import os
        os._exit(3)
    raise ValueError("this ☃ cannot be predicted")
def output_fn(prediction, accept):
    return prediction
"""


@pytest.fixture(scope="module")
def echo(service):
    service.deploy("echo", ECHO)
    yield "echo"
    service.delete_endpoint("echo")


@pytest.fixture(scope="module")
def failing(service):
    service.deploy("failing", FAILING)
    yield "failing"
    service.delete_endpoint("failing")


def test_body_and_headers_reach_the_handlers_as_they_are(service, echo):
    body = bytes(range(256))
    answer = service.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=echo,
        Body=body,
        ContentType="application/x-odd",
        Accept="application/x-any",
        CustomAttributes="trace=1",
    )
    with answer["Body"] as stream:
        seen = json.loads(stream.read())
    assert seen == {
        "body": body.hex(),
        "content_type": "application/x-odd",
        "accept": "application/x-any",
        "attributes": "trace=1",
    }
    assert answer["ContentType"] == "application/x-any"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_an_exception_in_a_handler_is_a_model_error_with_its_traceback_and_is_not_retried(service, failing):
    with pytest.raises(ClientError) as caught:
        service.invoke(failing, b'"x"')
    response = caught.value.response
    account = service.address["account"]
    group = "/aws/sagemaker/Endpoints/failing"
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 500
    assert response["OriginalMessage"].startswith("this ☃ cannot be predicted\nTraceback (most recent call last):")
    assert "ValueError: this ☃ cannot be predicted" in response["OriginalMessage"]
    assert response["LogStreamArn"] == f"arn:aws:logs:us-west-2:{account}:log-group:{group}"
    assert response["Error"]["Message"] == (
        f'Received server error (500) from primary with message "{response["OriginalMessage"]}". '
        f"See https://us-west-2.console.aws.amazon.com/cloudwatch/home?region=us-west-2#logEventViewer:group={group} "
        f"in account {account} for more information."
    )
    assert type(caught.value).__name__ == "ModelError"


def test_a_status_that_a_handler_chose_is_the_original_one(service, failing):
    with pytest.raises(ClientError, match=r"Received client error \(422\) from primary") as caught:
        service.invoke(failing, b'"client"')
    assert caught.value.response["OriginalStatusCode"] == 422


def test_a_worker_that_dies_is_replaced(service, failing):
    with pytest.raises(ClientError, match=r"Worker died\."):
        service.invoke(failing, b'"exit"')
    with pytest.raises(ClientError, match="cannot be predicted"):
        service.invoke(failing, b'"x"')


def test_a_body_over_the_containers_limit_is_the_containers_error_and_one_over_ours_is_refused(service, echo):
    with pytest.raises(ClientError, match=r"Received client error \(413\) from primary"):
        service.invoke(echo, b"x" * 7_000_000)
    with pytest.raises(ClientError, match="exceeded 26214400 bytes") as caught:
        service.invoke(echo, b"x" * ((25 << 20) + 1))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_bad_members_are_validation_errors_of_the_runtime(service, echo):
    for named in ({"TargetVariant": "a_b"}, {"Accept": "é"}):
        with pytest.raises(ClientError, match="1 validation error detected: Value") as caught:
            service.invoke(echo, **named)
        assert caught.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match=r"Endpoint not-there of account \d{12} not found\."):
        service.invoke("not-there")


def test_operations_that_are_not_here_say_so(service, echo):
    with pytest.raises(ClientError, match="InvokeEndpointAsync") as caught:
        service.client("sagemaker-runtime").invoke_endpoint_async(EndpointName=echo, InputLocation="s3://a/b")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_large_answer_comes_back_whole(service):
    service.deploy("large-answer", DOUBLE.replace("json.dumps(prediction)", "'x' * 6_000_000"))
    assert service.invoke("large-answer") == b"x" * 6_000_000
    service.delete_endpoint("large-answer")
