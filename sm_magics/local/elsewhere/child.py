"""The rest of AWS: moto's server as a child process, behind this service's authentication.

It is started by the first request that needs it, listens on a Unix socket in the state directory and keeps everything
in memory: what it knows is gone when the service ends. It gets what was verified and nothing else, with a credential
scope that was verified too, since it routes by that.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.parse import unquote, urlencode

import httptools

from sm_magics.local.account import ROLE, TRUST, Account
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.sigv4 import ALGORITHM, Claim
from sm_magics.local.protocol.wire import Request, Response

#: Bytes of a request: enough for the code of a Lambda function (AWS Lambda quotas, 50 MB zipped, in base64).
LARGEST = 70 << 20
#: Seconds without a request after which it is ended, and with it what it keeps.
_LAST_THREADS = 5.0  # seconds from a process's death until the last of its threads has gone
_IDLE = 7200.0
#: Seconds that it has to start, and for an answer.
_PATIENCE = 120.0
#: Services whose state is this service's own: what moto would say of them is about other things of the same names, and
#: the keys that its STS hands out open nothing here.
_OWN = {"sagemaker", "logs", "s3", "sts"}
#: Paths of moto's that are none of AWS's.
_CLOSED = ("moto-api", "latest")
#: Extras of moto's that are not called as the service is in signatures.
_EXTRAS = {"lambda": "awslambda", "states": "stepfunctions"}
_PRESIGNED = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")
_NOT_PASSED_ON = {"host", "content-length", "connection", "expect", "transfer-encoding", "x-amz-security-token"}
_NOT_PASSED_BACK = {"connection", "content-length", "date", "server", "transfer-encoding", "keep-alive"}

_logger = logging.getLogger(__name__)


def is_installed() -> bool:
    """Return whether the extra ``sm-magics[aws-local]`` is there."""
    return all(importlib.util.find_spec(name) for name in ("moto", "flask", "flask_cors"))


class Elsewhere:
    """The rest of AWS.

    Parameters
    ----------
    directory
        For the socket. Its path has at most some 90 bytes.
    """

    def __init__(self, directory: Path, account: Account) -> None:
        self._address = directory / "aws"
        self._account = account
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._used = 0.0

    def is_in_use(self) -> bool:
        """Return whether it keeps something that somebody asked for lately."""
        return self._process is not None and time.monotonic() - self._used < _IDLE

    async def answer(self, request: Request, claim: Claim, body: bytes, *, otherwise: ApiError) -> Response:
        """Answer a verified request.

        Parameters
        ----------
        otherwise
            The error for what moto does not do either.

        Raises
        ------
        ApiError
            `otherwise`, with what would help if that is known.
        """
        path = unquote(request.raw_path).lstrip("/")
        if claim.service in _OWN or path.startswith(_CLOSED):
            raise otherwise
        if not is_installed():
            otherwise.message += " More of AWS is with: pip install 'sm-magics[aws-local]'"
            raise otherwise
        self._used = time.monotonic()
        message = _message(request, claim._replace(access_key=self._account.access_key), body)
        await self._start()
        try:
            status, headers, answer = await self._insist(message)
        except (OSError, EOFError, httptools.HttpParserError, asyncio.TimeoutError) as error:
            _logger.warning("moto gave no answer to %s %s: %r", request.method, request.raw_path, error)
            raise otherwise from error
        # What it does not implement it answers with a 500, or as a page for people. Clients would retry the first.
        if status >= 500 or (status >= 400 and headers.get("content-type", "").startswith("text/html")):  # noqa: PLR2004
            if extra := _missing_extra(claim.service):
                otherwise.message += f" More of it may be with: pip install 'moto[{extra}]'"
            raise otherwise
        return Response(status, [item for item in headers.items() if item[0] not in _NOT_PASSED_BACK], answer)

    async def _insist(self, message: bytes) -> tuple[int, dict[str, str], bytes]:
        """Ask, and ask a new process if this one turns out to have died: what it did is gone with it."""
        process = self._process
        assert process  # noqa: S101 - it was started
        try:
            return await asyncio.wait_for(_ask(self._address, message), _PATIENCE)
        except (OSError, EOFError):
            await asyncio.wait_for(process.wait(), _LAST_THREADS)  # the first to notice may be we
            await self._start()
        return await asyncio.wait_for(_ask(self._address, message), _PATIENCE)

    async def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()
            await process.wait()

    async def _start(self) -> None:
        async with self._starting:
            if self._process and self._process.returncode is None:
                return
            if self._process:
                _logger.warning("moto ended with status %s; what it kept is gone.", self._process.returncode)
            self._address.unlink(missing_ok=True)
            self._address.parent.mkdir(mode=0o700, exist_ok=True)
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sm_magics.local.elsewhere.moto_server", str(self._address), str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=self._environment(),
                # Its log is the service's, but a signal to the service's group is for the service.
                start_new_session=True,
            )  # fmt: skip
            assert process.stdout  # noqa: S101 - asked for above
            try:
                ready = await asyncio.wait_for(process.stdout.readline(), _PATIENCE)
            except asyncio.TimeoutError:
                ready = b""
            if ready != b"ready\n":
                await self.close()
                raise ApiError("ServiceUnavailable", "moto, which answers for the rest of AWS, does not start.", 400)
            await self._make_role()

    async def _make_role(self) -> None:
        """Have the role that the caller is said to have among moto's roles."""
        role = {"Action": "CreateRole", "RoleName": ROLE, "AssumeRolePolicyDocument": json.dumps(TRUST)}
        scope = f"{self._account.access_key}/20240101/us-east-1/iam/aws4_request"
        body = urlencode({**role, "Version": "2010-05-08"}).encode()
        headers = [
            ("host", "iam.amazonaws.com"),
            ("authorization", _authorization(scope)),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", str(len(body))),
        ]
        await _ask(self._address, _head("POST", "/", headers) + body)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
        return {
            **kept,
            "MOTO_ACCOUNT_ID": self._account.id,
            "AWS_DEFAULT_REGION": self._account.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _missing_extra(service: str) -> str:
    """Return moto's extra for a service, by its name in a signature, if not all that it requires is installed."""
    extra = _EXTRAS.get(service, service.replace("-", ""))
    marker = re.compile(rf"(?P<name>[\w.-]+)[^;]*;.*extra == ['\"]{re.escape(extra)}['\"]")
    wanted = filter(None, map(marker.match, requires("moto") or ()))
    return "" if all(_has(match["name"]) for match in wanted) else extra


def _has(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _message(request: Request, claim: Claim, body: bytes) -> bytes:
    """Return the request that moto gets: what the signature covers."""
    scope = f"{claim.access_key}/{claim.day}/{claim.region}/{claim.service}/aws4_request"
    headers = [(name, value) for name, value in request.headers if name in claim.signed_headers]
    headers = [
        (name, value)
        for name, value in headers
        if name not in _NOT_PASSED_ON and not name.startswith(("x-moto", "x-sm-magics"))
    ]
    headers += [
        ("host", request.header("host")),
        ("authorization", _authorization(scope)),
        ("content-length", str(len(body))),
    ]
    pairs = [
        pair for pair in request.query.split("&") if pair.partition("=")[0] not in {*_PRESIGNED, "X-Amz-Signature"}
    ]
    query = "&".join(pair for pair in pairs if pair)
    return _head(request.method, request.raw_path + (f"?{query}" if query else ""), headers) + body


def _authorization(scope: str) -> str:
    return f"{ALGORITHM} Credential={scope}, SignedHeaders=host, Signature=verified"


def _head(method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class _Answer:
    """What httptools reads."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_complete = True


async def _ask(address: Path, message: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_unix_connection(address)
    try:
        writer.write(message)
        await writer.drain()
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while piece := await reader.read(1 << 16):
            parser.feed_data(piece)
        if not answer.headers and not answer.is_complete:
            raise EOFError("closed without an answer")
        return parser.get_status_code(), answer.headers, bytes(answer.body)
    finally:
        writer.close()
