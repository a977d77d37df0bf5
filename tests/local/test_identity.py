"""STS and IAM: whose keys these are, roles that are assumed, and what they may do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from urllib.error import HTTPError

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sm_magics.local.account import Account
from sm_magics.local.sessions import ExpiredError, Session, Sessions

ACCOUNT = Account("123456789012", "us-west-2", "AKIAIOSFODNN7EXAMPLE", "secret")


def role(service, name: str = "any", account: str = "") -> str:
    return f"arn:aws:iam::{account or service.address['account']}:role/{name}"


def client(service, name: str, keys: dict):
    return boto3.client(
        name, endpoint_url=service.address["url"], region_name="us-west-2",
        aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        config=Config(proxies={}, signature_version="v4", retries={"max_attempts": 0}),
    )  # fmt: skip


def refused(call, **arguments) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_the_keys_of_an_assumed_role_open_what_the_machines_own_do(service):
    own = service.client("sts")
    answer = own.assume_role(RoleArn=role(service, "path/trainer"), RoleSessionName="me@work", DurationSeconds=900)
    keys = answer["Credentials"]
    arn = f"arn:aws:sts::{service.address['account']}:assumed-role/trainer/me@work"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    assert keys["AccessKeyId"].startswith("ASIA")
    assert len(keys["AccessKeyId"]) == 20
    assert 0 < keys["Expiration"].timestamp() - time.time() <= 900
    clients = {name: client(service, name, keys) for name in ("sts", "s3", "sagemaker", "cloudwatch")}
    try:
        assert clients["sts"].get_caller_identity()["Arn"] == arn
        assert own.get_caller_identity()["Arn"].endswith(":assumed-role/sm-magics/notebook")
        service.upload("assumed/key", b"content")
        assert clients["s3"].get_object(Bucket="sagemaker-tests", Key="assumed/key")["Body"].read() == b"content"
        clients["sagemaker"].list_endpoints()
        clients["cloudwatch"].list_metrics()
        more = clients["sts"].get_session_token()["Credentials"]
        again = client(service, "sts", more)
        assert again.get_caller_identity()["Arn"] == arn
        again.close()
        url = clients["s3"].generate_presigned_url(
            "get_object", Params={"Bucket": "sagemaker-tests", "Key": "assumed/key"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=60) as got:
            assert got.read() == b"content"
        with pytest.raises(HTTPError) as caught:
            opener.open(url.replace("Security-Token=", "Security-Token=a"), timeout=60)
        assert caught.value.code == 403
        caught.value.close()
    finally:
        for each in clients.values():
            each.close()


def test_keys_that_are_not_from_here_or_over_are_refused(service):
    keys = service.client("sts").assume_role(RoleArn=role(service), RoleSessionName="session")["Credentials"]
    for change in (
        {"SessionToken": keys["SessionToken"][:-2] + "xx"},
        {"SessionToken": "x" + keys["SessionToken"]},
        {"SessionToken": "none"},
        {"AccessKeyId": "ASIA0000000000000000"},
    ):
        assert refused(client(service, "sagemaker", {**keys, **change}).list_models) == (
            "UnrecognizedClientException", 403,
        )  # fmt: skip
    wrong = {**keys, "SecretAccessKey": "wrong"}
    assert refused(client(service, "sagemaker", wrong).list_models) == ("InvalidSignatureException", 403)
    address = service.address
    account = Account(address["account"], address["region"], address["access_key"], address["secret_key"])
    over = Sessions(account).keys(Session("any", "session", int(time.time()) - 1))
    old = {"AccessKeyId": over.access_key, "SecretAccessKey": over.secret_key, "SessionToken": over.token}
    assert refused(client(service, "sagemaker", old).list_models) == ("ExpiredTokenException", 403)
    assert refused(client(service, "sts", old).get_caller_identity) == ("ExpiredToken", 403)
    assert refused(client(service, "s3", old).list_buckets) == ("ExpiredToken", 400)


def test_a_token_stands_for_its_session_and_no_other():
    sessions = Sessions(ACCOUNT)
    session = Session("role", "ünï", 1 << 40)
    keys = sessions.keys(session)
    assert sessions.find(keys.access_key, keys.token) == (keys, session)
    other = sessions.keys(Session("role", "other", 1 << 40))
    assert sessions.find(other.access_key, keys.token) is None
    assert Sessions(Account("1" * 12, "us-west-2", "AKIA", "another")).find(keys.access_key, keys.token) is None
    for token in ("", ".", "\u00fc", keys.token + "=", "a" * 10_000, keys.token.replace(".", "")):
        assert sessions.find(keys.access_key, token) is None
    past = sessions.keys(Session("role", "past", 1))
    with pytest.raises(ExpiredError):
        sessions.find(past.access_key, past.token)


def test_roles_of_other_accounts_and_what_is_no_role_are_refused(service):
    assume = service.client("sts", parameter_validation=False).assume_role
    assert refused(assume, RoleArn=role(service, account="9" * 12), RoleSessionName="ab") == ("AccessDenied", 403)
    assert refused(assume, RoleArn="arn:aws:iam::1:user/none-at-all", RoleSessionName="ab") == ("ValidationError", 400)
    assert refused(assume, RoleArn=role(service), RoleSessionName="a") == ("ValidationError", 400)
    assert refused(assume, RoleArn=role(service), RoleSessionName="ab", DurationSeconds=1) == ("ValidationError", 400)


def test_a_profile_with_a_role_assumes_it(service, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        f"[profile base]\nregion = us-west-2\nendpoint_url = {service.address['url']}\n"
        f"aws_access_key_id = {service.address['access_key']}\n"
        f"aws_secret_access_key = {service.address['secret_key']}\n"
        f"[profile assumed]\nregion = us-west-2\nendpoint_url = {service.address['url']}\n"
        f"source_profile = base\nrole_arn = {role(service, 'from-profile')}\n"
    )
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    environ = {
        **service.environment,
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_PROFILE": "assumed",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ":assumed-role/from-profile/" in done.stdout, done.stderr


def test_a_policy_allows_everything_in_this_account_and_nothing_beyond(service):
    simulate = service.client("iam").simulate_principal_policy
    actions = ["sagemaker:CreateModel", "s3:GetObject"]
    results = simulate(PolicySourceArn=role(service), ActionNames=actions)["EvaluationResults"]
    assert [(one["EvalActionName"], one["EvalDecision"]) for one in results] == [(name, "allowed") for name in actions]
    resources = [
        "arn:aws:s3:::bucket/*",
        f"arn:aws:sagemaker:us-west-2:{service.address['account']}:endpoint/mine",
        f"arn:aws:sagemaker:us-west-2:{'9' * 12}:endpoint/theirs",
    ]
    results = simulate(PolicySourceArn=role(service), ActionNames=actions[:1], ResourceArns=resources)
    assert [one["EvalDecision"] for one in results["EvaluationResults"]] == ["allowed", "allowed", "implicitDeny"]
    assert [one["EvalResourceName"] for one in results["EvaluationResults"]] == resources
    stranger = role(service, account="9" * 12)
    assert refused(simulate, PolicySourceArn=stranger, ActionNames=actions) == ("NoSuchEntity", 404)
    assert refused(simulate, PolicySourceArn=role(service), ActionNames=["nonsense"]) == ("InvalidInput", 400)
    trust = service.client("iam").get_role(RoleName="sm-magics")["Role"]["AssumeRolePolicyDocument"]
    assert "sagemaker.amazonaws.com" in json.dumps(trust)
