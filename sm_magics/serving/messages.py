"""What goes into the model server and what comes out of it, and how both travel between processes.

A frame on the wire is two lengths (unsigned 32-bit, big-endian), a JSON head and a body::

    | head length | body length | head | body |

The head of a request is ``{"method", "path", "headers"}``, that of an answer ``{"status", "reason", "headers"}``.
A request that has ``"stream": true`` besides may be answered in pieces: the answer's frame has ``"more": true`` and
the first piece, those that follow have ``{"more": true}`` and one piece each, the last ``{"more": false}``, with
``"broken": "…"`` if the answer ends before its end.
Before it serves, a worker says ``{"ready": true}`` or ``{"failed": "Traceback …"}``. Nothing is pickled.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Headers = tuple[tuple[str, str], ...]
Parts = tuple[bytes, bytes]  # of a frame: a long body is not copied only to stand behind its head

_LENGTHS = struct.Struct("!II")
LENGTHS_SIZE = _LENGTHS.size

# TorchServe writes its own errors so: pretty-printed, and a line feed after it.
_ERROR_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    417: "Expectation Failed",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


@dataclass(frozen=True)
class Request:
    """One HTTP request, as the client sent it.

    Attributes
    ----------
    method
        Any HTTP method; the container does not look at it.
    path
        The request target: path and query, still percent-encoded.
    headers
        Names exactly as sent (the container tells ``Content-Type`` from ``CONTENT-TYPE``) and values, in order.
        Values are the header's bytes read as Latin-1.
    body
        The whole body.
    """

    method: str
    path: str
    headers: Headers
    body: bytes

    def frame(self, *, stream: bool = False) -> Parts:
        """Return the request as it is written to a worker, which may answer it in pieces if `stream`."""
        return _with_lengths(_request_head(self.method, self.path, self.headers, stream), self.body)


@dataclass(frozen=True)
class Answer:
    """What the container answers.

    Attributes
    ----------
    status
        HTTP status, 200 to 999.
    reason
        Reason phrase: empty on success, an exception's message on an error. Any text; who writes HTTP must
        make it fit there.
    headers
        What the container says about the body, and what handlers set on the context. Neither Content-Length nor
        Connection: they belong to the connection.
    body
        The whole body.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes

    @property
    def content_type(self) -> str | None:
        """The Content-Type, None if the answer has none (as with errors in handlers)."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), None)

    @classmethod
    def error(cls, status: int, kind: str, message: str) -> Answer:
        """Return an error in the words of TorchServe itself, not of a handler.

        Parameters
        ----------
        status
            HTTP status.
        kind
            Name of TorchServe's exception, such as ``InternalServerException``.
        message
            One sentence.
        """
        text = json.dumps({"code": status, "type": kind, "message": message}, indent=2, ensure_ascii=False)
        headers = (("content-type", "application/json"),)
        return cls(status, _ERROR_REASONS[status], headers, text.encode(errors="replace") + b"\n")

    @classmethod
    def empty(cls, status: int) -> Answer:
        """Return an error without a body, as the HTTP codec under TorchServe answers."""
        return cls(status, _ERROR_REASONS[status], (), b"")

    def frame(self, *, more: bool = False) -> Parts:
        """Return the answer as a worker writes it, with `more` as the first of several pieces."""
        head: dict[str, Any] = {"status": self.status, "reason": self.reason, "headers": self.headers}
        if more:
            head["more"] = True
        return parts(head, self.body)

    @classmethod
    def from_frame(cls, head: Mapping[str, Any], body: bytes) -> Answer:
        """Return the answer that a worker wrote."""
        headers = tuple((name, value) for name, value in head["headers"])
        return cls(head["status"], head["reason"], headers, body)


@dataclass(frozen=True)
class Assignment:
    """What a worker is to serve.

    Attributes
    ----------
    model_dir
        The model directory, absolute.
    environ
        The container's environment.
    allow_pickle
        Whether the default ``input_fn`` may unpickle objects in ``application/x-npy`` bodies.
    max_response
        Bytes of an answer's body.
    importable
        Names of the top-level modules that the handlers can import, besides the standard library's and the model
        directory's own. None: all that are installed.
    """

    model_dir: str
    environ: Mapping[str, str]
    allow_pickle: bool
    max_response: int
    importable: tuple[str, ...] | None = None


class ModelLoadFailed(Exception):  # noqa: N818 - the fact, as the log says it
    """The handlers could not be imported, or ``model_fn`` failed.

    The message is the traceback's last line.

    Attributes
    ----------
    traceback
        The Python traceback, or a sentence where there is none (the worker died).
    """

    def __init__(self, traceback: str) -> None:
        lines = [line for line in traceback.splitlines() if line.strip()]
        super().__init__(lines[-1] if lines else "The model could not be loaded.")
        self.traceback = traceback


def parts(head: Mapping[str, Any], body: bytes) -> Parts:
    """Return a frame: all that goes before the body, and the body."""
    return _with_lengths(json.dumps(head).encode(), body)


@lru_cache(maxsize=64)  # a client's heads are the same for all its requests
def _request_head(method: str, path: str, headers: Headers, stream: bool) -> bytes:
    head: dict[str, Any] = {"method": method, "path": path, "headers": headers}
    if stream:
        head["stream"] = True
    return json.dumps(head).encode()


def _with_lengths(head: bytes, body: bytes) -> Parts:
    return _LENGTHS.pack(len(head), len(body)) + head, body


def frame(head: Mapping[str, Any]) -> bytes:
    """Return a frame without a body."""
    return parts(head, b"")[0]


def lengths(prefix: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Return the lengths of head and body that a frame's first ``LENGTHS_SIZE`` bytes announce."""
    head, body = _LENGTHS.unpack(prefix)
    return head, body
