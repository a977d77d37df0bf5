"""Faults between boto3 and the service: in the place of an answer, or on the wire itself."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import boto3
from botocore import exceptions
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session

Fault = Callable[[AWSPreparedRequest, str], AWSResponse | None]


class Faults:
    """What happens to the requests of a boto3 session: nothing, unless it says so.

    Attributes
    ----------
    calls
        The operations that were sent, each attempt of them, as they came.
    """

    def __init__(self, session: boto3.Session) -> None:
        self.calls: list[str] = []
        self._planned: dict[str, list[Fault]] = defaultdict(list)
        self._always: dict[str, Fault] = {}
        self._lock = threading.Lock()
        session.events.register("before-send", self._meet)

    def once(self, operation: str, *faults: Fault) -> None:
        """Meet the next requests of an operation with these, one each."""
        self._planned[operation] += faults

    def always(self, operation: str, fault: Fault) -> None:
        """Meet all requests of an operation with this."""
        self._always[operation] = fault

    def none(self) -> None:
        """Leave all requests alone from now on."""
        self._planned.clear()
        self._always.clear()
        self.calls.clear()

    def _meet(self, request: AWSPreparedRequest, event_name: str, **_: object) -> AWSResponse | None:
        _, service, operation = event_name.split(".")
        with self._lock:
            self.calls.append(operation)
            planned = self._planned[operation]
            fault = planned.pop(0) if planned else self._always.get(operation)
        return fault(request, service) if fault else None


class _Raw(io.BytesIO):
    def stream(self, **_: object):
        yield self.read()


def refused(code: str, message: str = "", status: int = 400) -> Fault:
    """Answer with an error, in the service's own protocol."""

    def answer(request: AWSPreparedRequest, service: str) -> AWSResponse:
        body, kind = json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1"
        error = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        if request.method == "HEAD":
            body = ""
        elif service == "s3":
            body, kind = error, "application/xml"
        elif service in {"sts", "iam"}:
            body, kind = f"<ErrorResponse>{error}</ErrorResponse>", "text/xml"
        headers = {"content-type": kind, "x-amzn-errortype": code}
        return AWSResponse(request.url, status, headers, _Raw(body.encode()))

    return answer


def denied(request: AWSPreparedRequest, service: str) -> AWSResponse:
    """Answer that it is not allowed, and no more: where AWS says what is missing it is the easier case."""
    return refused("AccessDenied" if service == "s3" else "AccessDeniedException", "Access Denied", 403)(
        request, service
    )


def broken(request: AWSPreparedRequest, _service: str) -> None:
    """Lose the connection before there is an answer."""
    raise exceptions.ConnectionClosedError(endpoint_url=request.url)


def slow(request: AWSPreparedRequest, _service: str) -> None:
    """Answer after everybody has gone."""
    raise exceptions.ReadTimeoutError(endpoint_url=request.url)


def lost(request: AWSPreparedRequest, _service: str) -> None:
    """Have the request served, and lose the connection before its answer is here."""
    session = URLLib3Session()
    try:
        session.send(request)
    finally:
        session.close()
    raise exceptions.ConnectionClosedError(endpoint_url=request.url)


class Wire:
    """A proxy that hands on bytes, and resets connections when it has seen what it waits for.

    Parameters
    ----------
    url
        The service's.
    """

    def __init__(self, url: str) -> None:
        self._service = urlsplit(url).hostname, urlsplit(url).port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.resets = 0
        self._left: int | None = None  # bytes until a reset
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset_after(self, sent: int) -> None:
        """Reset the connection on which this many more bytes have been sent, all connections together; once."""
        with self._lock:
            self._left = sent

    def close(self) -> None:
        """Hand on nothing any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        self._listener.close()
        with self._lock:
            for connection in self._open:
                connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            service = socket.create_connection(self._service)
            with self._lock:
                self._open |= {client, service}
            threading.Thread(target=self._hand_on, args=(client, service, True), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(service, client, False), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, is_sent: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_sent and self._is_time(len(data)):
                    for one in (source, target):  # closed with a reset
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            with self._lock:
                self._open.discard(one)

    def _is_time(self, sent: int) -> bool:
        with self._lock:
            if self._left is None:
                return False
            self._left -= sent
            if self._left > 0:
                return False
            self._left = None
            self.resets += 1
            return True
