"""Which request goes where: ``/ping``, ``/invocations``, and nothing else but ``/invocations-response-stream``.

The last one is ours: the container has one path, and who invoked the endpoint knows whether it wants a stream.
"""

from __future__ import annotations

import asyncio
import json

from .description import describe
from .forms import Malformed, query_parameters, split_target
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
        """Answer any request. The method does not matter, unless it asks what there is to invoke."""
        if request.path == "/invocations" and request.method != "OPTIONS":
            return self._pool.submit(request)
        try:
            return self._respond(request)
        except Malformed as error:
            return error.answer

    def _respond(self, request: Request) -> Answer | asyncio.Future[Answer | Stream]:
        path, _ = split_target(request.path)
        # As Java splits: trailing slashes do not count, all others do.
        segments = path.rstrip("/").split("/")
        if segments[:2] == ["", "ping"]:
            return self._ping()
        if segments in (["", "invocations"], ["", "invocations-response-stream"]):
            parameters = query_parameters(request.path)
            name = next((value.decode() for key, _, value in parameters if key == "model_name"), "")
            if name not in {"", _MODEL_NAME}:
                return Answer.error(404, "ModelNotFoundException", f"Model not found: {name}")
            if request.method == "OPTIONS":
                return describe()
            return self._pool.submit(request, stream=segments[1] != "invocations")
        return _nowhere(path, request.method)

    def _ping(self) -> Answer:
        healthy = self._pool.healthy
        text = json.dumps({"status": "Healthy" if healthy else "Unhealthy"}, indent=2) + "\n"
        status, reason = (200, "OK") if healthy else (500, "Internal Server Error")
        return Answer(status, reason, (("content-type", "application/json"),), text.encode())


def _nowhere(path: str, method: str) -> Answer:
    """Answer a request to what is not served here: SageMaker asks for none of TorchServe's other paths."""
    if "/" not in path:  # such as "*": Java looks for what comes after the first slash
        return Answer.error(500, "ArrayIndexOutOfBoundsException", "Index 1 out of bounds for length 1")
    if not path.strip("/") and (path, method) != ("/", "OPTIONS"):
        why = "Requested method is not allowed, please refer to API document."
        return Answer.error(405, "MethodNotAllowedException", why)
    why = "Requested resource is not found, please refer to API document."
    return Answer.error(404, "ResourceNotFoundException", why)
