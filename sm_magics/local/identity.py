"""Who the caller is: the parts of STS and IAM that deploying asks for.

The caller is an assumed role, since the SageMaker SDK's ``get_execution_role`` refuses a plain user. Every role of this
account may be assumed, and may do everything with what is in it: whoever asks holds the machine's key already.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias
from urllib.parse import quote

from .account import ROLE, TRUST, Account
from .protocol.errors import ApiError, NotHereError
from .sessions import Session, Sessions

_MACHINE = Session(ROLE, "notebook", 0)
CALLER: ContextVar[Session] = ContextVar("caller", default=_MACHINE)
"""Who signed the request at hand."""

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>\d{12}):role/(?:[!-~]+/)?(?P<name>[\w+=,.@-]{1,64})")
_ARN_ACCOUNT = re.compile(r"arn:[^:]*:[^:]*:[^:]*:(?P<account>\d{12}):.*")
_ACTION = re.compile(r"\*|[\w-]+:[\w*?-]+")
#: Seconds that a session lasts that does not say ("AssumeRole", AWS STS API reference).
_SESSION = 3600
#: As the dates of all the rest, in seconds since the epoch.
_CREATED = 1704067200.0

Operation: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


class Identity:
    """STS and IAM for one account: `sts` and `iam` are operations by name, from a request's members to an answer's."""

    def __init__(self, account: Account, sessions: Sessions) -> None:
        self._account = account
        self._sessions = sessions
        self.sts: Mapping[str, Operation] = {
            "AssumeRole": self._assume_role,
            "GetCallerIdentity": self._get_caller_identity,
            "GetSessionToken": self._get_session_token,
        }
        self.iam: Mapping[str, Operation] = {
            "GetRole": self._get_role,
            "SimulatePrincipalPolicy": self._simulate_principal_policy,
        }

    # STS

    def _get_caller_identity(self, _request: dict[str, Any]) -> dict[str, Any]:
        session = CALLER.get()
        return {"Arn": self._arn(session), "UserId": self._user_id(session), "Account": self._account.id}

    def _assume_role(self, request: dict[str, Any]) -> dict[str, Any]:
        role = _ROLE_ARN.fullmatch(request["RoleArn"])
        if role is None:
            raise ApiError("ValidationError", f"{request['RoleArn']} is invalid")
        if role["account"] != self._account.id:
            raise ApiError(
                "AccessDenied",
                f"User: {self._arn(CALLER.get())} is not authorized to perform: sts:AssumeRole on resource: "
                f"{request['RoleArn']}",
                403,
            )
        session = self._session(role["name"], request["RoleSessionName"], request)
        user = {"AssumedRoleId": self._user_id(session), "Arn": self._arn(session)}
        return {"Credentials": self._credentials(session), "AssumedRoleUser": user}

    def _get_session_token(self, request: dict[str, Any]) -> dict[str, Any]:
        caller = CALLER.get()
        return {"Credentials": self._credentials(self._session(caller.role, caller.name, request))}

    def _session(self, role: str, name: str, request: dict[str, Any]) -> Session:
        return Session(role, name, int(time.time()) + request.get("DurationSeconds", _SESSION))

    def _credentials(self, session: Session) -> dict[str, Any]:
        keys = self._sessions.keys(session)
        return {
            "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key,
            "SessionToken": keys.token,
            "Expiration": float(session.expires),
        }

    def _arn(self, session: Session) -> str:
        return f"arn:aws:sts::{self._account.id}:assumed-role/{session.role}/{session.name}"

    def _user_id(self, session: Session) -> str:
        return f"AROA{self._account.access_key[4:]}:{session.name}"

    # IAM

    def _get_role(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["RoleName"] != ROLE:
            raise NotHereError("NoSuchEntity", f"The role with name {request['RoleName']} cannot be found.", 404)
        return {
            "Role": {
                "Path": "/",
                "RoleName": ROLE,
                "RoleId": f"AROA{self._account.access_key[4:]}",
                "Arn": self._account.role_arn,
                "CreateDate": _CREATED,
                "AssumeRolePolicyDocument": quote(json.dumps(TRUST)),
                "MaxSessionDuration": 3600,
            }
        }

    def _simulate_principal_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Decide as one policy of every role would: all actions, on all that belongs to this account."""
        account = _account_of(request["PolicySourceArn"])
        if account != self._account.id:
            raise ApiError("NoSuchEntity", f"The entity {request['PolicySourceArn']} cannot be found.", 404)
        for action in request["ActionNames"]:
            if not _ACTION.fullmatch(action):
                raise ApiError("InvalidInput", f"{action} is no action: SERVICE:ACTION, such as s3:GetObject, is one.")
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": "allowed" if _account_of(resource) in {"", self._account.id} else "implicitDeny",
                "MatchedStatements": [],
                "MissingContextValues": [],
            }
            for action in request["ActionNames"]
            for resource in request.get("ResourceArns", ["*"])
        ]
        return {"IsTruncated": False, "EvaluationResults": results}


def _account_of(arn: str) -> str:
    """Return the account that an ARN names; empty for one that names none, as those of buckets do, and for ``*``."""
    match = _ARN_ACCOUNT.fullmatch(arn)
    return match["account"] if match else ""
