"""What botocore raises comes out as our own errors."""

from __future__ import annotations

import socket
import threading

import botocore.session
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as boto
from botocore.config import Config
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
        ("ExpiredToken", "The provided token has expired.", AccessDenied),
        ("RequestTimeTooSkewed", "The difference between …", AccessDenied),
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
        boto.ResponseStreamingError(error="broken"),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
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
        boto.InvalidRegionError(region_name="us west 2"),
        boto.CredentialRetrievalError(provider="custom-process", error_msg="exit 1"),
        boto.ConfigParseError(path="/home/me/.aws/config", error="line 1"),
    ],
)
def test_what_the_user_has_not_set_up_is_a_configuration_error_with_a_way_out(error):
    found = translated(error)
    assert type(found) is ConfigurationError
    assert found.hint


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("api.sagemaker.us-wset-2.amazonaws.com", "--region us-west-2"),
        ("sts.eu-central-3.amazonaws.com", "--region eu-central-"),
        ("bucket.s3.us-wset-2.amazonaws.com", "--region us-west-2"),
        ("sagemaker.us-west-2.amazonaws.com", "!aws sts"),
        ("sagemaker.cn-north-1.amazonaws.com.cn", "!aws sts"),
        ("example.com", "!aws sts"),
    ],
)
def test_a_region_that_nobody_knows_is_named_where_it_does_not_answer(host, hint):
    found = translated(boto.EndpointConnectionError(endpoint_url=f"https://{host}/"))
    assert type(found) is ServiceUnavailable
    assert found.hint.startswith(hint)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (
            (
                "Could not assume role arn:aws:iam::123456789012:role/service-role/My.Role-1. Please ensure that the "
                "role exists and allows principal 'sagemaker.amazonaws.com' to assume the role."
            ),
            "!aws iam update-assume-role-policy --role-name My.Role-1 ",
        ),
        ("Could not assume role arn:aws-cn:iam::123456789012:role/Mine.", "!aws iam update-assume-role-policy"),
        ("Cross-account pass role is not allowed.", "--role ARN"),
        ("Something else about a role.", ""),
    ],
)
def test_a_role_that_sagemaker_cannot_take_on_is_mended_by_a_command(message, hint):
    found = translated(client_error("ValidationException", message))
    assert found.hint.startswith(hint)
    assert bool(found.hint) is bool(hint)
    if "Could not" in message:
        assert "sagemaker.amazonaws.com" in found.hint
        assert "create-role" in found.hint


def test_of_hundreds_of_values_the_nearest_are_named():
    taken = ", ".join(f"ml.{family}.{size}" for family in ("c5", "m5", "r5") for size in ("large", "xlarge", "2xlarge"))
    said = (
        "1 validation error detected: Value 'ml.m5.xxlarge' at 'productionVariants.1.member.instanceType' failed to "
        f"satisfy constraint: Member must satisfy enum value set: [{taken}]"
    )
    found = translated(client_error("ValidationException", said))
    assert "'ml.m5.xxlarge'" in found.message
    assert "9 values, such as ml.m5.xlarge" in found.message
    assert "ml.c5.large" not in found.message
    assert found.hint == "--instance-type ml.m5.xlarge"


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


def test_incomplete_credentials_say_which_part_is_missing():
    error = translated(boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"))
    assert "AWS_SECRET_ACCESS_KEY is not set (env)" in error.message


@pytest.mark.parametrize(
    "error",
    [
        client_error("ExpiredToken"),
        client_error("ExpiredTokenException"),
        client_error("400", "Bad Request", "HeadObject"),
        boto.UnauthorizedSSOTokenError(),
        boto.SSOTokenLoadError(error_msg="no token"),
        boto.TokenRetrievalError(provider="sso", error_msg="expired"),
    ],
)
def test_credentials_that_have_expired_say_how_to_log_in(error):
    found = translated(error)
    assert "expired" in found.message
    assert "!aws sso login" in found.hint
    assert faults.has_expired(found) or found.code == "400"
    assert not faults.has_expired(EndpointNotFound("x"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidSignatureException", "Signature expired: 20140325T143453Z is now earlier than 20140325T143751Z"),
        ("SignatureDoesNotMatch", "Signature not yet current: 20140325T143453Z is still later than …"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    ],
)
def test_a_clock_that_is_wrong_is_told_from_wrong_credentials(code, message):
    assert "clock" in translated(client_error(code, message)).message
    assert "clock" not in translated(client_error("InvalidSignatureException", "The request signature …")).message


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (boto.ProxyConnectionError(proxy_url="http://proxy:3128", error="refused"), "proxy", "HTTPS_PROXY"),
        (boto.SSLError(endpoint_url="https://s3", error="self-signed certificate"), "prove", "AWS_CA_BUNDLE"),
        (boto.ReadTimeoutError(endpoint_url="https://s3"), "in time", "the same again"),
        (boto.ConnectTimeoutError(endpoint_url="https://s3"), "cannot be reached", "VPC"),
    ],
)
def test_what_stands_between_here_and_aws_is_named(error, said, hint):
    found = translated(error)
    assert type(found) is ServiceUnavailable
    assert said in found.message
    assert hint in found.hint


def test_a_service_on_this_machine_that_is_slow_has_not_stopped():
    found = translated(boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), is_local=True)
    assert "did not answer in time" in found.message
    assert "stopped" not in found.message
    assert "sm_magics.local status" in found.hint


def test_an_address_that_is_none_is_a_configuration_error(monkeypatch):
    session = botocore.session.get_session()
    with pytest.raises(ConfigurationError, match="not an address") as caught, faults.translated(is_local=False):
        session.create_client("s3", region_name="us-west-2", endpoint_url="not an address")
    assert "AWS_ENDPOINT_URL" in caught.value.hint


def test_a_quota_says_how_to_look_it_up_and_a_failing_server_that_it_is_not_the_users_fault():
    assert "service-quotas" in translated(client_error("ResourceLimitExceeded")).hint
    failing = client_error("InternalFailure")
    failing.response["ResponseMetadata"] = {"HTTPStatusCode": 500}
    assert "on AWS's side" in translated(failing).message


@pytest.fixture
def silent():
    """The address of a server that listens, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def ask(url, read_timeout=60, **config):
    config = Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout, connect_timeout=60, **config)
    client = botocore.session.get_session().create_client(
        "s3", region_name="us-west-2", aws_access_key_id="x", aws_secret_access_key="x", endpoint_url=url, config=config
    )
    try:
        with pytest.raises(SmMagicsError) as caught, faults.translated(is_local=False):
            client.list_buckets()
    finally:
        client.close()
    return caught.value.message


def test_what_botocore_itself_raises_is_understood(silent, closed):
    assert "in time" in ask(f"http://{silent}", read_timeout=0.1)
    assert "cannot be reached" in ask(f"http://{closed}")
    assert "proxy" in ask("http://s3.example", proxies={"http": f"http://{closed}"})


def test_an_answer_that_is_no_tls_is_not_trusted():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert "prove" in ask(f"https://127.0.0.1:{server.getsockname()[1]}")
        finally:
            thread.join()
