"""How bytes come into S3 on this machine and go out of it: streamed, checked, never held whole."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.sigv4 import EMPTY, UNSIGNED

from .aws_chunked import KINDS
from .blobs import PIECE, Blob, Blobs, Draft
from .call import Call, invalid_argument, invalid_request, malformed, mismatch, not_implemented
from .checksums import ALGORITHMS, DEFAULT, encoded

#: A file of this machine's user that stands for its bytes, as a percent-encoded absolute path.
FILE = "x-sm-magics-file"
#: The SHA-256, in hexadecimal, that the file must have; left out where whoever sends it knows without reading it.
FILE_DIGEST = "x-sm-magics-sha256"

_RANGE = re.compile(r"bytes=([0-9]{0,999})-([0-9]{0,999})")
_SUM = "x-amz-checksum-"
#: What else begins so.
_NO_SUMS = {"algorithm", "mode", "type"}


def asked_algorithm(call: Call) -> str:
    """Return which checksum a request sends, or wants computed; empty if none.

    Raises
    ------
    ApiError
        If there is no such one, or more than one.
    """
    trailing = [name.strip().lower() for name in call.header("x-amz-trailer").split(",")]
    names = [name for name, _ in call.request.headers] + trailing
    sent = {name.removeprefix(_SUM) for name in names if name.startswith(_SUM)} - _NO_SUMS
    if others := sorted(sent - set(ALGORITHMS)):
        raise not_implemented(f"{_SUM}{others[0]}")
    if len(sent) > 1:
        raise invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    named = (call.header("x-amz-sdk-checksum-algorithm") or call.header("x-amz-checksum-algorithm")).lower()
    if named and named not in ALGORITHMS:
        raise invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types"
        )
    return named or next(iter(sent), "")


async def received(call: Call, blobs: Blobs, algorithm: str = "") -> tuple[Draft, Blob]:
    """Return the body, or the file of this machine that stands for it, written and checked.

    Parameters
    ----------
    algorithm
        A checksum to compute besides the one that was sent.

    Raises
    ------
    ApiError
        If it is not what was signed, or breaks a checksum. Nothing is left then.
    """
    sums = {asked_algorithm(call) or algorithm or DEFAULT} | ({algorithm} - {""})
    if call.header(FILE):
        return await _taken_file(call, blobs, sums)
    if not call.header("content-length") and call.payload not in KINDS:
        raise ApiError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    draft, blob = await blobs.receive(call.content(), sums)
    try:
        if call.payload not in {UNSIGNED, *KINDS, blob.digest}:
            raise mismatch()
        _check_sums(call, blob.md5, blob.sums)
    except ApiError:
        draft.drop()
        raise
    return draft, blob


async def document(call: Call, *, is_summed: bool = True) -> ET.Element:
    """Return the XML of a small body.

    Parameters
    ----------
    is_summed
        Whether a checksum among the headers is the body's.

    Raises
    ------
    ApiError
        If it is not what was signed, breaks a checksum, or is no XML.
    """
    body = await call.body()
    sums = {}
    if is_summed and (algorithm := asked_algorithm(call)):
        running = ALGORITHMS[algorithm]()
        running.update(body)
        sums[algorithm] = encoded(running.digest())
    _check_sums(call, hashlib.md5(body, usedforsecurity=False).hexdigest(), sums)
    try:
        return ET.fromstring(body)  # noqa: S314 - its sender holds this service's key
    except ET.ParseError as error:
        raise malformed() from error


async def _taken_file(call: Call, blobs: Blobs, sums: set[str]) -> tuple[Draft, Blob]:
    path = Path(unquote(call.header(FILE)))
    digest = call.header(FILE_DIGEST).lower()
    if call.payload != EMPTY or await call.body():
        raise invalid_request(f"A request with {FILE} must have an empty, signed body.")
    if not path.is_absolute():
        raise invalid_argument(f"{FILE} must be an absolute path, not {path}.")
    try:
        draft, blob = await blobs.copy([path], sums)
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise invalid_argument(f"The file {path} cannot be read: {reason}.") from error
    if digest and blob.digest != digest:
        draft.drop()
        raise ApiError("BadDigest", f"The file {path} has the SHA-256 {blob.digest}, not {digest}.")
    return draft, blob


def _check_sums(call: Call, md5: str, sums: Mapping[str, str]) -> None:
    if given := call.header("content-md5"):
        if not _is_digest(given, 16):
            raise ApiError("InvalidDigest", "The Content-MD5 you specified was invalid.")
        if base64.b64decode(given).hex() != md5:
            raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    for name, value in sums.items():
        given = call.trailers.get(_SUM + name) or call.header(_SUM + name)
        if given and not _is_digest(given, len(base64.b64decode(value))):
            raise invalid_request(f"Value for {_SUM}{name} header is invalid.")
        if given and given != value:
            raise ApiError("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.")


def _is_digest(text: str, length: int) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == length
    except ValueError:
        return False


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
