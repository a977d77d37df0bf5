"""Bodies that come as ``aws-chunked``: pieces with a signature each, and checksums behind the last.

Written after "Signature calculations for the Authorization header: transferring payload in multiple chunks" and
"… including trailing headers" in the Amazon S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.sigv4 import EMPTY

SIGNED, SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#: The kinds of ``x-amz-content-sha256`` that are read here. The others have signatures of other algorithms.
KINDS = {SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER}

_HEADER = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_LONGEST_LINE = 8192
_MOST_TRAILERS = 16


class Signer:
    """The chain of signatures, each of which covers the one before it.

    Parameters
    ----------
    key
        The signing key of the request's scope.
    time, scope
        As in the string to sign of the request's own signature.
    seed
        The request's signature.
    """

    def __init__(self, *, key: bytes, time: str, scope: str, seed: str) -> None:
        self._key = key
        self._time = time
        self._scope = scope
        self._last = seed

    def check_chunk(self, signature: str, digest: str) -> None:
        """Check the signature of the next chunk, given its SHA-256."""
        self._check("AWS4-HMAC-SHA256-PAYLOAD", signature, f"{EMPTY}\n{digest}")

    def check_trailer(self, signature: str, text: bytes) -> None:
        """Check the signature of the headers behind the last chunk."""
        self._check("AWS4-HMAC-SHA256-TRAILER", signature, hashlib.sha256(text).hexdigest())

    def _check(self, kind: str, signature: str, digests: str) -> None:
        text = f"{kind}\n{self._time}\n{self._scope}\n{self._last}\n{digests}"
        self._last = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(self._last.encode(), signature.encode()):
            raise ApiError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key and "
                "signing method.",
                403,
            )


class ChunkedBody:
    """A body being decoded.

    Parameters
    ----------
    pieces
        The body as it comes in.
    signer
        What checks the signatures; None for a body without.
    expected
        Names of the headers that must follow the last chunk.

    Attributes
    ----------
    trailers
        The headers that followed, once all has been read.
    """

    def __init__(self, pieces: AsyncIterator[bytes], signer: Signer | None, expected: set[str]) -> None:
        self._input = _Input(pieces)
        self._signer = signer
        self._expected = expected
        self.trailers: dict[str, str] = {}

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the content. What was yielded is to be believed only when all of it has been.

        Raises
        ------
        ApiError
            If it is cut short, badly formed or not what was signed.
        """
        size = -1
        while size:
            match = _HEADER.fullmatch(await self._input.line())
            if not match or (self._signer is None) != (match[2] is None):
                raise _incomplete()
            size = left = int(match[1], 16)
            digest = hashlib.sha256()
            while left:
                piece = await self._input.some(left)
                left -= len(piece)
                digest.update(piece)
                yield piece
            if self._signer:
                self._signer.check_chunk(match[2].decode(), digest.hexdigest())
            if size and await self._input.line():
                raise _incomplete()
        await self._read_trailers()

    async def _read_trailers(self) -> None:
        signed = bytearray()
        signature = ""
        for _ in range(_MOST_TRAILERS):
            line = (await self._input.line(may_end=True)).strip()
            if not line:
                break
            name, _, value = (part.strip() for part in line.decode("latin-1").partition(":"))
            if name.lower() == "x-amz-trailer-signature":
                signature = value
            else:
                self.trailers[name.lower()] = value
                signed += f"{name.lower()}:{value}\n".encode("latin-1")
        if set(self.trailers) != self._expected:
            raise ApiError(
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published "
                "schema.",
            )
        if self._signer and self._expected:
            self._signer.check_trailer(signature, bytes(signed))
        if await self._input.rest():
            raise _incomplete()


class _Input:
    """Lines and bytes out of pieces of any size."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = b""

    async def _more(self) -> bool:
        piece = await anext(self._pieces, b"")
        self._buffer += piece
        return bool(piece)

    async def line(self, *, may_end: bool = False) -> bytes:
        """Return the next line without its end; an empty one at the end of the input if there `may_end` be none."""
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise _incomplete()
            if not await self._more():
                if may_end and not self._buffer:
                    return b""
                raise _incomplete()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    async def some(self, most: int) -> bytes:
        """Return at least one byte, at most `most`."""
        if not self._buffer and not await self._more():
            raise _incomplete()
        piece, self._buffer = self._buffer[:most], self._buffer[most:]
        return piece

    async def rest(self) -> bytes:
        """Return what is left, of a few lines."""
        while len(self._buffer) <= _LONGEST_LINE and await self._more():
            pass
        return self._buffer.strip(b"\r\n")


def _incomplete() -> ApiError:
    return ApiError("IncompleteBody", "The request body terminated unexpectedly")
