"""What botocore raises, as our own errors: which operation, which code, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from sm_magics.errors import (
    AccessDenied,
    BackendError,
    ConfigurationError,
    EndpointNotFound,
    ServiceUnavailable,
    SmMagicsError,
    Throttled,
)

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "MissingAuthenticationTokenException",
}
_THROTTLED = {"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"}

# S3, for HEAD without a body; S3; CloudWatch Logs.
_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "ResourceNotFoundException"}


@contextmanager
def translated(*, is_local: bool) -> Iterator[None]:
    """Run boto3 calls; what they raise comes out as one of our errors.

    Raises
    ------
    EndpointNotFound, AccessDenied, Throttled, ServiceUnavailable, ConfigurationError, BackendError
        As the service's answer has it.
    """
    try:
        yield
    except ClientError as error:
        raise of(error) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise ConfigurationError(
            f"There are no AWS credentials to use: {error}.",
            hint="--instance-type local    # needs none; or run `aws configure` in a terminal",
        ) from error
    except NoRegionError as error:
        raise ConfigurationError("No AWS region is set.", hint="--region us-west-2") from error
    except (BotoConnectionError, HTTPClientError) as error:
        if is_local:
            raise ServiceUnavailable(
                "SageMaker on this machine stopped while it was being asked.",
                hint="%sm_endpoints    # starts it again, with the endpoints that were in service",
            ) from error
        raise ServiceUnavailable(f"AWS cannot be reached: {error}", hint="--instance-type local") from error
    except ParamValidationError as error:
        detail = str(error).removeprefix("Parameter validation failed:").strip()
        raise BackendError(f"The request is not one that SageMaker takes: {detail}") from error
    except Boto3Error as error:  # an upload's: it stands in for the service's own refusal
        refusal = error.__context__
        raise (of(refusal) if isinstance(refusal, ClientError) else BackendError(str(error))) from error
    except BotoCoreError as error:
        raise BackendError(str(error)) from error


def of(error: ClientError) -> SmMagicsError:
    """Return our error for the service's answer."""
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    operation = error.operation_name
    if message.startswith("Could not find endpoint ") or (code == "ValidationError" and "not found" in message):
        return EndpointNotFound(message, hint="%sm_endpoints    # lists those there are")
    if code in _DENIED:
        return AccessDenied(
            f"{operation} was refused: {message}",
            hint=f'allow "sagemaker:{operation}" for this role, or --instance-type local',
            code=code,
            operation=operation,
        )
    if code in _THROTTLED:
        return Throttled(f"{operation} was throttled: {message}", hint="run it again", code=code, operation=operation)
    return BackendError(f"{operation} failed: {message or code}", code=code, operation=operation)


def is_missing(error: BackendError | EndpointNotFound) -> bool:
    """Return whether the error says that the thing asked for does not exist."""
    if isinstance(error, EndpointNotFound):
        return True
    # SageMaker has no code of its own for it.
    return error.code in _MISSING or (error.code == "ValidationException" and "Could not find" in error.message)
