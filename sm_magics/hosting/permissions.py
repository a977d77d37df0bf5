"""The IAM statement that a refused request needs, filled in: to be pasted into a policy, or sent to who keeps it.

What AWS itself says is missing counts first ("… is not authorized to perform: iam:PassRole on resource: …": one request
may need several permissions). Where it says nothing more than that access is denied, as S3 may, the action comes from
the operation ("Actions, resources, and condition keys" of each service, Service Authorization Reference).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SAID = re.compile(
    r"is not authorized to perform: (?P<action>[a-z0-9-]+:\w+)"
    r"(?:,? on resource: \"?(?P<resource>arn:[^\s\"]+|\*)\"?)?",
    re.IGNORECASE,
)
_WHO = re.compile(r"User: arn:[^:]+:(?:sts|iam)::\d*:(?:assumed-role|user|role)/(?P<name>[^\s/]+)")
_POLICY = re.compile(r"because no (?P<kind>[\w\- ]+?) policy allows|because no (?P<other>[\w\- ]+?) allows")
_EXPLICIT = "explicit deny"
_OUR_OBJECT = re.compile(r"(arn:[\w-]+:s3:::[^/]+/sm_magics/).+")

_ACTIONS: Mapping[tuple[str, str], Sequence[str]] = {
    ("s3", "HeadBucket"): ("s3:ListBucket",),
    # Without the second S3 says 403 about an object that is not there, where it would say 404.
    ("s3", "HeadObject"): ("s3:GetObject", "s3:ListBucket"),
    ("s3", "ListObjects"): ("s3:ListBucket",),
    ("s3", "ListObjectsV2"): ("s3:ListBucket",),
    ("s3", "ListBuckets"): ("s3:ListAllMyBuckets",),
    ("s3", "CreateMultipartUpload"): ("s3:PutObject",),
    ("s3", "UploadPart"): ("s3:PutObject",),
    ("s3", "CompleteMultipartUpload"): ("s3:PutObject",),
    ("s3", "UploadPartCopy"): ("s3:GetObject", "s3:PutObject"),
    ("s3", "CopyObject"): ("s3:GetObject", "s3:PutObject"),
    ("s3", "ListParts"): ("s3:ListMultipartUploadParts",),
    ("s3", "ListMultipartUploads"): ("s3:ListBucketMultipartUploads",),
    ("s3", "DeleteObjects"): ("s3:DeleteObject",),
    ("kms", "GenerateDataKey"): ("kms:GenerateDataKey", "kms:Decrypt"),  # the second for uploads in parts
}
_OF_BUCKETS = {"s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:CreateBucket", "s3:GetBucketLocation"}
_PREFIXES = {"monitoring": "cloudwatch"}  # where IAM's name for a service is not the one that is signed for

_SAGEMAKER = {
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "TrainingJobName": "training-job",
}


@dataclass(frozen=True)
class Asked:
    """A request, as far as a policy is concerned.

    Attributes
    ----------
    service
        The name that requests are signed for: ``s3``, ``sagemaker``.
    operation
        As the API has it.
    names
        Those of its parameters that name a thing.
    region, partition
        Where: ``us-west-2`` in ``aws``.
    """

    service: str
    operation: str
    names: Mapping[str, str]
    region: str = "*"
    partition: str = "aws"


NAMING = frozenset({*_SAGEMAKER, "Bucket", "Key", "ResourceArn", "RoleName", "logGroupName"})
"""The parameters that name what a request is about."""


def hint(message: str, asked: Asked | None) -> str:
    """Return the statement that would allow a refused request, as one line, with where it goes.

    Parameters
    ----------
    message
        What the service said.
    asked
        The request, if it is known.
    """
    said = _SAID.search(message)
    if _EXPLICIT in message:
        action = said["action"] if said else ", ".join(_actions(asked)) if asked else "it"
        return f"a policy denies {action} expressly, and no statement of another one outdoes that: ask who keeps it"
    written = statement(message, asked)
    if not written:
        return "!aws sts get-caller-identity    # who asks; no policy of theirs allows it"
    who = _WHO.search(message)
    kind = _POLICY.search(message)
    policy = (kind["kind"] or kind["other"]) if kind else ""
    where = f"the {policy} policy" if policy and policy != "identity-based" else "a policy"
    return f"{json.dumps(written)}    # to be added to {where} of {who['name'] if who else 'who asks'}"


def statement(message: str, asked: Asked | None) -> dict[str, Any]:
    """Return the statement that would allow a refused request; empty where nothing is known about it."""
    said = _SAID.search(message)
    if said:
        service, _, operation = said["action"].partition(":")
        actions = _ACTIONS.get((service, operation), (said["action"],))
        resources = [_OUR_OBJECT.sub(r"\1*", said["resource"])] if said["resource"] else []
        if said["action"] in _OF_BUCKETS | {"s3:GetObject"} and asked:  # the one that is missing may not be the last
            actions, resources = _actions(asked), []
    elif asked:
        actions, resources = _actions(asked), []
    else:
        return {}
    written: dict[str, Any] = {"Effect": "Allow", "Action": _one(actions)}
    written["Resource"] = _one(resources or (_resources(asked, actions) if asked else ["*"]))
    if "iam:PassRole" in actions:
        written["Condition"] = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return written


def _actions(asked: Asked) -> Sequence[str]:
    prefix = _PREFIXES.get(asked.service, asked.service)
    return _ACTIONS.get((asked.service, asked.operation), (f"{prefix}:{asked.operation}",))


def _resources(asked: Asked, actions: Sequence[str]) -> list[str]:
    start = f"arn:{asked.partition}"
    names = asked.names
    if asked.service == "s3":
        bucket = f"{start}:s3:::{names.get('Bucket', '*')}"
        found = [_OUR_OBJECT.sub(r"\1*", f"{bucket}/{names.get('Key', '*')}")] if set(actions) - _OF_BUCKETS else []
        return [*found, bucket] if set(actions) & _OF_BUCKETS else found
    if asked.service == "logs" and "logGroupName" in names:
        return [f"{start}:logs:{asked.region}:*:log-group:{names['logGroupName']}:*"]
    if asked.service == "iam" and "RoleName" in names:
        return [f"{start}:iam::*:role/{names['RoleName']}"]
    if "ResourceArn" in names:
        return [names["ResourceArn"]]
    found = [
        # AWS writes these in small letters, whatever the name's own, and IAM tells the two apart.
        f"{start}:sagemaker:{asked.region}:*:{kind}/{names[parameter].lower()}"
        for parameter, kind in _SAGEMAKER.items()
        if parameter in names and asked.service == "sagemaker"
    ]
    return found or ["*"]


def _one(items: Sequence[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else list(items)
