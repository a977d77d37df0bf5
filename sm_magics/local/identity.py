"""Who the caller is: the parts of STS and IAM that deploying asks for.

The caller is an assumed role, since the SageMaker SDK's ``get_execution_role`` refuses a plain user.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from .account import ROLE, TRUST, Account
from .errors import NotHereError, no_such_action
from .protocols import xml_answer
from .wire import Response

_STS = "https://sts.amazonaws.com/doc/2011-06-15/"
_IAM = "https://iam.amazonaws.com/doc/2010-05-08/"


class Identity:
    """STS and IAM for one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._actions: dict[tuple[str, str], Callable[[dict[str, str]], dict[str, Any]]] = {
            ("sts", "GetCallerIdentity"): self._get_caller_identity,
            ("iam", "GetRole"): self._get_role,
            ("iam", "SimulatePrincipalPolicy"): self._simulate_principal_policy,
        }

    def answer(self, service: str, form: dict[str, str], request_id: str) -> Response:
        """Answer a request of the query protocol, given its form.

        Raises
        ------
        ApiError
            If there is no such action here, or the role is not there.
        """
        action = form.get("Action", "")
        operation = self._actions.get((service, action))
        if operation is None:
            raise no_such_action(service, action)
        content = {f"{action}Result": operation(form), "ResponseMetadata": {"RequestId": request_id}}
        return xml_answer(f"{action}Response", content, namespace=_STS if service == "sts" else _IAM)

    def _get_caller_identity(self, _form: dict[str, str]) -> dict[str, Any]:
        return {
            "Arn": f"arn:aws:sts::{self._account.id}:assumed-role/{ROLE}/notebook",
            "UserId": f"AROA{self._account.access_key[4:]}:notebook",
            "Account": self._account.id,
        }

    def _get_role(self, form: dict[str, str]) -> dict[str, Any]:
        name = form.get("RoleName", "")
        if name != ROLE:
            raise NotHereError("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
        return {
            "Role": {
                "Path": "/",
                "RoleName": ROLE,
                "RoleId": f"AROA{self._account.access_key[4:]}",
                "Arn": self._account.role_arn,
                "CreateDate": "2024-01-01T00:00:00Z",
                "AssumeRolePolicyDocument": quote(json.dumps(TRUST)),
                "MaxSessionDuration": 3600,
            }
        }

    def _simulate_principal_policy(self, form: dict[str, str]) -> dict[str, Any]:
        """Allow everything: there is nothing here that the holder of the key may not do."""
        resource = form.get("ResourceArns.member.1", "*")
        names = [value for key, value in form.items() if key.startswith("ActionNames.member.")]
        return {
            "IsTruncated": False,
            "EvaluationResults": {
                "member": [
                    {"EvalActionName": name, "EvalResourceName": resource, "EvalDecision": "allowed"} for name in names
                ]
            },
        }
