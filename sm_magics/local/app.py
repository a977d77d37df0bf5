"""The application: who is it, which service is meant, what is the answer.

A request goes where its signature says (the service in the credential scope), then by target, then by path. Never by
Host or target alone: a request signed for S3 that carries a SageMaker target is a request to S3.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .account import Account
from .elsewhere import child as elsewhere
from .elsewhere.child import Elsewhere
from .hosting import runtime
from .hosting.runtime import Runtime
from .identity import CALLER
from .protocol import cbor, codec, query
from .protocol.body import ClientGoneError
from .protocol.errors import ApiError, NotHereError, no_such_action, not_serializable, too_large, unknown_operation
from .protocol.protocols import PROTOCOLS, Protocol, cbor_answer, error_answer, json_answer, xml_answer
from .protocol.refusals import refused
from .protocol.sigv4 import UNSIGNED, Claim, Reason, RefusedError, claim_of, signing_key, verify
from .protocol.wire import IS_WAITER, MAY_HOLD, Request, Response
from .s3.api import S3
from .sessions import ExpiredError, Sessions

#: Bytes of a request to the services that are answered here.
_LARGEST = {"sagemaker": 1 << 20, "logs": 2 << 20, "monitoring": 2 << 20, "sts": 1 << 20, "iam": 1 << 20}
_SHA256 = re.compile(r"[0-9a-f]{64}|UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+")
_LARGEST_UNPACKED = 16 << 20
#: Above this, hashing the body goes into a thread.
_HASH_IN_THREAD = 256 * 1024

#: What the system says when nothing more can be written (SQLite says it in words).
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApiService:
    """A service of the JSON or the query protocol; CloudWatch's clients speak either, or CBOR.

    Attributes
    ----------
    prefix
        What stands before the operation in ``X-Amz-Target``, and what messages call the service.
    model
        Returns botocore's model of it, once it is loaded.
    operations
        What is implemented, from a request's members to an answer's.
    refusal
        The code of the error for members that break the constraints of the model.
    """

    prefix: str
    model: Callable[[], Any]
    operations: Mapping[str, Callable[[dict[str, Any]], Any]]
    refusal: str = "ValidationException"

    def asked(self, shape: Any, document: Any) -> dict[str, Any]:
        """Return the members of a request, or raise `ApiError`."""
        try:
            return codec.request(shape, document)
        except ApiError as error:
            if error.code == "ValidationException":
                error.code = self.refusal
            raise


class App:
    """The application.

    Attributes
    ----------
    last_request
        ``time.monotonic()`` of the last request that was authenticated, and did more than look.
    active
        Requests being answered.
    """

    def __init__(
        self,
        *,
        account: Account,
        services: Mapping[str, ApiService],
        runtime: Callable[[], Runtime],
        s3: S3,
        sessions: Sessions,
        rest: Elsewhere,
    ) -> None:
        self._account = account
        self._services = services
        self._runtime = runtime
        self._s3 = s3
        self._sessions = sessions
        self._elsewhere = rest
        self.active = 0
        self.last_request = asyncio.get_running_loop().time()

    async def __call__(self, request: Request) -> Response:
        """Return the answer to a request.

        Raises
        ------
        ClientGoneError
            If the request never becomes complete.
        """
        request_id = _request_id()
        self.active += 1
        try:
            response = await self._respond(request, request_id)
        finally:
            self.active -= 1
        response.headers.append(("x-amzn-requestid", request_id))
        return response

    async def _respond(self, request: Request, request_id: str) -> Response:
        try:
            claim = claim_of(request)
        except RefusedError as refusal:
            protocol = _apparent_protocol(request)
            return error_answer(refused(refusal, protocol), protocol, request_id)
        protocol = _protocol(claim, request)
        try:
            return await self._answer(request, claim, protocol, request_id)
        except RefusedError as refusal:
            return error_answer(refused(refusal, protocol), protocol, request_id)
        except ApiError as error:
            return error_answer(error, protocol, request_id)
        except ClientGoneError:
            raise
        except Exception as error:
            _logger.exception("%s %s", request.method, request.raw_path)
            if (isinstance(error, OSError) and error.errno in _FULL) or "disk is full" in str(error):
                # Not one of the statuses that botocore retries: the disk will still be full.
                failure = ApiError("InsufficientStorage", "The disk of SageMaker on this machine is full.", 507)
            else:
                failure = ApiError("InternalFailure", "We encountered an internal error. Please try again.", 500)
            return error_answer(failure, protocol, request_id)

    async def _answer(self, request: Request, claim: Claim, protocol: Protocol, request_id: str) -> Response:
        if claim.service == "s3":
            if not _SHA256.fullmatch(claim.payload):
                raise ApiError(
                    "InvalidArgument",
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, or a valid sha256 value.",
                )
            return await self._s3.answer(request, claim, self._verify(request, claim, claim.payload))
        if claim.payload == UNSIGNED:
            raise RefusedError(Reason.MISMATCH, "The request's body must be signed.")
        limit = _LARGEST.get(claim.service, elsewhere.LARGEST)
        body = await request.body(runtime.LARGEST if protocol is Protocol.REST_JSON else limit)
        digest = hashlib.sha256(body) if len(body) < _HASH_IN_THREAD else await asyncio.to_thread(hashlib.sha256, body)
        self._verify(request, claim, digest.hexdigest())
        if protocol is Protocol.REST_JSON and claim.service == "sagemaker":
            return await self._runtime().answer(request, body, request_id)
        try:
            return await self._own_answer(request, claim.service, protocol, body, request_id)
        except NotHereError as missing:
            return await self._elsewhere.answer(request, claim, body, otherwise=missing)

    async def _own_answer(
        self, request: Request, service: str, protocol: Protocol, body: bytes, request_id: str
    ) -> Response:
        if service not in self._services:
            if protocol is Protocol.QUERY:
                raise no_such_action(service, query.form_of(request.query, body).get("Action", ""))
            named = request.header("x-amz-target") or cbor.target(request.raw_path)[1]
            raise unknown_operation(service, named or f"{request.method} {request.raw_path}")
        if protocol is Protocol.QUERY:
            return await self._query_answer(request, self._services[service], body, request_id)
        if protocol is Protocol.CBOR:
            return await self._cbor_answer(request, self._services[service], body)
        return await self._json_answer(request, self._services[service], body)

    async def _json_answer(self, request: Request, service: ApiService, body: bytes) -> Response:
        prefix, _, name = request.header("x-amz-target").partition(".")
        if prefix != service.prefix or name not in service.operations:
            raise unknown_operation(prefix or "A request without X-Amz-Target", name)
        MAY_HOLD.set(request.header("x-sm-magics-hold") != "0")
        IS_WAITER.set(request.is_waiters())
        model = service.model().operation_model(name)
        if request.header("content-encoding") == "gzip":
            body = _unpacked(body)
        answer = await _answered(service.operations[name], service.asked(model.input_shape, codec.loads(body)))
        return json_answer(codec.dump(model.output_shape, answer) if model.output_shape else {})

    async def _cbor_answer(self, request: Request, service: ApiService, body: bytes) -> Response:
        prefix, name = cbor.target(request.raw_path)
        if prefix != service.prefix or name not in service.operations:
            raise unknown_operation(service.prefix, name)
        model = service.model().operation_model(name)
        if request.header("content-encoding") == "gzip":
            body = _unpacked(body)
        answer = await _answered(service.operations[name], service.asked(model.input_shape, cbor.loads(body)))
        return cbor_answer(cbor.content(model.output_shape, answer) if model.output_shape else {})

    async def _query_answer(self, request: Request, service: ApiService, body: bytes, request_id: str) -> Response:
        if request.header("content-encoding") == "gzip":
            body = _unpacked(body)
        form = query.form_of(request.query, body)
        name = form.get("Action", "")
        if name not in service.operations:
            raise no_such_action(service.prefix, name)
        model = service.model().operation_model(name)
        try:
            asked = codec.request(model.input_shape, query.document(model.input_shape, form))
        except ApiError as error:
            # What JSON services call ValidationException (CommonErrors of the STS, IAM and CloudWatch API references).
            error.code = "ValidationError"
            raise
        answer = await _answered(service.operations[name], asked)
        content: dict[str, Any] = {"ResponseMetadata": {"RequestId": request_id}}
        if model.output_shape:
            content = {f"{name}Result": query.content(model.output_shape, answer), **content}
        return xml_answer(f"{name}Response", content, namespace=model.service_model.metadata["xmlNamespace"])

    def _verify(self, request: Request, claim: Claim, payload_hash: str) -> bytes:
        """Check a request's signature; note who the caller is, and return the key that it was signed with."""
        access_key, secret_key = self._account.access_key, self._account.secret_key
        if claim.token and claim.access_key != access_key:
            access_key, secret_key = self._assumed(claim)
        key = signing_key(secret_key, claim.day, claim.region, claim.service)
        verify(request, claim, payload_hash, access_key=access_key, key=key, now=datetime.now(timezone.utc))
        if request.header("x-sm-magics-look") != "1":  # a panel that looks every few seconds needs nothing
            self.last_request = asyncio.get_running_loop().time()
        return key

    def _assumed(self, claim: Claim) -> tuple[str, str]:
        try:
            found = self._sessions.find(claim.access_key, claim.token)
        except ExpiredError:
            raise RefusedError(Reason.ENDED, "The security token included in the request is expired") from None
        if found is None:
            raise RefusedError(Reason.UNKNOWN_KEY, "The security token included in the request is invalid.")
        keys, session = found
        CALLER.set(session)
        return keys.access_key, keys.secret_key


async def _answered(operation: Callable[[dict[str, Any]], Any], asked: dict[str, Any]) -> Any:
    answer = operation(asked)
    return await answer if asyncio.iscoroutine(answer) else answer


def _request_id() -> str:
    """Return a random UUID. Python's own takes three times as long."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _unpacked(body: bytes) -> bytes:
    """Return a compressed body, which botocore sends of what is large (``requestcompression``)."""
    unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacking.decompress(body, _LARGEST_UNPACKED)
    except zlib.error:
        raise not_serializable("The request body is not compressed as it says.") from None
    if unpacking.unconsumed_tail:
        raise too_large(_LARGEST_UNPACKED)
    return unpacked


def _protocol(claim: Claim, request: Request) -> Protocol:
    if claim.service == "sagemaker" and not request.header("x-amz-target"):
        return Protocol.REST_JSON
    if claim.service in PROTOCOLS:
        return PROTOCOLS[claim.service]
    apparent = _apparent_protocol(request)
    return Protocol.REST_JSON if apparent is Protocol.S3 else apparent


def _apparent_protocol(request: Request) -> Protocol:
    """Return the protocol that a client seems to speak whose request says nothing about who signed it for what."""
    if request.header(cbor.HEADER) == cbor.NAME:
        return Protocol.CBOR
    if request.header("x-amz-target"):
        return Protocol.JSON
    if request.header("content-type").startswith("application/x-www-form-urlencoded"):
        return Protocol.QUERY
    if request.raw_path.startswith("/endpoints/") or request.header("content-type").startswith("application/json"):
        return Protocol.REST_JSON
    return Protocol.S3
