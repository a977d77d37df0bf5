"""What AWS answers to a request that it does not believe: each protocol has its own code, and S3 its own words."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import ApiError
from .protocols import Protocol
from .sigv4 import Reason, RefusedError

#: Codes by protocol; those of the JSON protocols are the default.
_CODES: Mapping[Protocol, Mapping[Reason, str]] = {
    Protocol.S3: {
        Reason.MISSING: "AccessDenied",
        Reason.INCOMPLETE: "AuthorizationHeaderMalformed",
        Reason.INCOMPLETE_QUERY: "AuthorizationQueryParametersError",
        Reason.UNSUPPORTED: "InvalidRequest",
        Reason.UNKNOWN_KEY: "InvalidAccessKeyId",
        Reason.MISMATCH: "SignatureDoesNotMatch",
        Reason.EXPIRED: "RequestTimeTooSkewed",
        Reason.OVER: "AccessDenied",
        Reason.ENDED: "ExpiredToken",
    },
    Protocol.QUERY: {
        Reason.MISSING: "MissingAuthenticationToken",
        Reason.INCOMPLETE: "IncompleteSignature",
        Reason.INCOMPLETE_QUERY: "IncompleteSignature",
        Reason.UNSUPPORTED: "IncompleteSignature",
        Reason.UNKNOWN_KEY: "InvalidClientTokenId",
        Reason.MISMATCH: "SignatureDoesNotMatch",
        Reason.EXPIRED: "SignatureDoesNotMatch",
        Reason.OVER: "SignatureDoesNotMatch",
        Reason.ENDED: "ExpiredToken",
    },
}
_JSON_CODES = {
    Reason.MISSING: "MissingAuthenticationTokenException",
    Reason.INCOMPLETE: "IncompleteSignatureException",
    Reason.INCOMPLETE_QUERY: "IncompleteSignatureException",
    Reason.UNSUPPORTED: "IncompleteSignatureException",
    Reason.UNKNOWN_KEY: "UnrecognizedClientException",
    Reason.MISMATCH: "InvalidSignatureException",
    Reason.EXPIRED: "InvalidSignatureException",
    Reason.OVER: "InvalidSignatureException",
    Reason.ENDED: "ExpiredTokenException",
}
#: What S3 calls a bad request, and no forbidden one.
_BAD = {Reason.INCOMPLETE, Reason.INCOMPLETE_QUERY, Reason.UNSUPPORTED, Reason.ENDED}
#: Amazon S3 API reference, "Error responses", as the statuses are.
_S3_WORDS = {
    Reason.MISSING: "Access Denied",
    Reason.UNKNOWN_KEY: "The AWS Access Key Id you provided does not exist in our records.",
    Reason.EXPIRED: "The difference between the request time and the server's time is too large.",
    Reason.ENDED: "The provided token has expired.",
}


def refused(refusal: RefusedError, protocol: Protocol) -> ApiError:
    """Return the error for a request that is not believed."""
    code = _CODES.get(protocol, _JSON_CODES)[refusal.reason]
    message = str(refusal)
    if protocol is Protocol.S3:
        message = _S3_WORDS.get(refusal.reason, message)
    is_bad = protocol is Protocol.S3 and refusal.reason in _BAD
    return ApiError(code, message, 400 if is_bad else 403)
