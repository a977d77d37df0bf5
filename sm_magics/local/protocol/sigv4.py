"""Signature Version 4, verified by computing it again from the request as it was sent.

Written after "Signature Version 4 for API requests" in the AWS IAM user guide; botocore's signer is the oracle in the
tests. It is not used here: it signs the headers that it would choose itself and trusts ``X-Amz-Content-SHA256``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from botocore.utils import normalize_url_path

from .wire import Request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = hashlib.sha256(b"").hexdigest()
SKEW = timedelta(minutes=15)
#: The longest life of a presigned URL, in seconds.
LONGEST = 604800

_NUMBER = re.compile(r"-?[0-9]{1,18}")
#: Characters of a credential scope or of the names of the signed headers; botocore's have less than 200.
_LONGEST_PART = 4096
_TIME = "%Y%m%dT%H%M%SZ"
#: What stands before the signature in an Authorization header: the same in all of a client's requests of a day.
_HEADER = re.compile(rf"{ALGORITHM}\s+Credential=(?P<credential>[^\s,]+),\s*SignedHeaders=(?P<signed>[^\s,]+),\s*")
_SIGNATURE = re.compile(r"[^\s,]+")
_INCOMPLETE = f"Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters of {ALGORITHM}."
#: Headers whose meaning a signature has to cover, wherever they are present.
_COVERED = ("x-amz-", "x-amzn-sagemaker-", "x-sm-magics-")
_QUERY = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)
_NOT_SHORT = "Credential, SignedHeaders and X-Amz-Date must be short and ASCII."
_ONCE = ("authorization", "host", "x-amz-date", "x-amz-target", "x-amz-content-sha256", "content-length")


class Reason(Enum):
    """Why a request is not believed. Each protocol has its own code for it."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    INCOMPLETE_QUERY = "incomplete, in the query string"
    UNSUPPORTED = "unsupported"
    UNKNOWN_KEY = "unknown key"
    MISMATCH = "mismatch"
    EXPIRED = "expired"
    OVER = "over"
    ENDED = "ended"


class RefusedError(Exception):
    """The request is not signed, or not by whom it says."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Claim(NamedTuple):
    """What a request says about itself, not believed yet.

    Attributes
    ----------
    access_key, day, region, service
        The credential scope. The service decides where the request goes.
    signed_headers
        Names of the headers under the signature.
    signature
        Hexadecimal.
    time
        When it was signed.
    expires
        Seconds that a presigned URL lives; None for the header form.
    payload
        What S3 clients claim as the body's SHA-256 (or ``UNSIGNED-PAYLOAD``); empty for services that send none.
    token
        The session token of temporary keys, else empty.
    """

    access_key: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    time: datetime
    expires: int | None
    payload: str
    token: str = ""


def claim_of(request: Request) -> Claim:
    """Return what a request claims.

    Raises
    ------
    RefusedError
        If it claims nothing, incompletely, or in more than one way.
    """
    if request.repeats:
        for name in _ONCE:
            if len(request.values(name)) > 1:
                raise RefusedError(Reason.INCOMPLETE, f"The header '{name}' stands more than once in the request.")
    query = dict(request.query_pairs()) if request.query else {}
    authorization = request.header("authorization")
    presigned = "X-Amz-Algorithm" in query or "X-Amz-Signature" in query
    if authorization and (presigned or "Signature" in query):
        raise RefusedError(Reason.INCOMPLETE, "Only one auth mechanism allowed.")
    if "AWSAccessKeyId" in query or authorization.startswith("AWS "):
        raise RefusedError(
            Reason.UNSUPPORTED,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    if presigned:
        return _from_query(request, query)
    if not authorization:
        raise RefusedError(Reason.MISSING, "Missing Authentication Token")
    return _from_header(request, authorization)


def _from_header(request: Request, authorization: str) -> Claim:
    before, _, signature = authorization.strip().rpartition("Signature=")
    credential, signed = _named(before)
    if not _SIGNATURE.fullmatch(signature):
        raise RefusedError(Reason.INCOMPLETE, _INCOMPLETE)
    return _claim(request, credential, signed, signature=signature, date=request.header("x-amz-date"))


def _from_query(request: Request, query: dict[str, str]) -> Claim:
    names = [name for name, _ in request.query_pairs()]
    if any(names.count(name) != 1 for name in _QUERY) or query["X-Amz-Algorithm"] != ALGORITHM:
        raise RefusedError(
            Reason.INCOMPLETE_QUERY, f"Query-string authentication requires each of {', '.join(_QUERY)} once."
        )
    # The words are S3's, as MinIO has them (cmd/api-errors.go).
    expires = query["X-Amz-Expires"]
    if not _NUMBER.fullmatch(expires):
        raise RefusedError(Reason.INCOMPLETE_QUERY, "X-Amz-Expires should be a number")
    if expires.startswith("-"):
        raise RefusedError(Reason.INCOMPLETE_QUERY, "X-Amz-Expires must be non-negative")
    if int(expires) > LONGEST:
        raise RefusedError(
            Reason.INCOMPLETE_QUERY,
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{LONGEST} seconds",
        )
    try:
        claim = _claim(
            request,
            unquote(query["X-Amz-Credential"]),
            unquote(query["X-Amz-SignedHeaders"]),
            signature=query["X-Amz-Signature"],
            date=query["X-Amz-Date"],
        )
    except RefusedError as refusal:
        if refusal.reason is Reason.INCOMPLETE:
            refusal.reason = Reason.INCOMPLETE_QUERY
        raise
    payload = claim.payload or (UNSIGNED if claim.service == "s3" else "")
    token = unquote(query.get("X-Amz-Security-Token", ""))
    return claim._replace(expires=int(expires), payload=payload, token=token)


def _claim(request: Request, credential: str, signed: str, *, signature: str, date: str) -> Claim:
    access_key, day, region, service, time = _scope(credential, date)
    names, unsigned = _covered(signed, tuple(request.by_name))
    if unsigned:
        raise RefusedError(
            Reason.MISMATCH,
            f"There were headers present in the request which were not signed: {unsigned}",
        )
    payload = request.header("x-amz-content-sha256")
    token = request.header("x-amz-security-token")
    return Claim(access_key, day, region, service, names, signature, time, None, payload, token)


# A client's requests of one second say the same here, and most say it of the same headers.


@lru_cache(maxsize=64)
def _named(header: str) -> tuple[str, str]:
    """Return the credential and the signed headers that an Authorization header names before its signature."""
    match = _HEADER.fullmatch(header)
    if not match:
        raise RefusedError(Reason.INCOMPLETE, _INCOMPLETE)
    return match["credential"], match["signed"]


@lru_cache(maxsize=64)
def _scope(credential: str, date: str) -> tuple[str, str, str, str, datetime]:
    """Return the access key, the day, the region, the service and the time that stand in these."""
    # What follows compares, encodes and echoes these; Python's own limits are no answer to a client.
    if not all(text.isascii() and len(text) <= _LONGEST_PART for text in (credential, date)):
        raise RefusedError(Reason.INCOMPLETE, _NOT_SHORT)
    scope = credential.split("/")
    if len(scope) != 5 or scope[4] != "aws4_request" or not all(scope):  # noqa: PLR2004 - key, day, region, service, end
        raise RefusedError(Reason.INCOMPLETE, "Credential must be KEY/DATE/REGION/SERVICE/aws4_request.")
    try:
        time = datetime.strptime(date, _TIME).replace(tzinfo=timezone.utc)
    except ValueError:
        raise RefusedError(Reason.INCOMPLETE, "X-Amz-Date must be there, as YYYYMMDD'T'HHMMSS'Z'.") from None
    if scope[1] != date[:8]:
        raise RefusedError(
            Reason.MISMATCH,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{scope[1]}' != '{date[:8]}'.",
        )
    return scope[0], scope[1], scope[2], scope[3], time


@lru_cache(maxsize=256)
def _covered(signed: str, present: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the names of the signed headers, and of those that should be among them."""
    if not (signed.isascii() and len(signed) <= _LONGEST_PART):
        raise RefusedError(Reason.INCOMPLETE, _NOT_SHORT)
    names = tuple(signed.split(";"))
    wanted = {"host", *(name for name in present if name.startswith(_COVERED))}
    return names, ", ".join(sorted(wanted - set(names)))


def verify(request: Request, claim: Claim, payload_hash: str, *, access_key: str, key: bytes, now: datetime) -> None:
    """Check that the holder of the secret signed this request, lately.

    Parameters
    ----------
    payload_hash
        The SHA-256 of the body received; for S3 what the claim says, to be compared with the body later.
    key
        The signing key for the claim's scope.

    Raises
    ------
    RefusedError
        If not.
    """
    if not hmac.compare_digest(claim.access_key.encode(), access_key.encode()):
        raise RefusedError(Reason.UNKNOWN_KEY, "The security token included in the request is invalid.")
    _check_time(claim, now)
    text = string_to_sign(request, claim, payload_hash)
    expected = _keyed(key).copy()
    expected.update(text.encode("latin-1"))
    # Bytes: a non-ASCII str would raise a TypeError.
    if not hmac.compare_digest(expected.hexdigest().encode(), claim.signature.encode("utf-8", "replace")):
        raise RefusedError(
            Reason.MISMATCH,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )


def _check_time(claim: Claim, now: datetime) -> None:
    if claim.expires is None and claim.time < now - SKEW:
        raise RefusedError(
            Reason.EXPIRED,
            f"Signature expired: {claim.time:{_TIME}} is now earlier than {now - SKEW:{_TIME}} "
            f"({now:{_TIME}} - 15 min.)",
        )
    if claim.time > now + SKEW:
        raise RefusedError(
            Reason.EXPIRED,
            f"Signature not yet current: {claim.time:{_TIME}} is still later than {now + SKEW:{_TIME}} "
            f"({now:{_TIME}} + 15 min.)",
        )
    if claim.expires is not None and now > claim.time + timedelta(seconds=claim.expires):
        raise RefusedError(Reason.OVER, "Request has expired")


def string_to_sign(request: Request, claim: Claim, payload_hash: str) -> str:
    """Return the text under the signature."""
    # Every service but S3 encodes the path once more.
    path = request.raw_path if claim.service == "s3" else _encoded_again(request.raw_path)
    pairs = sorted(pair for pair in request.query_pairs() if pair[0] != "X-Amz-Signature") if request.query else ()
    canonical = "\n".join(
        (
            request.method,
            path,
            "&".join([f"{name}={value}" for name, value in pairs]),
            *[f"{name}:{_value(request, name)}" for name in claim.signed_headers],
            "",
            ";".join(claim.signed_headers),
            payload_hash,
        )
    )
    # Latin-1 gives back the bytes that were sent.
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    return f"{ALGORITHM}\n{time_of(claim)}\n{scope_of(claim)}\n{digest}"


def _value(request: Request, name: str) -> str:
    """Return a header's values as they are signed: white space in them is one space."""
    if not request.repeats:
        value = request.header(name)
        if value.isprintable() and "  " not in value and value == value.strip():
            return value
    return ",".join(" ".join(each.split()) for each in request.values(name))


@lru_cache(maxsize=64)
def _encoded_again(path: str) -> str:
    return quote(normalize_url_path(path), safe="/~")


def time_of(claim: Claim) -> str:
    """Return when a request was signed, as it stands in the text under the signature."""
    return _written(claim.time)


@lru_cache(maxsize=64)
def _written(moment: datetime) -> str:
    return f"{moment:{_TIME}}"


def scope_of(claim: Claim) -> str:
    """Return what a request was signed for, as it stands in the text under the signature."""
    return f"{claim.day}/{claim.region}/{claim.service}/aws4_request"


@lru_cache(maxsize=64)
def _keyed(key: bytes) -> hmac.HMAC:
    """Return an HMAC to be copied: to make one from its key takes OpenSSL longer than to compute it."""
    return hmac.new(key, digestmod="sha256")


@lru_cache(maxsize=64)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """Return the key for one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
