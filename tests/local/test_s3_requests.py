"""Requests to S3 as other clients than boto3 send them: other hosts, presigned, in signed chunks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import zlib
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from local_service import BUCKET

from sm_magics.local.protocol.sigv4 import signing_key

CHUNK = 64 * 1024


@pytest.fixture(scope="module")
def s3(service):
    service.upload("any", b"any")
    return service.s3


def ask(service, method, path, *, host="", headers=None, body=b"", payload=None) -> tuple[int, bytes]:
    """Send a request that botocore's signer signed, to the service whatever host it names."""
    address = service.address
    netloc = urlsplit(address["url"]).netloc
    host = f"{host}:{netloc.rpartition(':')[2]}" if host else netloc
    request = botocore.awsrequest.AWSRequest(
        method, f"http://{host}{path}", data=body, headers={"Host": host, **(headers or {})}
    )
    credentials = botocore.credentials.Credentials(address["access_key"], address["secret_key"])
    auth = botocore.auth.S3SigV4Auth(credentials, "s3", address["region"])
    if payload:
        request.headers["X-Amz-Content-SHA256"] = payload
        auth.payload = lambda _request: payload
    auth.add_auth(request)
    sent = body if not payload else encoded(address, request, body, payload)
    return send(netloc, method, path, dict(request.headers.items()), sent)


def send(netloc, method, path, headers, body=b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(netloc, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def shift_clock(patch, shift: timedelta) -> None:
    """Have botocore sign for another time."""
    moment = datetime.now(timezone.utc).replace(tzinfo=None) + shift
    if hasattr(botocore.auth, "get_current_datetime"):
        patch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        return

    class Shifted(datetime):  # boto3 1.37
        @classmethod
        def utcnow(cls):
            return moment

    patch.setattr(botocore.auth, "datetime", SimpleNamespace(datetime=Shifted))


def encoded(address, request, body: bytes, payload: str) -> bytes:
    """Return a body in chunks, written after the S3 API reference, with a signature each if it is to be so."""
    time = request.headers["X-Amz-Date"]
    scope = f"{time[:8]}/{address['region']}/s3/aws4_request"
    key = signing_key(address["secret_key"], time[:8], address["region"], "s3")
    signature = request.headers["Authorization"].rpartition("Signature=")[2]
    signed = "HMAC" in payload

    def sign(kind, *digests) -> str:
        nonlocal signature
        text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", time, scope, signature, *digests))
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return signature

    out = b""
    for start in (*range(0, len(body), CHUNK), len(body)):
        chunk = body[start : start + CHUNK]
        out += b"%x" % len(chunk)
        if signed:
            digest = sign("PAYLOAD", hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest())
            out += b";chunk-signature=" + digest.encode()
        out += b"\r\n" + chunk + (b"\r\n" if chunk else b"")
    if payload.endswith("TRAILER"):
        line = b"x-amz-checksum-crc32:" + base64.b64encode(zlib.crc32(body).to_bytes(4, "big"))
        out += line + b"\r\n"
        if signed:
            out += (
                b"x-amz-trailer-signature:"
                + sign("TRAILER", hashlib.sha256(line + b"\n").hexdigest()).encode()
                + b"\r\n"
            )
    return out + b"\r\n"


@pytest.mark.parametrize(
    "host",
    [
        f"{BUCKET}.localhost",
        f"{BUCKET}.s3.localhost",
        f"{BUCKET}.s3.us-west-2.amazonaws.com",
        f"{BUCKET}.s3-us-west-2.amazonaws.com",
    ],
)
def test_the_bucket_may_stand_in_the_host(service, s3, host):
    assert ask(service, "PUT", "/by%20host/a", host=host, body=b"abc")[0] == 200
    with s3.get_object(Bucket=BUCKET, Key="by host/a")["Body"] as body:
        assert body.read() == b"abc"
    assert ask(service, "GET", "/by%20host/a", host=host) == (200, b"abc")
    status, listed = ask(service, "GET", "/?list-type=2&prefix=by%20host%2F", host=host)
    assert (status, b"<Key>by host/a</Key>" in listed) == (200, True)


@pytest.mark.parametrize("host", ["localhost", "s3.localhost", "s3.us-west-2.amazonaws.com"])
def test_the_host_may_be_s3s_own(service, s3, host):
    assert ask(service, "GET", f"/{BUCKET}/any", host=host) == (200, b"any")
    status, listed = ask(service, "GET", "/", host=host)
    assert (status, BUCKET.encode() in listed) == (200, True)


@pytest.mark.parametrize(
    "payload",
    [
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    ],
)
@pytest.mark.parametrize("size", [0, 10, 200_000])
def test_bodies_in_chunks_are_taken(service, s3, payload, size):
    body = (b"0123456789" * 20_000)[:size]
    headers = {"X-Amz-Decoded-Content-Length": str(size), "Content-Encoding": "aws-chunked,gzip"}
    if payload.endswith("TRAILER"):
        headers["X-Amz-Trailer"] = "x-amz-checksum-crc32"
    asked = {"headers": headers, "payload": payload}
    status, said = ask(service, "PUT", f"/{BUCKET}/in%20chunks", body=body, **asked)
    assert status == 200, said
    head = s3.head_object(Bucket=BUCKET, Key="in chunks", ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["ContentEncoding"]) == (size, "gzip")
    if payload.endswith("TRAILER"):
        assert head["ChecksumCRC32"] == base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    headers["X-Amz-Decoded-Content-Length"] = str(size + 1)
    status, said = ask(service, "PUT", f"/{BUCKET}/not%20whole", body=body, **asked)
    assert (status, b"IncompleteBody" in said) == (400, True)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="not whole")


def test_other_kinds_of_chunks_are_refused_by_name(service, s3):
    headers = {"X-Amz-Decoded-Content-Length": "0"}
    status, said = ask(
        service, "PUT", f"/{BUCKET}/no", headers=headers, payload="STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
    )
    assert (status, b"NotImplemented" in said) == (400, True)


def test_presigned_urls_may_carry_headers_and_are_for_one_method_and_time(service, s3, monkeypatch):
    client = service.client("s3", signature_version="v4")
    named = {"Bucket": BUCKET, "Key": "presigned +&ü"}
    address = urlsplit(service.address["url"]).netloc

    def follow(method, url, body=b"", headers=None):
        parts = urlsplit(url)
        return send(address, method, f"{parts.path}?{parts.query}", headers or {}, body)

    put = client.generate_presigned_url("put_object", Params={**named, "ContentType": "text/plain"}, ExpiresIn=60)
    assert follow("PUT", put, b"abc", {"Content-Type": "text/plain"})[0] == 200
    assert follow("PUT", put, b"abc", {"Content-Type": "text/html"})[0] == 403
    get = client.generate_presigned_url("get_object", Params={**named, "ResponseContentType": "a/b"}, ExpiresIn=60)
    assert follow("GET", get) == (200, b"abc")
    assert follow("GET", get.replace("a%2Fb", "a%2Fc"))[0] == 403
    assert follow("DELETE", get)[0] == 403
    listed = client.generate_presigned_url("list_objects_v2", Params={"Bucket": BUCKET, "Prefix": "presigned"})
    assert b"presigned%20%2B%26" in follow("GET", listed)[1]
    with monkeypatch.context() as patch:
        shift_clock(patch, timedelta(hours=-1))
        long = client.generate_presigned_url("get_object", Params=named, ExpiresIn=7200)
        old = client.generate_presigned_url("get_object", Params=named, ExpiresIn=60)
    assert follow("GET", long) == (200, b"abc")
    status, said = follow("GET", old)
    assert (status, b"<Code>AccessDenied</Code>" in said, b"Request has expired" in said) == (403, True, True)


def test_a_signature_that_is_too_old_or_too_new_is_said_in_s3s_words(service, s3, monkeypatch):
    for hours in (-1, 1):
        with monkeypatch.context() as patch:
            shift_clock(patch, timedelta(hours=hours))
            status, said = ask(service, "GET", f"/{BUCKET}/any")
        assert status == 403
        assert b"RequestTimeTooSkewed" in said
