"""One HTTP request and its answer, as ASGI hands them over: nothing decoded that a signature covers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from .errors import too_large

MAY_HOLD: ContextVar[bool] = ContextVar("may_hold", default=True)
"""Whether the answer to the request at hand may be held back until something happens. ``x-sm-magics-hold: 0`` says no:
a client that asks often anyway wants to see what is on its way."""

IS_WAITER: ContextVar[bool] = ContextVar("is_waiter", default=False)
"""Whether one of botocore's waiters sent the request at hand: its user agent says so, by the feature ``B``
(``botocore/useragent.py``)."""

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


#: Bytes of a refused body that are let in, so that the client gets to read why.
_MOST_DROPPED = 1 << 30


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class _Incoming:
    """What receives a request's body, and remembers how far it is."""

    def __init__(self, receive: Receive, *, awaits_word: bool) -> None:
        self._receive = receive
        self.awaits_word = awaits_word
        self._is_complete = False

    async def __call__(self) -> MutableMapping[str, Any]:
        self.awaits_word = False
        message = await self._receive()
        self._is_complete = not message.get("more_body", False)
        return message

    async def is_over(self) -> bool:
        """Return whether nothing of the body is left to come.

        What the client sends already is let in and dropped, up to a bound: it reads no answer before it has sent all.
        """
        dropped = 0
        while not self._is_complete and dropped < _MOST_DROPPED:
            dropped += len((await self()).get("body", b""))
        return self._is_complete


@dataclass(frozen=True)
class Request:
    """A request as it was sent.

    Attributes
    ----------
    method
        In upper case.
    raw_path, query
        Percent-encoded, as in the request line. ``scope["path"]`` is decoded and has lost ``%2F`` and ``//``.
    headers
        Names in lower case, in the order sent, repeated ones included.
    """

    method: str
    raw_path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    receive: Receive = field(repr=False)

    @classmethod
    def from_scope(cls, scope: Scope, receive: Receive) -> Request:
        """Return the request of an ASGI scope."""
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
        return cls(
            method=scope["method"],
            # Some servers leave the query in the raw path.
            raw_path=scope["raw_path"].partition(b"?")[0].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            receive=_Incoming(receive, awaits_word=("expect", "100-continue") in headers),
        )

    @cached_property
    def _by_name(self) -> Mapping[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for name, value in self.headers:
            by_name.setdefault(name, []).append(value)
        return by_name

    def values(self, name: str) -> Sequence[str]:
        """Return all values of a header, in the order sent."""
        return self._by_name.get(name, ())

    def header(self, name: str, default: str = "") -> str:
        """Return the first value of a header."""
        values = self._by_name.get(name)
        return values[0] if values else default

    def query_pairs(self) -> list[tuple[str, str]]:
        """Return the query's names and values, still encoded."""
        pairs = (pair.partition("=") for pair in self.query.split("&") if pair)
        return [(name, value) for name, _, value in pairs]

    def is_waiters(self) -> bool:
        """Return whether one of botocore's waiters sent it."""
        features = (part[2:].split(",") for part in self.header("user-agent").split() if part.startswith("m/"))
        return any("B" in each for each in features)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes in.

        Raises
        ------
        ClientGoneError
            If the connection closes before the body is complete.
        """
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if chunk := message.get("body", b""):
                yield chunk
            more = message.get("more_body", False)

    async def is_over(self) -> bool:
        """Return whether the connection may be used for another request once this one is answered.

        Not after one that waits for ``100 Continue``, as boto3 does with S3: it never sends a body that was refused,
        and botocore 1.37 then takes this answer's status for that of the next one, even without a body.
        """
        if not isinstance(self.receive, _Incoming):
            return True
        if self.receive.awaits_word:
            return False
        has_body = self.header("content-length", "0") != "0" or self.header("transfer-encoding") != ""
        return not has_body or await self.receive.is_over()

    async def body(self, limit: int) -> bytes:
        """Return the whole body.

        Raises
        ------
        ApiError
            As soon as it is seen to have more than `limit` bytes.
        """
        declared = self.header("content-length")
        if declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        chunks = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
        return b"".join(chunks)


@dataclass
class Response:
    """An answer. `body` is sent as it is, or piece by piece; then `headers` name its length."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""

    async def send(self, send: Send, *, request_id: str, head: bool = False) -> None:
        """Send it as ASGI messages, without the body in answer to HEAD."""
        headers = [*self.headers, ("x-amzn-requestid", request_id)]
        if isinstance(self.body, bytes) and not any(name.lower() == "content-length" for name, _ in self.headers):
            headers.append(("content-length", str(len(self.body))))
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers],
            }
        )
        if head or isinstance(self.body, bytes):
            body = b"" if head or not isinstance(self.body, bytes) else self.body
            await send({"type": "http.response.body", "body": body})
            return
        async for chunk in self.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
