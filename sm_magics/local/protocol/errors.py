"""What AWS answers when it refuses a request: codes, texts and HTTP statuses, in one place.

Every text that AWS was seen to use is quoted from public reports of its answers; a comment marks those nobody was seen
to quote. Which shape an error takes on the wire depends on the protocol and is ``protocols``' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any


class ApiError(Exception):
    """A request is refused.

    Attributes
    ----------
    code
        AWS's error code, such as ``ValidationException``: what botocore shows in brackets.
    message
        The sentence.
    status
        HTTP status. botocore retries 500, 502, 503 and 504 by itself.
    members
        Further modelled members of the error, such as ``OriginalStatusCode``.
    """

    def __init__(self, code: str, message: str, status: int = 400, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})


class Kind(Enum):
    """The resources of SageMaker, in AWS's words for its messages."""

    MODEL = "model"
    ENDPOINT_CONFIG = "endpoint configuration"
    ENDPOINT = "endpoint"
    TRAINING_JOB = "training job"


def invalid(message: str) -> ApiError:
    """Return the control API's ``ValidationException``."""
    return ApiError("ValidationException", message)


def failed_constraints(failures: Sequence[str]) -> ApiError:
    """Return the error for members that break their shapes' constraints."""
    errors = "error" if len(failures) == 1 else "errors"
    return invalid(f"{len(failures)} validation {errors} detected: {'; '.join(failures)}")


def not_serializable(message: str) -> ApiError:
    """Return the error for a body that is no JSON, or has a member of another JSON type."""
    return ApiError("SerializationException", message)


def not_found(kind: Kind, arn: str) -> ApiError:
    """Return the error for a resource that is not there (for models the wording is inferred from the others)."""
    return invalid(f'Could not find {kind.value} "{arn}".')


def already_exists(kind: Kind, arn: str) -> ApiError:
    """Return the error for a name that is taken. SageMaker SDK 2 looks for its first four words."""
    return invalid(f'Cannot create already existing {kind.value} "{arn}".')


def in_progress(arn: str) -> ApiError:
    """Return the error for changing or deleting an endpoint that is being created, updated or deleted.

    Seen in public code that catches it from UpdateEndpoint, and in notes about DeleteEndpoint of an endpoint that is
    Creating.
    """
    return invalid(f'Cannot update in-progress endpoint "{arn}".')


def model_data_not_found(url: str) -> ApiError:
    """Return the error for model data that is not in S3 (aws-step-functions-data-science-sdk-python issue 61)."""
    return invalid(f"Could not find model data at {url}.")


def instances_exceeded(kind: str, *, limit: int, used: int, delta: int) -> ApiError:
    """Return the error for more instances of a type than a quota allows (amazon-sagemaker-examples issue 307)."""
    return ApiError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{kind} for endpoint usage' is {limit} Instances, with current utilization "
        f"of {used} Instances and a request delta of {delta} Instances. Please contact AWS support to request an "
        "increase for this limit.",
    )


def bad_token() -> ApiError:
    """Return the error for a NextToken that is none (braces and all, moto's tests have it from AWS)."""
    return invalid('Invalid pagination token because "{0}".')


def unknown_variant(name: str, config: str) -> ApiError:
    """Return the error for changing a variant that an endpoint has not (moto's ``sagemaker/models.py``)."""
    return invalid(f'The variant name(s) "{name}" is/are not present within endpoint configuration "{config}".')


def repeated_variant(name: str) -> ApiError:
    """Return the error for changing a variant twice in one request (moto's ``sagemaker/models.py``)."""
    return invalid(f'The variant name "{name}" was non-unique within the request.')


def serverless_excludes(what: str) -> ApiError:
    """Return the error for what serverless inference does not do.

    What it excludes is in "Deploy models with Amazon SageMaker Serverless Inference", Feature exclusions; the wording
    is unconfirmed.
    """
    return invalid(f"{what} is not supported for serverless endpoints.")


class NotHereError(ApiError):
    """What was asked for is not this service's. Somebody else may have it."""


def unknown_operation(service: str, operation: str) -> NotHereError:
    """Return the error for what AWS has and this machine has not; a 4xx, since a 5xx would be retried."""
    return NotHereError("UnknownOperationException", f"{service} {operation} is not available on this machine.")


def no_such_action(service: str, action: str) -> NotHereError:
    """Return the same error as services of the query protocol have it."""
    return NotHereError("InvalidAction", f"{service} {action} is not available on this machine.")


def unsupported(what: str) -> ApiError:
    """Return the error for a member of a request that asks for something this machine does not do."""
    return invalid(f"{what} is not available on this machine.")


def no_such_log(what: str) -> ApiError:
    """Return the error for a log group or stream that is not there."""
    return ApiError("ResourceNotFoundException", f"The specified log {what} does not exist.")


def runtime_invalid(message: str) -> ApiError:
    """Return the runtime's ``ValidationError`` (the control API says ``ValidationException``)."""
    return ApiError("ValidationError", message)


def no_such_endpoint(name: str, account: str) -> ApiError:
    """Return the runtime's error for an endpoint that is not there or not in service."""
    return runtime_invalid(f"Endpoint {name} of account {account} not found.")


def no_such_variant(name: str, endpoint: str) -> ApiError:
    """Return the runtime's error for a variant that an endpoint has not (unconfirmed)."""
    return runtime_invalid(f"Variant {name} of endpoint {endpoint} not found.")


def oversize(request_id: str) -> ApiError:
    """Return the runtime's error for a body over a serverless endpoint's limit (sagemaker-python-sdk issue 4271)."""
    return runtime_invalid(f"Request {request_id} has oversize body.")


def throttled() -> ApiError:
    """Return the runtime's error for more requests at a time than a serverless endpoint may process.

    It has no text: ``{"message": null}``, status 400 (opensearch-project/ml-commons issue 2429). botocore retries it.
    """
    return ApiError("ThrottlingException", "Too many requests.", 400, {"Message": None})


def too_large(limit: int) -> ApiError:
    """Return the error for a body over the limit, in bytes."""
    return ApiError("413", f"HTTP content length exceeded {limit} bytes.", 413)


#: The longest container answer that ``ModelError``'s message quotes, in bytes; ``OriginalMessage`` has all of it.
QUOTED = 64 * 1024

#: From a stream (sagemaker-python-sdk issue 1119).
STREAM_TIMED_OUT = "Your model {container} did not complete sending the inference response in the allotted time."

TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container {container}. Review the latency metrics "
    "for each container in Amazon CloudWatch, resolve the issue, and try again."
)


def model_error(*, status: int, body: bytes, container: str, endpoint: str, region: str, account: str) -> ApiError:
    """Return the runtime's ``ModelError`` for an answer of the container other than 2xx.

    Parameters
    ----------
    status
        The container's HTTP status, 0 for a time-out.
    body
        The container's answer: for an exception in a handler its message and traceback.
    container
        ``ContainerHostname``, ``primary`` where none is given.
    """
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    see = (
        f"See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} "
        f"in account {account} for more information."
    )
    text = body.decode("utf-8", "replace")
    received = f"Received {'client' if 400 <= status < 500 else 'server'} error ({status}) from {container}"  # noqa: PLR2004
    if len(body) > QUOTED:
        message = f"{received} and could not load the entire response body. {see}"
    else:
        message = f'{received} with message "{text}". {see}'
    return ApiError(
        "ModelError",
        message,
        424,
        {
            "OriginalStatusCode": status,
            "OriginalMessage": text,
            "LogStreamArn": f"arn:aws:logs:{region}:{account}:log-group:{group}",
        },
    )


#: Why an endpoint is Failed although its container was started.
PING_FAILED = (
    "The primary container for production variant {variant} did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)
