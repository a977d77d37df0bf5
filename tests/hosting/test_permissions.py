"""A refusal says which statement in a policy is missing."""

from __future__ import annotations

import json

import pytest

from sm_magics.hosting import permissions
from sm_magics.hosting.permissions import Asked

ANN = "User: arn:aws:sts::123456789012:assumed-role/Studio/ann is not authorized to perform: "
OBJECT = {"Bucket": "b", "Key": "sm_magics/0123/model.tar.gz"}


def asked(service="sagemaker", operation="CreateModel", **names):
    return Asked(service, operation, names, "us-west-2")


def statement(message, request=None):
    text = permissions.hint(message, request)
    found, _, where = text.partition("    # ")
    return json.loads(found), where


@pytest.mark.parametrize(
    ("request_", "action", "resource"),
    [
        (
            asked(ModelName="Digits-1"),
            "sagemaker:CreateModel",
            "arn:aws:sagemaker:us-west-2:*:model/digits-1",
        ),
        (
            asked(operation="CreateEndpoint", EndpointName="d", EndpointConfigName="d-1"),
            "sagemaker:CreateEndpoint",
            ["arn:aws:sagemaker:us-west-2:*:endpoint/d", "arn:aws:sagemaker:us-west-2:*:endpoint-config/d-1"],
        ),
        (asked(operation="ListEndpoints"), "sagemaker:ListEndpoints", "*"),
        (asked(operation="ListTags", ResourceArn="arn:x"), "sagemaker:ListTags", "arn:x"),
        (asked("s3", "PutObject", **OBJECT), "s3:PutObject", "arn:aws:s3:::b/sm_magics/*"),
        (asked("s3", "CompleteMultipartUpload", **OBJECT), "s3:PutObject", "arn:aws:s3:::b/sm_magics/*"),
        (asked("s3", "HeadBucket", Bucket="b"), "s3:ListBucket", "arn:aws:s3:::b"),
        (
            asked("s3", "HeadObject", **OBJECT),
            ["s3:GetObject", "s3:ListBucket"],
            ["arn:aws:s3:::b/sm_magics/*", "arn:aws:s3:::b"],
        ),
        (
            asked("logs", "GetLogEvents", logGroupName="/aws/g"),
            "logs:GetLogEvents",
            "arn:aws:logs:us-west-2:*:log-group:/aws/g:*",
        ),
        (asked("monitoring", "GetMetricData"), "cloudwatch:GetMetricData", "*"),
        (asked("iam", "GetRole", RoleName="R"), "iam:GetRole", "arn:aws:iam::*:role/R"),
    ],
)
def test_where_aws_says_no_more_than_no_the_request_says_what_is_missing(request_, action, resource):
    found, where = statement("Access Denied", request_)
    assert found == {"Effect": "Allow", "Action": action, "Resource": resource}
    assert where == "to be added to a policy of who asks"


def test_what_aws_says_is_missing_counts_more_than_what_was_asked_for():
    role = "arn:aws:iam::123456789012:role/R"
    found, where = statement(
        f"{ANN}iam:PassRole on resource: {role} because no identity-based policy allows the iam:PassRole action",
        asked(ModelName="m"),
    )
    assert found["Action"] == "iam:PassRole"
    assert found["Resource"] == role
    assert found["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert where == "to be added to a policy of Studio"


def test_a_key_needs_two_permissions_for_an_upload_in_parts():
    key = "arn:aws:kms:us-west-2:123456789012:key/1"
    found, _ = statement(f"{ANN}kms:GenerateDataKey on resource: {key}", asked("s3", "UploadPart", **OBJECT))
    assert found["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]
    assert found["Resource"] == key


def test_the_objects_of_all_packages_are_allowed_at_once():
    found, _ = statement(
        f'{ANN}s3:PutObject on resource: "arn:aws:s3:::b/sm_magics/01/model.tar.gz"', asked("s3", "PutObject", **OBJECT)
    )
    assert found["Resource"] == "arn:aws:s3:::b/sm_magics/*"


def test_another_kind_of_policy_is_named():
    _, where = statement(f"{ANN}sagemaker:CreateModel on resource: * because no service control policy allows it")
    assert where.startswith("to be added to the service control policy")


def test_an_express_denial_is_not_answered_with_a_statement():
    text = permissions.hint(
        f"{ANN}s3:PutObject on resource: arn:x with an explicit deny in a service control policy", None
    )
    assert "{" not in text
    assert "s3:PutObject" in text


def test_a_refusal_about_which_nothing_is_known_still_says_how_to_find_out():
    assert "get-caller-identity" in permissions.hint("no", None)
