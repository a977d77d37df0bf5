"""Names that SageMaker takes: of endpoints, and of what is made for them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sm_magics.errors import DeploymentError

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # EndpointName in the SageMaker API reference
_NAME_LENGTH = 63


def check_name(name: str) -> str:
    """Return the name if SageMaker takes it.

    Raises
    ------
    DeploymentError
        If not, with a name that it would take.
    """
    if is_name(name):
        return name
    raise DeploymentError(
        f"SageMaker takes no endpoint name {name!r}: up to {_NAME_LENGTH} letters, digits and hyphens, "
        "with a letter or digit at both ends.",
        hint=f"--endpoint-name {suggest_name(name) or 'my-endpoint'}",
    )


def is_name(name: str) -> bool:
    """Return whether SageMaker takes a name for an endpoint."""
    return _NAME.fullmatch(name) is not None


def suggest_name(*words: str) -> str:
    """Return a name that SageMaker takes, made of these words; empty if nothing is left of them."""
    slug = "-".join(re.sub(r"[^a-zA-Z0-9]+", "-", word).strip("-") for word in words)
    return re.sub(r"-+", "-", slug).strip("-")[:_NAME_LENGTH].strip("-")


def named(endpoint_name: str, package: str, content: Mapping[str, Any]) -> str:
    """Return a name for a model or a configuration: whose it is, which package, and the digest of its content."""
    # The endpoint's name counts as content: of a long one only the beginning stands in the name.
    text = json.dumps([endpoint_name, content], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{stem(endpoint_name)}-{package}-{digest}"


def stem(endpoint_name: str) -> str:
    """Return what the names of an endpoint's models and configurations begin with."""
    return endpoint_name[: _NAME_LENGTH - 18].rstrip("-")
