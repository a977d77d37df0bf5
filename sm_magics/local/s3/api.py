"""S3's wire: which operation a request asks for, on this machine's disk.

What is asked for by a query parameter or header that is not known here is refused by name, so that nothing is silently
taken for a plain upload.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

from sm_magics.local.account import Account
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.sigv4 import Claim, scope_of, time_of
from sm_magics.local.protocol.wire import Request, Response

from .aws_chunked import KINDS, SIGNED, SIGNED_TRAILER, Signer
from .bucket_operations import S3Buckets
from .call import Call, Operations, access_denied, no_such_version, not_implemented
from .listings import S3Listings
from .object_operations import S3Objects
from .objects import Objects
from .upload_operations import S3Uploads

#: Query parameters that refine an operation; any other one chooses the operation.
_PARAMETERS = {
    "bucket-region", "continuation-token", "delimiter", "encoding-type", "fetch-owner", "key-marker", "marker",
    "max-buckets", "max-keys", "max-parts", "max-uploads", "part-number-marker", "partNumber", "prefix", "start-after",
    "upload-id-marker", "version-id-marker", "versionId", "x-id",
}  # fmt: skip
#: A bucket in front of this machine's name, or of S3's.
_HOST = re.compile(
    r"(?P<bucket>[a-z0-9][a-z0-9.-]*?)(?:\.s3(?:[.-][a-z]{2}(?:-[a-z]+)+-\d)?)?\.(?:localhost|amazonaws\.com)(?::\d+)?"
)
_LONGEST_KEY = 1024


class S3:
    """S3 for one account."""

    def __init__(self, objects: Objects, account: Account) -> None:
        self._account = account
        self._operations: Operations = {
            **S3Buckets(objects, account).operations,
            **S3Listings(objects, account).operations,
            **S3Objects(objects, account).operations,
            **S3Uploads(objects, account).operations,
        }

    async def answer(self, request: Request, claim: Claim, key: bytes) -> Response:
        """Answer a request whose signature was verified, but not yet its body.

        Parameters
        ----------
        key
            The signing key of the claim's scope, for the chunks of a body that are signed each.

        Raises
        ------
        ApiError
            S3's own errors.
        """
        call = _call(request, claim, key)
        query = call.query
        chosen = [
            name for name in query if name not in _PARAMETERS and not name.lower().startswith(("x-amz-", "response-"))
        ]
        place = "object" if call.key else "bucket" if call.bucket else "service"
        operation = self._operations.get((request.method, place, chosen[0] if chosen else ""))
        if operation is None or len(chosen) > 1:
            raise not_implemented(f"{request.method} {place} {' '.join(sorted(chosen))}".strip())
        if call.header("x-amz-expected-bucket-owner") not in {"", self._account.id}:
            raise access_denied()
        if (version := query.get("versionId", "null")) != "null":
            raise no_such_version(version)
        if len(call.key.encode()) > _LONGEST_KEY:
            raise ApiError("KeyTooLongError", "Your key is too long", 400, {"MaxSizeAllowed": _LONGEST_KEY})
        answer = operation(call)
        return answer if isinstance(answer, Response) else await answer


def _call(request: Request, claim: Claim, key: bytes) -> Call:
    if claim.payload.startswith("STREAMING-") and claim.payload not in KINDS:
        raise not_implemented(f"x-amz-content-sha256: {claim.payload}")
    path = request.raw_path[1:]
    if host := _HOST.fullmatch(request.header("host").lower()):
        path = f"{host['bucket']}/{path}" if not _is_s3(host["bucket"]) else path
    try:
        bucket, _, name = (unquote(part, errors="strict") for part in path.partition("/"))
        pairs = [
            (unquote(name, errors="strict"), unquote(value, errors="strict")) for name, value in request.query_pairs()
        ]
    except UnicodeDecodeError:
        raise ApiError("InvalidURI", "Couldn't parse the specified URI.") from None
    # Presigned URLs have such headers in the query; the signature covers both.
    hoisted = tuple((name.lower(), value) for name, value in pairs if name.startswith("x-amz-"))
    signer = None
    if claim.payload in {SIGNED, SIGNED_TRAILER}:
        signer = Signer(key=key, time=time_of(claim), scope=scope_of(claim), seed=claim.signature)
    return Call(
        replace(request, headers=request.headers + hoisted),
        bucket,
        name,
        dict(pairs),
        claim.payload,
        claim.region,
        signer,
    )


def _is_s3(host: str) -> bool:
    """Return whether a host's first part is S3's own name, and no bucket's."""
    return bool(re.fullmatch(r"s3(?:[.-][a-z]{2}(?:-[a-z]+)+-\d)?", host))
