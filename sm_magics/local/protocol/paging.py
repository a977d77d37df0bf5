"""Page tokens: opaque, and good only for the query that they came from."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

#: Members of a request that may differ from one page to the next.
_FREE = {"NextToken", "MaxResults", "nextToken", "limit"}
_TAG = 12


class Pages:
    """Tokens made and read with one secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def token(self, operation: str, parameters: Mapping[str, Any], position: list[Any]) -> str:
        """Return a token for where the next page begins."""
        payload = json.dumps(position).encode()
        return base64.urlsafe_b64encode(self._tag(operation, parameters, payload) + payload).decode().rstrip("=")

    def position(self, operation: str, parameters: Mapping[str, Any], token: str) -> list[Any] | None:
        """Return where the next page begins, or None for a token that is not one of this query's."""
        try:
            data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        tag, payload = data[:_TAG], data[_TAG:]
        if not hmac.compare_digest(tag, self._tag(operation, parameters, payload)):
            return None
        position: list[Any] = json.loads(payload)
        return position

    def _tag(self, operation: str, parameters: Mapping[str, Any], payload: bytes) -> bytes:
        query = {name: value for name, value in parameters.items() if name not in _FREE}
        text = json.dumps([operation, query], sort_keys=True).encode()
        return hmac.new(self._secret, text + b"\0" + payload, hashlib.sha256).digest()[:_TAG]
