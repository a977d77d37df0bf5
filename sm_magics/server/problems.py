"""Every error as what a browser is told of it: an HTTP status, a code, a sentence and a hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sm_magics import errors

from . import masking


@dataclass(frozen=True)
class Problem:
    """What went wrong.

    Attributes
    ----------
    status
        HTTP status.
    code
        One word that a program can tell it by.
    message, hint
        For people, as an `SmMagicsError` has them.
    more
        What else there is to say about it.
    """

    status: int
    code: str
    message: str
    hint: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """Return it as JSON has it, without secrets."""
        told = {"code": self.code, "message": masking.text(self.message), "hint": masking.text(self.hint)}
        return {**told, **self.more}


class Refused(Exception):  # noqa: N818 - a refusal, not an error
    """Raised where a request is refused here, before anybody else is asked."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def invalid(message: str, hint: str = "") -> Refused:
    """Return the refusal of a request that makes no sense."""
    return Refused(Problem(400, "InvalidRequest", message, hint))


INTERNAL = Problem(
    500, "Internal", "sm_magics failed at this; the traceback is in the Jupyter server's log.", "%sm_doctor"
)

# botocore's exceptions by name, of which sm_magics.hosting makes ConfigurationErrors
_CONFIGURATION = {
    "NoCredentialsError": "NoCredentials",
    "NoAuthTokenError": "NoCredentials",
    "PartialCredentialsError": "NoCredentials",
    "CredentialRetrievalError": "NoCredentials",
    "MetadataRetrievalError": "NoCredentials",
    "NoRegionError": "NoRegion",
    "InvalidRegionError": "NoRegion",
    "ProfileNotFound": "NoProfile",
}
_SLOW = {"ReadTimeoutError", "ConnectTimeoutError"}
_UNKNOWN_CALLER = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


def of(error: BaseException) -> Problem:
    """Return what a browser is told about an error. Of one that is not ours it is told no more than that."""
    if isinstance(error, Refused):
        return error.problem
    if not isinstance(error, errors.SmMagicsError):
        return INTERNAL
    status, code = _kind(error)
    return Problem(status, code, error.message, error.hint, _more(error))


def _kind(error: errors.SmMagicsError) -> tuple[int, str]:
    name, cause = type(error).__name__, type(error.__cause__).__name__
    if isinstance(error, errors.ConfigurationError):
        # Where no region is known nothing was asked, so nothing caused it.
        return 409, _CONFIGURATION.get(cause, "NoRegion" if "No AWS region" in error.message else "Configuration")
    if isinstance(error, errors.AccessDenied):
        return 424, _denied(error)
    if cause in _SLOW:
        return 504, "Timeout"
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status, kind.__name__
    return 409, name


_STATUSES: tuple[tuple[type[errors.SmMagicsError], int], ...] = (
    (errors.EndpointNotFound, 404),
    (errors.TrainingJobNotFound, 404),
    (errors.PayloadError, 422),
    (errors.ModelError, 424),
    (errors.PredictionError, 424),
    (errors.Throttled, 429),
    (errors.ServiceUnavailable, 503),
    (errors.BackendError, 424),
)


def _denied(error: errors.AccessDenied) -> str:
    from sm_magics.hosting import faults

    if faults.has_expired(error):
        return "ExpiredToken"
    return "UnknownCaller" if error.code in _UNKNOWN_CALLER else "AccessDenied"


def _more(error: errors.SmMagicsError) -> dict[str, Any]:
    if isinstance(error, errors.ModelError):
        return {"traceback": masking.text(error.traceback), "status": error.status}
    if isinstance(error, errors.BackendError):
        return {"operation": error.operation}
    return {}
