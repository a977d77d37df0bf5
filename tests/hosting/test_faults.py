"""What botocore raises comes out as our own errors."""

from __future__ import annotations

import botocore.session
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as boto
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.errors import (
    AccessDenied,
    BackendError,
    ConfigurationError,
    EndpointNotFound,
    ServiceUnavailable,
    SmMagicsError,
    Throttled,
)
from sm_magics.hosting import faults


def client_error(code, message="no", operation="CreateEndpoint"):
    return boto.ClientError({"Error": {"Code": code, "Message": message}}, operation)


def translated(error, *, is_local=False):
    with pytest.raises(SmMagicsError) as caught, faults.translated(is_local=is_local):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("AccessDeniedException", "User is not authorized", AccessDenied),
        ("ExpiredTokenException", "expired", AccessDenied),
        ("SignatureDoesNotMatch", "no", AccessDenied),
        ("UnrecognizedClientException", "no", AccessDenied),
        ("ThrottlingException", "Rate exceeded", Throttled),
        ("SlowDown", "no", Throttled),
        ("ValidationException", 'Could not find endpoint "arn:…/digits".', EndpointNotFound),
        ("ValidationError", "Endpoint digits of account 1 not found.", EndpointNotFound),
        ("ValidationException", "Cannot create already existing endpoint", BackendError),
        ("ResourceLimitExceeded", "The account-level service limit …", BackendError),
        ("", "", BackendError),
    ],
)
def test_a_services_refusal_becomes_ours_by_its_code(code, message, kind):
    error = translated(client_error(code, message))
    assert type(error) is kind
    if isinstance(error, BackendError):
        assert (error.code, error.operation) == (code, "CreateEndpoint")
        assert message in error.message


def test_an_error_without_a_message_still_says_something():
    assert translated(client_error("SomethingOdd", "")).message == "CreateEndpoint failed: SomethingOdd"


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
        boto.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"),
        boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"),
        boto.HTTPClientError(error="x"),
    ],
)
def test_a_service_that_does_not_answer_is_unavailable(error):
    local = translated(error, is_local=True)
    assert type(local) is ServiceUnavailable
    assert "this machine" in local.message
    assert "%sm_endpoints" in local.hint
    assert "AWS" in translated(error).message


@pytest.mark.parametrize(
    "error",
    [
        boto.NoCredentialsError(),
        boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        boto.ProfileNotFound(profile="nobody"),
        boto.NoRegionError(),
    ],
)
def test_what_the_user_has_not_set_up_is_a_configuration_error_with_a_way_out(error):
    found = translated(error)
    assert type(found) is ConfigurationError
    assert found.hint


def test_a_request_that_botocore_refuses_says_what_is_wrong_with_it():
    client = botocore.session.get_session().create_client(
        "sagemaker", region_name="us-west-2", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with pytest.raises(BackendError, match="EndpointName") as caught, faults.translated(is_local=True):
        client.describe_endpoint(EndpointName=7)
    assert "Parameter validation failed" not in caught.value.message


def test_an_upload_that_s3_refuses_is_the_refusal_itself():
    def upload():
        try:
            raise client_error("AccessDenied", "no", "PutObject")
        except boto.ClientError as error:
            # As boto3.s3.inject raises it.
            raise S3UploadFailedError(f"Failed to upload a to b: {error}")  # noqa: B904

    with pytest.raises(AccessDenied, match="PutObject was refused"), faults.translated(is_local=False):
        upload()
    with pytest.raises(BackendError, match="Failed to upload"), faults.translated(is_local=False):
        raise S3UploadFailedError("Failed to upload a to b")


def test_errors_that_are_ours_or_pythons_pass_through():
    for error in (EndpointNotFound("x"), ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, faults.translated(is_local=True):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("code", "message", "missing"),
    [
        ("404", "Not Found", True),
        ("NoSuchKey", "The specified key was not found", True),
        ("NoSuchBucket", "bucket not found", True),
        ("NoSuchKey", "The specified key does not exist.", True),
        ("NoSuchBucket", "The specified bucket does not exist", True),
        ("ResourceNotFoundException", "The specified log group does not exist.", True),
        ("ValidationException", 'Could not find model "arn:…".', True),
        ("ValidationException", 'Could not find endpoint configuration "arn:…".', True),
        ("ValidationException", 'Could not find endpoint "arn:…".', True),
        ("ValidationException", "1 validation error detected", False),
        ("AccessDenied", "not found", False),
        ("403", "Forbidden", False),
    ],
)
def test_what_does_not_exist_is_told_from_what_is_refused(code, message, missing):
    assert faults.is_missing(faults.of(client_error(code, message))) is missing


@given(st.text(), st.text())
def test_any_answer_becomes_one_of_our_errors(code, message):
    assert isinstance(faults.of(client_error(code, message)), SmMagicsError)
