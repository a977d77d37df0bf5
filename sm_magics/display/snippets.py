"""The same request in other words: as boto3, as the SageMaker SDK, as curl. Pure text, without any key in it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_MOST = 2000
"""Bytes of a body that are written out; a larger one comes from a file."""

_ON_THIS_MACHINE = 'eval "$(python -m sm_magics.local env)"'


@dataclass(frozen=True)
class Request:
    """What was sent.

    Attributes
    ----------
    region
        The AWS region's name; empty for this machine.
    body
        As it went out.
    """

    endpoint_name: str
    region: str
    content_type: str
    accept: str
    body: bytes


def boto3(request: Request) -> str:
    """Return the request in Python, through boto3."""
    return "\n".join(
        [
            *_before(request),
            "import boto3",
            "",
            f'runtime = boto3.client("sagemaker-runtime"{_region(request)})',
            "answer = runtime.invoke_endpoint(",
            f"    EndpointName={request.endpoint_name!r},",
            f"    ContentType={request.content_type!r},",
            f"    Accept={request.accept!r},",
            f"    Body={_body(request)},",
            ")",
            'print(answer["Body"].read())',
        ]
    )


def sdk(request: Request) -> str:
    """Return the request in Python, through the resources of SageMaker SDK 3."""
    region = f", region={request.region!r}" if request.region else ""
    return "\n".join(
        [
            *_before(request),
            "from sagemaker.core.resources import Endpoint",
            "",
            f"endpoint = Endpoint.get({request.endpoint_name!r}{region})",
            "answer = endpoint.invoke(",
            f"    body={_body(request)},",
            f"    content_type={request.content_type!r},",
            f"    accept={request.accept!r},",
            ")",
            "print(answer.body.read())",
        ]
    )


def curl(request: Request) -> str:
    """Return the request for a shell; the keys come from its environment."""
    text = _text(request)
    body = f"--data-binary @{_file(request)}" if text is None else f"--data-binary {shlex.quote(text)}"
    region = request.region or "$AWS_DEFAULT_REGION"
    address = "$AWS_ENDPOINT_URL" if not request.region else f"https://runtime.sagemaker.{request.region}.amazonaws.com"
    lines = [
        f'curl --aws-sigv4 "aws:amz:{region}:sagemaker" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"',
        f"-H {shlex.quote(f'content-type: {request.content_type}')} -H {shlex.quote(f'accept: {request.accept}')}",
        *(['-H "x-amz-security-token: $AWS_SESSION_TOKEN"'] if request.region else []),
        body,
        f'"{address}/endpoints/{request.endpoint_name}/invocations"',
    ]
    return "\n".join([*([] if request.region else [_ON_THIS_MACHINE]), " \\\n  ".join(lines)])


def _before(request: Request) -> list[str]:
    return [] if request.region else [f"# in the shell, before Python: {_ON_THIS_MACHINE}"]


def _region(request: Request) -> str:
    return f", region_name={request.region!r}" if request.region else ""


def _text(request: Request) -> str | None:
    """Return the body where it can be written out, else None."""
    try:
        text = request.body.decode()
    except UnicodeDecodeError:
        return None
    return text if len(request.body) <= _MOST and "\0" not in text else None


def _body(request: Request) -> str:
    text = _text(request)
    if text is None:
        return f'open("{_file(request)}", "rb").read()'
    return repr(request.body) if text.isascii() else f"{text!r}.encode()"


def _file(request: Request) -> str:
    endings = {"application/x-npy": "npy", "application/json": "json", "text/csv": "csv"}
    kind = request.content_type.partition(";")[0]
    named = re.sub(r"[^a-z0-9]", "", kind.lower().rpartition("/")[2].removeprefix("x-"))
    return f"payload.{endings.get(kind, named or 'bin')}"
