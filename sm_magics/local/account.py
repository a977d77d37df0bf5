"""Whose machine this is, in AWS's terms: an account, a region and one access key, made once and kept."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass

from .store import Store

REGION = "us-west-2"
ROLE = "sm-magics"
#: Who may assume the role.
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


@dataclass(frozen=True)
class Account:
    """An account on this machine.

    Attributes
    ----------
    id
        12 digits: patterns of the service model and the SDKs want a real-looking one.
    region
        A real region's name: the SDKs look container images up by it.
    access_key
        20 upper-case letters and digits.
    secret_key
        What requests are signed with.
    """

    id: str
    region: str
    access_key: str
    secret_key: str

    @classmethod
    def of(cls, store: Store) -> Account:
        """Return the account kept in the store, made now if there is none."""
        kept = store.state()
        if "account" not in kept:
            with store.transaction():
                store.keep("account", "".join(secrets.choice(string.digits[1:]) for _ in range(12)))
                alphabet = string.ascii_uppercase + string.digits
                store.keep("access_key", "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16)))
                store.keep("secret_key", secrets.token_urlsafe(30))
            kept = store.state()
        return cls(kept["account"], REGION, kept["access_key"], kept["secret_key"])

    def arn(self, service: str, resource: str) -> str:
        """Return a resource's ARN; SageMaker's have the resource's name in lower case."""
        return f"arn:aws:{service}:{self.region}:{self.id}:{resource}"

    def sagemaker_arn(self, kind: str, name: str) -> str:
        """Return the ARN of a SageMaker resource, such as ``…:endpoint/digits``."""
        return self.arn("sagemaker", f"{kind}/{name.lower()}")

    @property
    def role_arn(self) -> str:
        """The ARN of the execution role that is said to exist."""
        return f"arn:aws:iam::{self.id}:role/{ROLE}"
