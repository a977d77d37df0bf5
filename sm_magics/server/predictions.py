"""A payload to an endpoint and its answer back, as they are: text where it is text, else base64."""

from __future__ import annotations

import base64
import time
from typing import Any

from sm_magics.errors import ModelError
from sm_magics.hosting import invoking

from .call import Call, Payload
from .places import Place
from .problems import Problem, Refused, of

MOST_SHOWN = 1 << 20
"""Bytes of an answer that a browser is given."""


async def predicted(call: Call) -> dict[str, Any]:
    """Send a payload to an endpoint and return its answer."""
    place, name, payload = call.place, call.name, call.payload
    return await call.state.predictions.run(lambda: _predict(place, name, payload))


def _predict(place: Place, name: str, payload: Payload) -> dict[str, Any]:
    connection = place.connection()
    started = time.perf_counter()
    try:
        answer = invoking.send(name, payload.body, connection, content_type=payload.content_type, accept=payload.accept)
    except ModelError as error:
        told = of(error)
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        raise Refused(
            Problem(told.status, told.code, told.message, told.hint, {**told.more, "milliseconds": milliseconds})
        ) from error
    return {
        "status": 200,
        "milliseconds": round(answer.seconds * 1000, 1),
        "content_type": answer.content_type,
        "size": len(answer.body),
        **shown(answer.body),
    }


def shown(body: bytes) -> dict[str, Any]:
    """Return bytes as JSON can hold them, as many as are shown."""
    is_cut = len(body) > MOST_SHOWN
    piece = body[:MOST_SHOWN]
    try:
        # A character that the cut goes through is left out.
        text = piece.decode(errors="strict") if not is_cut else piece[: _whole(piece)].decode()
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text:
        return {"encoding": "base64", "body": base64.b64encode(piece).decode(), "truncated": is_cut}
    return {"encoding": "text", "body": text, "truncated": is_cut}


def _whole(piece: bytes) -> int:
    """Return how many bytes there are up to the end of the last whole character of UTF-8."""
    for back in range(1, min(4, len(piece)) + 1):
        first = piece[-back]
        if first < 0x80:  # noqa: PLR2004 - ASCII
            return len(piece) - back + 1
        if first >= 0xC0:  # noqa: PLR2004 - the first byte of a character
            length = 2 + (first >= 0xE0) + (first >= 0xF0)  # noqa: PLR2004 - of so many bytes
            return len(piece) - (back if back < length else 0)
    return len(piece)
