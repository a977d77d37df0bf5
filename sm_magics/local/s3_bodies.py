"""How bytes come into S3 on this machine and go out of it: streamed, checked, never held whole."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from .blobs import PIECE, Blob, Blobs, Draft
from .errors import ApiError
from .sigv4 import EMPTY, UNSIGNED
from .wire import Request

#: A file of this machine's user that stands for its bytes, as a percent-encoded absolute path.
FILE = "x-sm-magics-file"
#: The SHA-256, in hexadecimal, that the file must have.
FILE_DIGEST = "x-sm-magics-sha256"

_SMALL = 1 << 20
_RANGE = re.compile(r"bytes=([0-9]{0,999})-([0-9]{0,999})")
#: Request headers that come back with the object.
_KEPT = re.compile(
    r"content-type|content-disposition|content-encoding|content-language|cache-control|expires|x-amz-meta-.+"
)


@dataclass(frozen=True)
class Call:
    """One request to S3, its address decoded.

    Attributes
    ----------
    payload
        The SHA-256 that the verified signature covers, or ``UNSIGNED-PAYLOAD``.
    """

    request: Request
    bucket: str
    key: str
    query: dict[str, str]
    payload: str

    def kept_headers(self) -> dict[str, str]:
        """Return the headers to be given back with the object."""
        return {name: value for name, value in self.request.headers if _KEPT.fullmatch(name)}

    async def body(self) -> bytes:
        """Return a small body.

        Raises
        ------
        ApiError
            If it is not the one that was signed, or not small.
        """
        body = await self.request.body(_SMALL)
        if self.payload not in {UNSIGNED, hashlib.sha256(body).hexdigest()}:
            raise _mismatch()
        return body


async def received(call: Call, blobs: Blobs) -> tuple[Draft, Blob]:
    """Return the body, or the file of this machine that stands for it, written and checked.

    Raises
    ------
    ApiError
        If it is not what was signed, or breaks a checksum. Nothing is left then.
    """
    if call.request.header(FILE):
        return await _taken_file(call, blobs)
    if not call.request.header("content-length"):
        raise ApiError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    draft, blob = await blobs.receive(call.request.stream())
    try:
        if call.payload not in {UNSIGNED, blob.digest}:
            raise _mismatch()
        _check_sums(call.request, blob)
    except ApiError:
        draft.drop()
        raise
    return draft, blob


async def _taken_file(call: Call, blobs: Blobs) -> tuple[Draft, Blob]:
    path = Path(unquote(call.request.header(FILE)))
    digest = call.request.header(FILE_DIGEST).lower()
    if call.payload != EMPTY or await call.body():
        raise ApiError("InvalidRequest", f"A request with {FILE} must have an empty, signed body.")
    if not path.is_absolute():
        raise ApiError("InvalidArgument", f"{FILE} must be an absolute path, not {path}.")
    try:
        draft, blob = await blobs.copy([path])
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ApiError("InvalidArgument", f"The file {path} cannot be read: {reason}.") from error
    if blob.digest != digest:
        draft.drop()
        raise ApiError("BadDigest", f"The file {path} has the SHA-256 {blob.digest}, not {digest or 'none'}.")
    return draft, blob


def _check_sums(request: Request, blob: Blob) -> None:
    sums = {
        "content-md5": bytes.fromhex(blob.md5),
        "x-amz-checksum-crc32": blob.crc32.to_bytes(4, "big"),
        "x-amz-checksum-sha256": bytes.fromhex(blob.digest),
    }
    for name, value in sums.items():
        given = request.header(name)
        if given and given != base64.b64encode(value).decode():
            raise ApiError("BadDigest", f"The {name} you specified did not match what we received.")


async def pieces(file: BinaryIO, start: int, stop: int) -> AsyncIterator[bytes]:
    """Yield a file's bytes from `start` up to but not including `stop`, then close it."""
    with file:
        file.seek(start)
        while start < stop:
            piece = await asyncio.to_thread(file.read, min(PIECE, stop - start))
            if not piece:
                return
            start += len(piece)
            yield piece


def byte_range(header: str, size: int) -> tuple[int, int, int]:
    """Return the status, and the bytes from and up to but not including, that a Range header asks for.

    Raises
    ------
    ApiError
        ``InvalidRange`` if the object has none of them.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    first, last = match.groups() if match else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        return 200, 0, size
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise ApiError("InvalidRange", "The requested range is not satisfiable", 416, {"ActualObjectSize": size})
    return 206, start, stop


def _mismatch() -> ApiError:
    return ApiError(
        "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
    )
