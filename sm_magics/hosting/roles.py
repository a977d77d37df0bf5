"""The execution role that SageMaker takes on to fetch the model data and to write logs: how one is made."""

from __future__ import annotations

import json

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
"""The trust policy of a role that SageMaker may assume (developer guide, "SageMaker execution roles")."""


def create(name: str = "SageMakerExecutionRole") -> str:
    """Return the commands that make an execution role."""
    return (
        f"aws iam create-role --role-name {name} --assume-role-policy-document '{json.dumps(TRUST)}' && "
        f"aws iam attach-role-policy --role-name {name} "
        "--policy-arn arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    )
