"""The execution role, which SageMaker takes on to fetch the model data and to write logs: its ARN, how one is made."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sm_magics.errors import ConfigurationError

if TYPE_CHECKING:
    from .connection import Connection

# RoleArn in the SageMaker API reference, with the path that a role may have.
_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")

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


def check(role: str, connection: Connection) -> None:
    """Refuse what is no role's ARN: a role's name, a user, a session of a role.

    Raises
    ------
    ConfigurationError
        With the ARN that was probably meant.
    """
    if _ARN.fullmatch(role):
        return
    session = re.fullmatch(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+", role)
    if session:
        said, partition, account, name = "a session of a role, not the role", *session.groups()
    else:
        partition, account = connection.partition, connection.account
        said, name = "no ARN of a role", role.rpartition("/")[2] if re.fullmatch(r"[\w+=,.@/-]+", role) else "NAME"
    raise ConfigurationError(
        f"The execution role {role!r} is {said}.", hint=f"--role arn:{partition}:iam::{account}:role/{name}"
    )


def hint(message: str) -> str:
    """Return what mends a refusal of SageMaker's that is about the role itself; empty if it is about something else."""
    if "Cross-account pass role" in message:
        return "--role ARN    # of a role in the account that the credentials belong to: !aws sts get-caller-identity"
    found = re.search(
        r"Could not assume role arn:aws[a-z-]*:iam::\d{12}:role/(?:[^/\s]+/)*([\w+=,.@-]+?)\.?(?:\s|$)", message
    )
    if not found:
        return ""
    return (
        f"!aws iam update-assume-role-policy --role-name {found[1]} --policy-document '{json.dumps(TRUST)}'"
        f"    # if there is no such role: !{create(found[1])}"
    )
