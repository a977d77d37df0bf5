"""The same request in other words: as magics, and what ``sm_magics.display.snippets`` has. Asks nobody."""

from __future__ import annotations

import shlex

from sm_magics.display import snippets
from sm_magics.payload import JSON
from sm_magics.settings import LOCAL

from .call import Call


async def written(call: Call) -> dict[str, str]:
    """Return a request as boto3, as the SageMaker SDK, as magics and as curl."""
    place, payload = call.place, call.payload
    region = "" if place.is_local else place.where
    request = snippets.Request(call.name, region, payload.content_type, payload.accept, payload.body)
    return {
        "boto3": snippets.boto3(request),
        "sdk": snippets.sdk(request),
        "magics": magics(request),
        "curl": snippets.curl(request),
    }


def magics(request: snippets.Request) -> str:
    """Return a request as ``%%sm_predict``, whose cell is what is sent; bytes come from a file."""
    options = {
        "-e": request.endpoint_name,
        "--region": request.region or LOCAL,
        "--content-type": "" if request.content_type == JSON else request.content_type,
        "--accept": "" if request.accept == JSON else request.accept,
    }
    given = " ".join(f"{option} {_quoted(value)}" for option, value in options.items() if value)
    try:
        text = request.body.decode()
    except UnicodeDecodeError:
        text = None
    # A cell loses the line ends at its end, and cannot be empty.
    if text is None or not text.strip() or text != text.rstrip("\n") or "\0" in text or "\r" in text:
        kind = "" if request.content_type != JSON else f" --content-type {JSON}"
        return f"%sm_predict {given}{kind} --file payload"
    return f"%%sm_predict {given}\n{text}"


def _quoted(value: str) -> str:
    return shlex.quote(value)
