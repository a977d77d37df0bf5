"""One request to S3 as its operations see it, and the shapes that their answers share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TypeAlias
from urllib.parse import parse_qsl

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.protocols import xml_answer
from sm_magics.local.protocol.sigv4 import UNSIGNED
from sm_magics.local.protocol.wire import Request, Response

from .aws_chunked import KINDS, ChunkedBody, Signer

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_SMALL = 1 << 20
_META = "x-amz-meta-"
#: Labels of an object and of a bucket, and what they may be made of ("Categorizing your objects using tags", S3 user
#: guide).
_MOST_TAGS = {"Object": 10, "Bucket": 50}
_TAG = re.compile(r"[\w \u00a0.:/=+\-@]*")
#: Bytes of user metadata ("Working with object metadata", S3 user guide).
_MOST_METADATA = 2048
#: Request headers that come back with the object. Which key it is encrypted with is a label here: the disk is not ours.
_KEPT = re.compile(
    r"content-type|content-disposition|content-encoding|content-language|cache-control|expires|x-amz-meta-.+|"
    r"x-amz-storage-class|x-amz-server-side-encryption|x-amz-server-side-encryption-aws-kms-key-id|"
    r"x-amz-server-side-encryption-bucket-key-enabled"
)


@dataclass(frozen=True)
class Call:
    """One request to S3, its address decoded.

    Attributes
    ----------
    payload
        The SHA-256 that the verified signature covers, ``UNSIGNED-PAYLOAD``, or a kind of ``aws_chunked``.
    region
        That the request was signed for.
    signer
        What checks the chunks of a body that comes in signed chunks.
    trailers
        The headers behind such a body, once it was read.
    """

    request: Request
    bucket: str
    key: str
    query: dict[str, str]
    payload: str
    region: str = ""
    signer: Signer | None = None
    trailers: dict[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str:
        """Return a header's first value."""
        return self.request.header(name)

    def kept_headers(self) -> dict[str, str]:
        """Return the headers to be given back with the object.

        Raises
        ------
        ApiError
            ``MetadataTooLarge``.
        """
        kept = {name: value for name, value in self.request.headers if _KEPT.fullmatch(name)}
        metadata = {name.removeprefix(_META): value for name, value in kept.items() if name.startswith(_META)}
        size = sum(len(name) + len(value) for name, value in metadata.items())  # of Latin-1: bytes
        if size > _MOST_METADATA:
            raise ApiError(
                "MetadataTooLarge",
                "Your metadata headers exceed the maximum allowed metadata size",
                400,
                {"Size": size, "MaxSizeAllowed": _MOST_METADATA},
            )
        coding = [part.strip() for part in kept.pop("content-encoding", "").split(",")]
        # How the body came is nothing about the object.
        if left := ",".join(part for part in coding if part and part != "aws-chunked"):
            kept["content-encoding"] = left
        if kept.get("x-amz-storage-class") == "STANDARD":
            del kept["x-amz-storage-class"]
        return kept

    def tags(self) -> dict[str, str]:
        """Return the labels that stand in the header."""
        pairs = parse_qsl(self.header("x-amz-tagging"), keep_blank_values=True)
        if len(dict(pairs)) < len(pairs):
            # Seen by open-io (swift3 pull request 92).
            raise invalid_argument(
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
                "name duplicates."
            )
        return checked_tags(pairs)

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the body, decoded if it came in chunks."""
        if self.payload not in KINDS:
            async for piece in self.request.stream():
                yield piece
            return
        expected = {name.strip().lower() for name in self.header("x-amz-trailer").split(",") if name.strip()}
        body = ChunkedBody(self.request.stream(), self.signer, expected)
        size = 0
        async for piece in body.content():
            size += len(piece)
            yield piece
        if str(size) != self.header("x-amz-decoded-content-length"):
            raise ApiError(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header",
            )
        self.trailers.update(body.trailers)

    async def body(self) -> bytes:
        """Return a small body.

        Raises
        ------
        ApiError
            If it is not the one that was signed, or not small.
        """
        collected = bytearray()
        async for piece in self.content():
            collected += piece
            if len(collected) > _SMALL:
                raise ApiError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
        body = bytes(collected)
        if self.payload not in {UNSIGNED, *KINDS, hashlib.sha256(body).hexdigest()}:
            raise mismatch()
        return body


Operation: TypeAlias = Callable[[Call], "Awaitable[Response] | Response"]
#: By method, what is addressed (the service, a bucket, an object), and the query parameter that chooses.
Operations: TypeAlias = Mapping[tuple[str, str, str], Operation]


def answer(root: str, content: object, headers: list[tuple[str, str]] | None = None) -> Response:
    """Return an XML answer."""
    response = xml_answer(root, content, namespace=_NAMESPACE)  # type: ignore[arg-type]
    response.headers += headers or []
    return response


def iso(seconds: float) -> str:
    """Return a time as S3's XML has it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def checked_tags(pairs: list[tuple[str, str]], of: str = "Object") -> dict[str, str]:
    """Return labels as a mapping.

    Parameters
    ----------
    of
        ``Object`` or ``Bucket``.

    Raises
    ------
    ApiError
        ``BadRequest`` for more labels than S3 takes, ``InvalidTag`` for longer or other ones, or two of one name.
    """
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise ApiError("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > _MOST_TAGS[of]:
        # Seen of objects (boto3 issue 1213).
        raise ApiError("BadRequest", f"{of} tags cannot be greater than {_MOST_TAGS[of]}")
    for key, value in pairs:
        if key.lower().startswith("aws:"):
            raise ApiError("InvalidTag", "System tags cannot be added/updated by requester")
        if not 0 < len(key) <= 128 or not _TAG.fullmatch(key):  # noqa: PLR2004 - S3's own
            raise ApiError("InvalidTag", "The TagKey you have provided is invalid")
        if len(value) > 256 or not _TAG.fullmatch(value):  # noqa: PLR2004 - S3's own
            raise ApiError("InvalidTag", "The TagValue you have provided is invalid")
    return tags


def not_implemented(what: str) -> ApiError:
    """Return the error for what S3 has and this machine has not."""
    # S3 itself answers 501. Clients other than botocore retry every 5xx.
    return ApiError("NotImplemented", f"S3 on this machine does not implement what you asked for: {what}.")


def malformed() -> ApiError:
    """Return the error for a document that is not one of the operation's."""
    return ApiError(
        "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"
    )


def access_denied() -> ApiError:
    """Return the error for a bucket that belongs to somebody else than was said."""
    return ApiError("AccessDenied", "Access Denied", 403)


def no_such_version(version: str) -> ApiError:
    """Return the error for a version that is not there: buckets here keep the current one only."""
    return ApiError("NoSuchVersion", "The specified version does not exist.", 404, {"VersionId": version})


def mismatch() -> ApiError:
    """Return the error for a body that is not the one that was signed."""
    return ApiError(
        "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
    )


def invalid_argument(message: str) -> ApiError:
    """Return the error for a parameter that S3 does not take."""
    return ApiError("InvalidArgument", message)


def invalid_request(message: str) -> ApiError:
    """Return the error for parameters that do not go together."""
    return ApiError("InvalidRequest", message)
