"""Requests that got no answer, or were never sent: what botocore says about it, as our own errors."""

from __future__ import annotations

import difflib
import re
from functools import cache

import botocore.session
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError

from sm_magics.errors import AccessDenied, BackendError, ConfigurationError, ServiceUnavailable, SmMagicsError

LOGIN_EXPIRED = "LoginExpired"
"""The code of the error where a login has expired before anything was sent."""


def of(error: BotoCoreError, *, is_local: bool) -> SmMagicsError:
    """Return our error for a request that got no answer, or was never sent."""
    for kinds, explain in _REASONS:
        if isinstance(error, kinds):
            return explain(error, is_local)
    return BackendError(str(error))


def _no_credentials(error: BotoCoreError, _: bool) -> SmMagicsError:
    return ConfigurationError(
        f"There are no AWS credentials to use: {error}.",
        hint="--instance-type local    # needs none; or run `aws configure` in a terminal",
    )


def _partial_credentials(error: BotoCoreError, _: bool) -> SmMagicsError:
    missing = error.kwargs.get("cred_var", "the secret key")
    return ConfigurationError(
        f"The AWS credentials are incomplete: {missing} is not set ({error.kwargs.get('provider', 'unknown')}).",
        hint="!aws configure list    # shows which part comes from where; `aws configure` in a terminal sets all",
    )


def _no_profile(error: BotoCoreError, _: bool) -> SmMagicsError:
    return ConfigurationError(
        f"There is no AWS profile {error.kwargs.get('profile', '')!r} to take credentials from.",
        hint="!aws configure list-profiles    # those there are: --profile NAME",
    )


def _expired_login(error: BotoCoreError, _: bool) -> SmMagicsError:
    command = "aws login" if isinstance(error, _LOGIN_ERRORS) else "aws sso login"
    return AccessDenied(
        f"The login that the AWS credentials come from has expired: {error}",
        hint=f"!{command}    # with --profile NAME for another profile than the default; then the same again",
        code=LOGIN_EXPIRED,
    )


def _no_retrieval(error: BotoCoreError, _: bool) -> SmMagicsError:
    return ConfigurationError(
        f"The AWS credentials cannot be fetched from where the configuration says: {error}",
        hint="!aws configure list    # shows where they come from",
    )


def _no_region(_error: BotoCoreError, _: bool) -> SmMagicsError:
    return ConfigurationError("No AWS region is set.", hint="--region us-west-2")


def _no_such_region(error: BotoCoreError, _: bool) -> SmMagicsError:
    return ConfigurationError(f"AWS has no such place: {error}", hint="--region us-west-2")


def _no_configuration(error: BotoCoreError, _: bool) -> SmMagicsError:
    return ConfigurationError(
        f"The AWS configuration cannot be read: {error}",
        hint="%env AWS_CONFIG_FILE    # shows which file, if it is not ~/.aws/config",
    )


def _refused_here(error: BotoCoreError, _: bool) -> SmMagicsError:
    detail = str(error).removeprefix("Parameter validation failed:").strip()
    return BackendError(f"The request is not one that SageMaker takes: {detail}")


def _slow(error: BotoCoreError, is_local: bool) -> SmMagicsError:
    if is_local:
        return ServiceUnavailable(
            "SageMaker on this machine did not answer in time. It runs, and is busy or stands still.",
            hint="!python -m sm_magics.local status    # what runs there; `stop` in place of `status` ends it",
        )
    return ServiceUnavailable(
        f"AWS did not answer in time: {error}", hint="the same again: what is done is not done twice"
    )


def _no_proxy(error: BotoCoreError, _: bool) -> SmMagicsError:
    return ServiceUnavailable(
        f"The proxy on the way to AWS does not answer: {error}",
        hint="%env HTTPS_PROXY    # shows it; %env NO_PROXY=amazonaws.com goes round it",
    )


def _not_trusted(error: BotoCoreError, _: bool) -> SmMagicsError:
    return ServiceUnavailable(
        f"The other side could not prove that it is AWS: {error}",
        hint="%env AWS_CA_BUNDLE=/path/to/certificates.pem    # where a proxy has certificates of its own",
    )


def _stopped(error: BotoCoreError, is_local: bool) -> SmMagicsError:
    if is_local:
        return ServiceUnavailable(
            "SageMaker on this machine stopped while it was being asked.",
            hint="%sm_endpoints    # starts it again, with the endpoints that were in service",
        )
    region = _unknown_region(str(error.kwargs.get("endpoint_url", "")))
    if region:
        close = difflib.get_close_matches(region, _regions(), 1)
        return ServiceUnavailable(
            f"AWS cannot be reached: {error} A region {region!r} is not known here.",
            hint=f"--region {close[0] if close else 'us-west-2'}",
        )
    return ServiceUnavailable(
        f"AWS cannot be reached: {error}",
        hint="!aws sts get-caller-identity    # whether it can be reached now; in a VPC of its own a notebook needs "
        "endpoints for sagemaker.api, sagemaker.runtime, s3, sts and logs; --instance-type local needs no network",
    )


def _unknown_region(url: str) -> str:
    """Return the region in an address of AWS's if it is one that botocore does not know; a new one may be right."""
    found = re.match(r"https://[\w.-]*?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.[\w.-]+", url)
    return found[1] if found and found[1] not in _regions() else ""


@cache
def _regions() -> tuple[str, ...]:
    session = botocore.session.Session()
    places = session.get_available_partitions()
    return tuple(name for place in places for name in session.get_available_regions("sagemaker", place))


def _kinds(*names: str) -> tuple[type[BotoCoreError], ...]:
    """Return those of botocore's errors that its version has."""
    return tuple(getattr(boto, name) for name in names if hasattr(boto, name))


_LOGIN_ERRORS = _kinds("LoginError")

# The first that fits counts; botocore's connection errors are of several families.
_REASONS = (
    (_kinds("NoCredentialsError", "NoAuthTokenError"), _no_credentials),
    (_kinds("PartialCredentialsError"), _partial_credentials),
    (_kinds("ProfileNotFound"), _no_profile),
    (_kinds("SSOError", "TokenRetrievalError", "LoginError"), _expired_login),
    (_kinds("CredentialRetrievalError", "MetadataRetrievalError", "RefreshWithMFAUnsupportedError"), _no_retrieval),
    (_kinds("NoRegionError"), _no_region),
    (
        _kinds("InvalidRegionError", "UnknownEndpointError", "UnknownRegionError", "EndpointProviderError"),
        _no_such_region,
    ),
    (
        _kinds(
            "ConfigParseError",
            "ConfigNotFound",
            "InvalidConfigError",
            "InvalidRetryConfigurationError",
            "InvalidDefaultsMode",
            "InvalidProxiesConfigError",
            "UnknownCredentialError",
        ),
        _no_configuration,
    ),
    (_kinds("ParamValidationError", "ValidationError"), _refused_here),
    (_kinds("ReadTimeoutError"), _slow),
    (_kinds("ProxyConnectionError"), _no_proxy),
    (_kinds("SSLError"), _not_trusted),
    (_kinds("ConnectionError", "HTTPClientError", "IncompleteReadError"), _stopped),
)
