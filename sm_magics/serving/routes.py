"""Which request goes where: ``/ping``, ``/invocations``, and nothing else but ``/invocations-response-stream``.

The last one is ours: the container has one path, and who invoked the endpoint knows whether it wants a stream.
"""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import unquote_plus

from .forms import split_target
from .messages import Answer, Request
from .pool import WorkerPool
from .stream import Stream

_MODEL_NAME = "model"  # what the container calls every model


class ModelServer:
    """One model behind the container's two paths, and that for streams.

    Parameters
    ----------
    pool
        Its workers.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    def respond(self, request: Request) -> Answer | asyncio.Future[Answer | Stream]:
        """Answer any request. The method does not matter."""
        if request.path == "/invocations":
            return self._pool.submit(request)
        path, query = split_target(request.path)
        # As Java splits: trailing slashes do not count, all others do.
        segments = path.rstrip("/").split("/")
        if segments[:2] == ["", "ping"]:
            return self._ping()
        if segments in (["", "invocations"], ["", "invocations-response-stream"]):
            name = next((value for key, value in _pairs(query) if key == "model_name"), "")
            if name not in {"", _MODEL_NAME}:
                return Answer.error(404, "ModelNotFoundException", f"Model not found: {name}")
            return self._pool.submit(request, stream=segments[1] != "invocations")
        return Answer.error(
            404, "ResourceNotFoundException", "Requested resource is not found, please refer to API document."
        )

    def _ping(self) -> Answer:
        healthy = self._pool.healthy
        text = json.dumps({"status": "Healthy" if healthy else "Unhealthy"}, indent=2) + "\n"
        status, reason = (200, "OK") if healthy else (500, "Internal Server Error")
        return Answer(status, reason, (("content-type", "application/json"),), text.encode())


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in re.split("[&;]", query))
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]
