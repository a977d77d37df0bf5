"""Conditional requests: ``If-Match`` and its kin, for reading, for writing and for the source of a copy."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from sm_magics.local.protocol.errors import ApiError

from .call import Call, not_implemented
from .objects import Object

_COPY_SOURCE = "x-amz-copy-source-"


def is_unmodified(call: Call, found: Object) -> bool:
    """Return whether the client has what it asks for already.

    Raises
    ------
    ApiError
        ``PreconditionFailed`` if it wants another one than there is.
    """
    _check_match(call, found, "")
    return _is_known(call, found, "")


def check_copy_source(call: Call, found: Object) -> None:
    """Check that the source of a copy is the one that was meant.

    Raises
    ------
    ApiError
        ``PreconditionFailed`` if not.
    """
    _check_match(call, found, _COPY_SOURCE)
    if _is_known(call, found, _COPY_SOURCE):
        raise _failed("x-amz-copy-source-If-None-Match")


def check_write(call: Call, found: Object | None) -> None:
    """Check that what is about to be replaced or deleted is what was meant.

    Raises
    ------
    ApiError
        ``PreconditionFailed`` if not, ``NoSuchKey`` if it is gone.
    """
    if unwanted := call.header("if-none-match"):
        if unwanted != "*":
            raise not_implemented(f"If-None-Match: {unwanted} when writing")
        if found:
            raise _failed("If-None-Match")
    if wanted := call.header("if-match"):
        check_match(wanted, found, call.key)


def check_match(wanted: str, found: Object | None, key: str) -> None:
    """Check that an object is there and has one of some ETags.

    Raises
    ------
    ApiError
        ``PreconditionFailed`` if not, ``NoSuchKey`` if it is gone.
    """
    if found is None:
        raise ApiError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})
    if not _matches(wanted, found):
        raise _failed("If-Match")


def _check_match(call: Call, found: Object, prefix: str) -> None:
    if wanted := call.header(f"{prefix}if-match"):
        if not _matches(wanted, found):
            raise _failed("If-Match")
    elif (since := _time(call.header(f"{prefix}if-unmodified-since"))) is not None and int(found.modified) > since:
        raise _failed("If-Unmodified-Since")


def _is_known(call: Call, found: Object, prefix: str) -> bool:
    if known := call.header(f"{prefix}if-none-match"):
        return _matches(known, found)
    since = _time(call.header(f"{prefix}if-modified-since"))
    return since is not None and int(found.modified) <= since


def _matches(header: str, found: Object) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in tags or found.etag in tags


def _time(header: str) -> float | None:
    """Return a date's seconds since the epoch; None for none, and for one that is not understood (RFC 9110)."""
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, OverflowError):
        return None


def _failed(condition: str) -> ApiError:
    return ApiError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        {"Condition": condition},
    )
