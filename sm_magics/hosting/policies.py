"""IAM statements that allow what was refused, with everything filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
"""The trust policy of a role that SageMaker may assume (developer guide, "SageMaker execution roles")."""


def statement(action: str, resource: str, condition: Mapping[str, Any] | None = None) -> str:
    """Return the statement that allows an action on a resource, as JSON on one line."""
    made: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    if condition:
        made["Condition"] = dict(condition)
    return json.dumps(made)


def pass_role(role: str) -> str:
    """Return the statement that lets a caller hand a role to SageMaker."""
    return statement("iam:PassRole", role, {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})


def create_role(name: str = "SageMakerExecutionRole") -> str:
    """Return the commands that make an execution role."""
    return (
        f"aws iam create-role --role-name {name} --assume-role-policy-document '{json.dumps(TRUST)}' && "
        f"aws iam attach-role-policy --role-name {name} "
        "--policy-arn arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    )


def partition(region: str) -> str:
    """Return the partition that a region lies in, as ARNs have it."""
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
