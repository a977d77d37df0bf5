"""What botocore raises, as our own errors: which operation, which code, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from sm_magics.errors import (
    AccessDenied,
    BackendError,
    ConfigurationError,
    EndpointNotFound,
    SmMagicsError,
    Throttled,
)

from . import permissions, roles, unanswered

_DENIED = {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "Forbidden"}  # 403: a HEAD has no body
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", unanswered.LOGIN_EXPIRED}
_UNKNOWN_CALLER = {
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
_THROTTLED = {
    "429",
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_QUOTA = {"ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"}
_SERVERS_OWN = 500
# S3, for HEAD without a body; S3; CloudWatch Logs.
_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NoSuchUpload", "ResourceNotFoundException"}

_ASKED = "Asked"


def observe(client: Any) -> None:
    """Have a boto3 client note in each refusal what was asked for, so that the error can name what is missing."""
    events = client.meta.events
    service = client.meta.service_model.service_id.hyphenize()
    events.register(f"provide-client-params.{service}", _note_names, unique_id="sm-magics-names")
    events.register(f"after-call.{service}", partial(_note_refusal, meta=client.meta), unique_id="sm-magics-refusal")


def _note_names(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    context[_ASKED] = {name: str(params[name]) for name in permissions.NAMING & set(params)}


def _note_refusal(http_response: Any, parsed: dict[str, Any], model: Any, context: Any, meta: Any, **_: Any) -> None:
    if http_response.status_code >= 400:  # noqa: PLR2004 - a redirection is no refusal
        parsed[_ASKED] = permissions.Asked(
            model.service_model.signing_name, model.name, context.get(_ASKED, {}), meta.region_name, meta.partition
        )


@contextmanager
def translated(*, is_local: bool) -> Iterator[None]:
    """Run boto3 calls; what they raise comes out as one of our errors.

    Raises
    ------
    EndpointNotFound, AccessDenied, Throttled, ServiceUnavailable, ConfigurationError, BackendError
        As the service's answer has it, or as botocore says why there is none.
    """
    try:
        yield
    except ClientError as error:
        raise of(error) from error
    except BotoCoreError as error:
        raise unanswered.of(error, is_local=is_local) from error
    except Boto3Error as error:  # an upload's: it stands in for the service's own refusal
        refusal = error.__context__
        raise (of(refusal) if isinstance(refusal, ClientError) else BackendError(str(error))) from error
    except ValueError as error:  # what botocore says to an address that is none
        if not str(error).startswith("Invalid endpoint: "):
            raise
        raise ConfigurationError(
            f"{str(error).removeprefix('Invalid endpoint: ')!r} is no address of a service.",
            hint="%env AWS_ENDPOINT_URL    # shows it; it begins with https://, and for AWS itself it is not set",
        ) from error


def of(error: ClientError) -> SmMagicsError:
    """Return our error for the service's answer."""
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    operation = error.operation_name
    if message.startswith("Could not find endpoint ") or (code == "ValidationError" and "not found" in message):
        return EndpointNotFound(message, hint="%sm_endpoints    # lists those there are")
    kind, said, hint = _explained(error, code, message)
    message, hint = _shortened(message, hint)
    return kind(f"{operation} {said}: {message or code}", hint=hint, code=code, operation=operation)


def _shortened(message: str, hint: str) -> tuple[str, str]:
    """Return a message and hint without the hundreds of values that would be taken; the nearest of them instead."""
    found = _NO_MEMBER.search(message)
    if not found:
        return message, hint
    taken = found["taken"].split(", ")
    near = difflib.get_close_matches(found["value"], taken, 3) or taken[:3]
    member = found["member"].rpartition(".")[2]
    option = "--instance-type " if member == "instanceType" else ""
    said = f"{message[: found.start('set')]}{len(taken)} values, such as {', '.join(near)}{message[found.end('set') :]}"
    return said, hint or f"{option}{near[0]}"


_NO_MEMBER = re.compile(
    r"Value '(?P<value>[^']*)' at '(?P<member>[^']*)' failed to satisfy constraint: "
    r"Member must satisfy enum value set: (?P<set>\[(?P<taken>[^\]]*)\])"
)


def _explained(error: ClientError, code: str, message: str) -> tuple[type[BackendError], str, str]:
    """Return which of our errors it is, what happened in a few words, and what to do."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    found: tuple[type[BackendError], str, str] = (BackendError, "failed", roles.hint(message))
    is_head = error.operation_name.startswith("Head")  # the answer has no body, so no code of its own
    if code in _EXPIRED or (code == "400" and is_head):
        found = AccessDenied, "was refused, the credentials have expired", _LOGIN
    elif code in _SKEWED or (
        code in _UNKNOWN_CALLER and message.startswith(("Signature expired", "Signature not yet"))
    ):
        found = AccessDenied, "was refused, this machine's clock is not AWS's", _CLOCK
    elif code in _UNKNOWN_CALLER:
        found = AccessDenied, "was refused, these credentials are not known there", _WHO
    elif code in _DENIED:
        found = AccessDenied, "was refused", permissions.hint(message, error.response.get(_ASKED))
    elif code in _THROTTLED:
        found = Throttled, "was throttled", f"in a minute {_AGAIN}"
    elif code in _QUOTA:
        found = BackendError, "failed", _QUOTA_HINT
    elif isinstance(status, int) and status >= _SERVERS_OWN:
        found = BackendError, "failed on AWS's side", f"{_AGAIN}; https://health.aws.amazon.com says if AWS is unwell"
    return found


_AGAIN = "the same again: what is done is not done twice"
_LOGIN = "!aws sso login    # or whatever gave the credentials; then the same again, what is done is not done twice"
_CLOCK = "!date -u    # the clock may be 5 minutes off, no more: !sudo chronyc makestep sets it"
_WHO = "!aws sts get-caller-identity    # who asks; a region that has to be enabled first says this too"
_QUOTA_HINT = (
    "!aws service-quotas list-service-quotas --service-code sagemaker --query "
    "\"Quotas[?Value=='0' || contains(QuotaName,'endpoint usage')].[QuotaName,QuotaCode,Value]\" --output text"
    "    # then request-service-quota-increase, or another --instance-type"
)


def is_missing(error: BackendError | EndpointNotFound) -> bool:
    """Return whether the error says that the thing asked for does not exist."""
    if isinstance(error, EndpointNotFound):
        return True
    # SageMaker has no code of its own for it.
    return error.code in _MISSING or (error.code == "ValidationException" and "Could not find" in error.message)


def has_expired(error: SmMagicsError) -> bool:
    """Return whether the credentials have expired: whoever logs in again may go on."""
    return isinstance(error, AccessDenied) and error.code in _EXPIRED
