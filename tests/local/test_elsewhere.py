"""The rest of AWS, answered by moto beside the service; and what nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
import json

import psutil
import pytest
from botocore.exceptions import ClientError
from local_service import gone, wait_until

from sm_magics.local.elsewhere import child as elsewhere
from sm_magics.local.elsewhere.child import Elsewhere
from sm_magics.local.protocol.body import Body
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.sigv4 import Claim
from sm_magics.local.protocol.wire import Request

with_moto = pytest.mark.skipif(not elsewhere.is_installed(), reason="moto is not installed")


def moto_of(service) -> psutil.Process | None:
    for child in psutil.Process(service.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "sm_magics.local.elsewhere.moto_server" in child.cmdline():
                return child
    return None


def refused(call, **arguments) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


@with_moto
def test_other_services_are_there_when_somebody_asks(own_service):
    own_service.start()
    own_service.client("sts").get_caller_identity()
    assert moto_of(own_service) is None, "started by the first request that needs it"
    queues = own_service.client("sqs")
    url = queues.create_queue(QueueName="mine")["QueueUrl"]
    queues.send_message(QueueUrl=url, MessageBody="ünï")
    assert queues.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "ünï"
    tables = own_service.client("dynamodb")
    key = {"AttributeName": "id", "KeyType": "HASH"}
    tables.create_table(
        TableName="mine", KeySchema=[key], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    assert tables.list_tables()["TableNames"] == ["mine"]
    assert own_service.client("lambda").list_functions()["Functions"] == []
    account = own_service.address["account"]
    topic = own_service.client("sns").create_topic(Name="mine")["TopicArn"]
    assert account in topic
    child = moto_of(own_service)
    assert child
    assert not [found for found in child.net_connections("inet") if found.status == psutil.CONN_LISTEN]
    assert (own_service.home / "run" / "aws").stat().st_mode & 0o777 == 0o600
    roles = own_service.client("iam")
    assert [role["RoleName"] for role in roles.list_roles()["Roles"]] == ["sm-magics"]
    trust = roles.get_role(RoleName="sm-magics")["Role"]["AssumeRolePolicyDocument"]
    roles.create_role(RoleName="another", AssumeRolePolicyDocument=json.dumps(trust))
    assert roles.get_role(RoleName="another")["Role"]["Arn"] == f"arn:aws:iam::{account}:role/another"
    assert refused(roles.get_role, RoleName="none")[::2] == ("NoSuchEntity", 404)
    # It ends with the service, however that ends.
    own_service.kill()
    wait_until(lambda: gone([child]), what="moto gone")


@with_moto
def test_it_is_started_again_when_it_died_and_errors_are_its_own(own_service):
    own_service.start()
    queues = own_service.client("sqs")
    queues.create_queue(QueueName="mine")
    child = moto_of(own_service)
    assert child
    child.kill()
    wait_until(lambda: gone([child]), what="moto gone")
    code, _, status = wait_until(lambda: refused(queues.get_queue_url, QueueName="mine"), what="an answer")
    assert code in {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
    assert status == 400
    wrong = own_service.client("sqs", signature_version="v4")
    wrong._request_signer._credentials.secret_key = "wrong"
    assert refused(wrong.list_queues)[2] == 403


@with_moto
def test_what_moto_does_not_do_either_is_refused_by_name(service):
    for client, call, arguments, named in (
        ("sagemaker", "list_apps", {}, "ListApps"),
        ("logs", "describe_query_definitions", {}, "DescribeQueryDefinitions"),
        ("iam", "list_service_specific_credentials", {}, "ListServiceSpecificCredentials"),
        ("sts", "get_federation_token", {"Name": "session"}, "GetFederationToken"),
        ("mediaconvert", "list_queues", {}, "/2017-08-29/queues"),
    ):
        _, message, status = refused(getattr(service.client(client), call), **arguments)
        assert 400 <= status < 500
        assert named in message


@with_moto
def test_what_moto_needs_for_a_service_is_said_by_the_name_of_its_extra(monkeypatch):
    monkeypatch.setattr(elsewhere, "requires", lambda _name: ["werkzeug>=2", 'joserfc>=0.9; extra == "cognitoidp"'])
    monkeypatch.setattr(elsewhere, "_has", lambda name: name != "joserfc")
    assert elsewhere._missing_extra("cognito-idp") == "cognitoidp"
    assert not elsewhere._missing_extra("sqs")
    monkeypatch.setattr(elsewhere, "_has", lambda _name: True)
    assert not elsewhere._missing_extra("cognito-idp")


def test_without_moto_what_would_bring_it_is_said(own_service, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    code = (
        "import importlib.util, sys\n"
        "whole = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'moto' else whole(name, *rest)\n"
    )
    (hidden / "sitecustomize.py").write_text(code)
    own_service.environ["PYTHONPATH"] = str(hidden)
    own_service.start()
    code, message, status = refused(own_service.client("dynamodb").list_tables)
    assert (code, status) == ("UnknownOperationException", 400)
    assert "DynamoDB_20120810.ListTables is not available on this machine." in message
    assert "pip install 'sm-magics[aws-local]'" in message
    code, message, _ = refused(own_service.client("iam").list_users)
    assert code == "InvalidAction"
    assert "ListUsers" in message
    assert refused(own_service.client("iam").get_role, RoleName="none")[::2] == ("NoSuchEntity", 404)
    assert own_service.client("iam").get_role(RoleName="sm-magics")["Role"]["RoleName"] == "sm-magics"


CLAIM = Claim("KEY", "20260101", "us-west-2", "lambda", ("host", "x-amz-date"), "0" * 64, None, None, "")


@pytest.mark.parametrize("path", ["/moto-api/data.json", "/%6doto-api/reset", "//moto-api/reset", "/latest/meta-data"])
def test_motos_own_paths_are_closed(path, tmp_path):
    async def ask():
        request = Request("GET", path, "", (("host", "h"),), Body.of(b""))
        await Elsewhere(tmp_path, None).answer(request, CLAIM, b"", otherwise=missing)

    missing = ApiError("Missing", "is not available")
    with pytest.raises(ApiError) as caught:
        asyncio.run(ask())
    assert caught.value is missing


def test_what_was_verified_is_passed_on_and_nothing_else():
    headers = (
        ("host", "127.0.0.1:1"),
        ("x-amz-date", "20260101T000000Z"),
        ("x-not-signed", "1"),
        ("x-moto-account-id", "999999999999"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-west-2/lambda/aws4_request, secret"),
    )
    query = "a=b&X-Amz-Signature=0&X-Amz-Credential=c&X-Amz-Date=d&c="
    claim = CLAIM._replace(signed_headers=("host", "x-amz-date", "x-moto-account-id"))
    passed = elsewhere._message(Request("POST", "/a%20b", query, headers, Body.of(b"body")), claim, b"body").decode()
    assert passed == (
        "POST /a%20b?a=b&c= HTTP/1.1\r\n"
        "x-amz-date: 20260101T000000Z\r\n"
        "host: 127.0.0.1:1\r\n"
        "authorization: AWS4-HMAC-SHA256 Credential=KEY/20260101/us-west-2/lambda/aws4_request, SignedHeaders=host, "
        "Signature=verified\r\n"
        "content-length: 4\r\n"
        "connection: close\r\n\r\nbody"
    )
