"""One HTTP request and its answer: nothing decoded that a signature covers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from .body import Body
from .errors import too_large

MAY_HOLD: ContextVar[bool] = ContextVar("may_hold", default=True)
"""Whether the answer to the request at hand may be held back until something happens. ``x-sm-magics-hold: 0`` says no:
a client that asks often anyway wants to see what is on its way."""

IS_WAITER: ContextVar[bool] = ContextVar("is_waiter", default=False)
"""Whether one of botocore's waiters sent the request at hand: its user agent says so, by the feature ``B``
(``botocore/useragent.py``)."""


@dataclass
class Request:
    """A request as it was sent.

    Attributes
    ----------
    method
        In upper case.
    raw_path, query
        Percent-encoded, as in the request line.
    headers
        Names in lower case, in the order sent, repeated ones included.
    content
        The body.
    by_name
        The first value of each header.
    repeats
        Whether a header is there more than once.
    """

    method: str
    raw_path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    content: Body = field(repr=False)
    by_name: Mapping[str, str] = field(init=False, repr=False)
    repeats: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.by_name = dict(self.headers)
        self.repeats = len(self.by_name) < len(self.headers)
        if self.repeats:
            self.by_name = dict(reversed(self.headers))

    def values(self, name: str) -> Sequence[str]:
        """Return all values of a header, in the order sent."""
        if self.repeats:
            return [value for each, value in self.headers if each == name]
        return (self.by_name[name],) if name in self.by_name else ()

    def header(self, name: str, default: str = "") -> str:
        """Return the first value of a header."""
        return self.by_name.get(name, default)

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
        while piece := await self.content.take():
            yield piece

    async def is_over(self) -> bool:
        """Return whether the connection may be used for another request once this one is answered.

        Not after one that waits for ``100 Continue``, as boto3 does with S3: it never sends a body that was refused,
        and botocore 1.37 then takes this answer's status for that of the next one, even without a body.
        """
        return not self.content.awaits_word and (self.content.is_complete or await self.content.is_over())

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
        if self.content.is_complete and self.content.size <= limit and not self.content.awaits_word:
            return self.content.taken()
        pieces = []
        size = 0
        async for piece in self.stream():
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            pieces.append(piece)
        return b"".join(pieces)


@dataclass
class Response:
    """An answer. `body` is sent as it is, or piece by piece, and then in chunks if `headers` do not name its length."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
