"""Temporary keys: what STS hands out when a role is assumed.

Nothing about them is kept: the session token says who it is for and until when, under a signature of this machine's
secret, and the secret key is derived from the token. They open what the machine's own key opens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from .account import Account

#: What access keys of temporary credentials begin with ("IAM identifiers", AWS IAM User Guide).
_PREFIX = "ASIA"
_LONGEST_TOKEN = 8192


class ExpiredError(Exception):
    """The session is over."""


@dataclass(frozen=True)
class Session:
    """A role that somebody has assumed.

    Attributes
    ----------
    role
        The role's name.
    name
        The session's name.
    expires
        Seconds since the epoch.
    """

    role: str
    name: str
    expires: int


@dataclass(frozen=True)
class Keys:
    """What a client signs with."""

    access_key: str
    secret_key: str
    token: str


def variables(keys: Keys, *, url: str, region: str) -> dict[str, str]:
    """Return the environment variables with which AWS's clients use keys at an address."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


class Sessions:
    """All sessions of one account."""

    def __init__(self, account: Account) -> None:
        self._secret = account.secret_key.encode()

    def keys(self, session: Session) -> Keys:
        """Return the keys of a session."""
        content = _encoded(json.dumps([session.role, session.name, session.expires]).encode())
        return self._keys(content)

    def find(self, access_key: str, token: str) -> tuple[Keys, Session] | None:
        """Return what a token stands for, or None if it is none of this machine's for that access key.

        Raises
        ------
        ExpiredError
            If it was one.
        """
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            return None
        content = token.rpartition(".")[0]
        keys = self._keys(content)
        if not _same(keys.token, token) or not _same(keys.access_key, access_key):
            return None
        session = Session(*_decoded(content))
        if session.expires <= time.time():
            raise ExpiredError
        return keys, session

    def _keys(self, content: str) -> Keys:
        access_key = base64.b32encode(self._derived("access", content)[:10]).decode()
        secret_key = base64.b64encode(self._derived("secret", content)[:30]).decode()
        return Keys(_PREFIX + access_key, secret_key, f"{content}.{_encoded(self._derived('token', content))}")

    def _derived(self, what: str, content: str) -> bytes:
        return hmac.new(self._secret, f"session {what} {content}".encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
