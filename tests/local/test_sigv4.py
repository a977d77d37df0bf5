"""Signature Version 4: botocore's signer is the oracle, and whatever changes on the way is refused."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics.local.protocol.body import Body
from sm_magics.local.protocol.sigv4 import EMPTY, UNSIGNED, Reason, RefusedError, claim_of, signing_key, verify
from sm_magics.local.protocol.wire import Request

KEY, SECRET, HOST = "AKIAABCDEFGHIJKLMNOP", "a-secret", "127.0.0.1:9911"
CREDENTIALS = botocore.credentials.Credentials(KEY, SECRET)
CODES = {
    "sagemaker": "InvalidSignatureException",
    "sts": "SignatureDoesNotMatch",
    "s3": "SignatureDoesNotMatch",
}


def signed(service="sagemaker", *, path="/", query="", body=b"", headers=(), at=None, method="POST"):
    """Return a request as botocore signs it."""
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest(method, url, data=body, headers={"Host": HOST, **dict(headers)})
    signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    auth = signer(CREDENTIALS, service, "us-west-2")
    if at is None:
        auth.add_auth(request)
    else:
        moment = at.strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = moment
        request.headers["X-Amz-Date"] = moment
        if service == "s3":
            request.headers["X-Amz-Content-SHA256"] = auth.payload(request)
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        auth._inject_signature_to_request(request, signature)
    return request


def received(request, *, drop=(), add=(), method=None, url=None) -> Request:
    parts = urlsplit(url or request.url)

    headers = [(name.lower(), value) for name, value in request.headers.items() if name.lower() not in drop]
    return Request(method or request.method, parts.path, parts.query, (*headers, *add), Body.of(b""))


def check(request: Request, payload_hash: str, *, key=KEY, now=None) -> None:
    claim = claim_of(request)
    verify(
        request,
        claim,
        payload_hash,
        access_key=key,
        key=signing_key(SECRET, claim.day, claim.region, claim.service),
        now=now or datetime.now(timezone.utc),
    )


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


segments = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8)


@given(
    path=st.lists(segments | st.sampled_from(["..", ".", "", "%2F", "a b", "ü~(1)+=&@:$!'*,;é%20"]), max_size=5),
    query=st.lists(st.tuples(segments, segments), max_size=4),
    service=st.sampled_from(["sagemaker", "s3", "sts"]),
    body=st.binary(max_size=40),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
)
def test_what_botocore_signs_is_believed(path, query, service, body, value):
    target = "/" + quote("/".join(path), safe="/~")
    text = "&".join(f"{quote(name, safe='~')}={quote(item, safe='~')}" for name, item in query if name)
    request = signed(service, path=target, query=text, body=body, headers={"X-Amz-Meta-Some": f"a  {value}  b"})
    check(received(request), sha256(body))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"drop": ("x-amz-target",), "add": [("x-amz-target", "SageMaker.DeleteModel")]}, Reason.MISMATCH),
        ({"drop": ("host",), "add": [("host", "evil.example:80")]}, Reason.MISMATCH),
        ({"method": "PUT"}, Reason.MISMATCH),
        ({"url": f"http://{HOST}/other"}, Reason.MISMATCH),
        ({"url": f"http://{HOST}/?a=b"}, Reason.MISMATCH),
        ({"add": [("x-amz-meta-more", "1")]}, Reason.MISMATCH),
        ({"add": [("x-sm-magics-file", "/etc/passwd")]}, Reason.MISMATCH),
        ({"add": [("x-amz-target", "SageMaker.DeleteModel")]}, Reason.INCOMPLETE),
        ({"add": [("host", HOST)]}, Reason.INCOMPLETE),
        ({"add": [("authorization", "AWS4-HMAC-SHA256 Credential=a")]}, Reason.INCOMPLETE),
        ({"add": [("x-amz-date", "20200101T000000Z")]}, Reason.INCOMPLETE),
        ({"drop": ("x-amz-date",)}, Reason.INCOMPLETE),
        ({"drop": ("authorization",)}, Reason.MISSING),
        ({"drop": ("authorization",), "add": [("authorization", "AWS KEY:signature")]}, Reason.UNSUPPORTED),
        ({"drop": ("authorization",), "add": [("authorization", "Bearer token")]}, Reason.INCOMPLETE),
        ({"url": f"http://{HOST}/?X-Amz-Algorithm=AWS4-HMAC-SHA256"}, Reason.INCOMPLETE),
    ],
)
def test_what_was_changed_on_the_way_is_refused(change, reason):
    request = signed(body=b"{}", headers={"X-Amz-Target": "SageMaker.CreateModel"})
    check(received(request), sha256(b"{}"))
    with pytest.raises(RefusedError) as caught:
        check(received(request, **change), sha256(b"{}"))
    assert caught.value.reason is reason


def test_another_body_another_key_and_another_secret_are_refused():
    request = signed(body=b"{}")
    for named, reason in (({"payload_hash": EMPTY}, Reason.MISMATCH), ({"key": "AKIAOTHER"}, Reason.UNKNOWN_KEY)):
        with pytest.raises(RefusedError) as caught:
            check(received(request), **{"payload_hash": sha256(b"{}"), **named})
        assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("minutes", "good"), [(-60, False), (-16, False), (-14, True), (14, True), (16, False), (60, False)]
)
def test_a_clock_may_be_a_quarter_of_an_hour_off(minutes, good):
    now = datetime.now(timezone.utc)
    request = signed(at=now + timedelta(minutes=minutes))
    if good:
        check(received(request), EMPTY, now=now)
        return
    with pytest.raises(RefusedError, match=r"Signature (expired|not yet current): ") as caught:
        check(received(request), EMPTY, now=now)
    assert caught.value.reason is Reason.EXPIRED


def test_a_signature_with_any_characters_is_a_mismatch_not_a_failure():
    request = signed()
    header = request.headers["Authorization"].rpartition("=")[0] + "=é☃".encode().decode("latin-1")
    with pytest.raises(RefusedError) as caught:
        check(received(request, drop=("authorization",), add=[("authorization", header)]), EMPTY)
    assert caught.value.reason in {Reason.MISMATCH, Reason.INCOMPLETE}


@pytest.mark.parametrize(("after", "good"), [(0, True), (50, True), (70, False)])
def test_a_presigned_url_is_good_until_it_expires(after, good):
    url = f"http://{HOST}/bucket/a%20key"
    request = botocore.awsrequest.AWSRequest("GET", url, headers={"Host": HOST})
    botocore.auth.S3SigV4QueryAuth(CREDENTIALS, "s3", "us-west-2", expires=60).add_auth(request)
    asked = received(request)
    now = datetime.now(timezone.utc) + timedelta(seconds=after)
    assert claim_of(asked).payload == UNSIGNED
    if good:
        check(asked, UNSIGNED, now=now)
        with pytest.raises(RefusedError):
            check(received(request, method="PUT"), UNSIGNED, now=now)
    else:
        with pytest.raises(RefusedError) as caught:
            check(asked, UNSIGNED, now=now)
        assert caught.value.reason is Reason.OVER


@pytest.mark.parametrize(
    "change",
    [
        {"X-Amz-Expires": "1" * 5000},
        {"X-Amz-Expires": "-1"},
        {"X-Amz-Expires": "604801"},
        {"X-Amz-Expires": "soon"},
        {"X-Amz-Expires": "\u0663"},
        {"X-Amz-Date": "\u0662\u0660260101T000000Z"},
        {"X-Amz-SignedHeaders": "host;\u2603"},
        {"X-Amz-SignedHeaders": "host;" + "a;" * 5000},
        {"X-Amz-Credential": f"\u2603{KEY}/DAY/us-west-2/s3/aws4_request"},
        {"X-Amz-Credential": f"{KEY}/DAY/\u2603/s3/aws4_request"},
        {"X-Amz-Credential": f"{KEY}/DAY/us-west-2/{'s' * 5000}/aws4_request"},
    ],
)
def test_a_presigned_url_of_odd_characters_or_lengths_is_incomplete(service, change):
    request = botocore.awsrequest.AWSRequest("GET", f"http://{HOST}/bucket/key", headers={"Host": HOST})
    botocore.auth.S3SigV4QueryAuth(CREDENTIALS, "s3", "us-west-2", expires=60).add_auth(request)
    day = dict(parse_qsl(urlsplit(request.url).query))["X-Amz-Date"][:8]
    changed = {name: value.replace("DAY", day) for name, value in change.items()}
    query = urlencode({**dict(parse_qsl(urlsplit(request.url).query)), **changed})
    with pytest.raises(RefusedError) as caught:
        check(received(request, url=f"http://{HOST}/bucket/key?{query}"), UNSIGNED)
    assert caught.value.reason is Reason.INCOMPLETE_QUERY
    connection = http.client.HTTPConnection(service.address["url"].removeprefix("http://"), timeout=60)
    connection.request("GET", f"/bucket/key?{query}")
    response = connection.getresponse()
    assert (response.status, b"AuthorizationQueryParametersError" in response.read()) == (400, True)
    connection.close()


def test_a_body_is_refused_as_soon_as_it_is_too_long():
    from sm_magics.local.protocol.errors import ApiError

    class Endless(Body):
        async def take(self):
            return b"x" * 1000

    request = Request("POST", "/", "", (), Endless(lambda _holding: None))
    with pytest.raises(ApiError) as caught:
        asyncio.run(request.body(5000))
    assert caught.value.status == 413


# Against the service


def send(service, name, *, body=b"", headers=(), tamper=None, path="/", method="POST", key=None, sign_as=None):
    address = service.address
    credentials = botocore.credentials.Credentials(key or address["access_key"], address["secret_key"])
    host = address["url"].removeprefix("http://")
    request = botocore.awsrequest.AWSRequest(
        method, address["url"] + path, data=body, headers={"Host": host, **dict(headers)}
    )
    signer = botocore.auth.S3SigV4Auth if name == "s3" else botocore.auth.SigV4Auth
    signer(credentials, sign_as or name, "us-west-2").add_auth(request)
    sent = dict(request.headers.items())
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request(
        method,
        (tamper or {}).get("path", path),
        (tamper or {}).get("body", body),
        {**sent, **(tamper or {}).get("headers", {})},
    )
    response = connection.getresponse()
    try:
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


JSON = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListModels"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"name": "sagemaker", "body": b"{}", "headers": JSON, "tamper": {"body": b"[]"}}, "InvalidSignatureException"),
        (
            {"name": "sagemaker", "body": b"{}", "headers": JSON,
             "tamper": {"headers": {"X-Amz-Target": "SageMaker.ListEndpoints"}}},
            "InvalidSignatureException",
        ),
        ({"name": "sagemaker", "body": b"{}", "headers": JSON, "key": "AKIA0000"}, "UnrecognizedClientException"),
        ({"name": "logs", "body": b"{}", "headers": JSON, "tamper": {"headers": {"X-Amz-Date": "gone"}}},
         "IncompleteSignatureException"),
        (
            {"name": "sts", "body": b"Action=GetCallerIdentity", "headers": FORM,
             "tamper": {"body": b"Action=GetCallerIdentitx"}},
            "SignatureDoesNotMatch",
        ),
        ({"name": "iam", "body": b"Action=GetRole", "headers": FORM, "key": "AKIA0000"}, "InvalidClientTokenId"),
        ({"name": "s3", "method": "GET", "path": "/a", "tamper": {"path": "/b"}}, "SignatureDoesNotMatch"),
        ({"name": "s3", "method": "GET", "key": "AKIA0000"}, "InvalidAccessKeyId"),
        ({"name": "s3", "method": "PUT", "path": "/bucket/key", "body": b"abc", "tamper": {"body": b"abd"}}, ""),
    ],
)  # fmt: skip
def test_the_service_answers_a_tampered_request_as_each_protocol_does(service, named, code):
    if not code:
        service.upload("tampered", b"")
        named = {**named, "path": "/sagemaker-tests/tampered"}
        status, _, body = send(service, **named)
        assert (status, b"XAmzContentSHA256Mismatch" in body) == (400, True)
        assert service.s3.head_object(Bucket="sagemaker-tests", Key="tampered")["ContentLength"] == 0
        return
    status, headers, body = send(service, **named)
    # To S3, what is malformed is a bad request; what is not believed is forbidden everywhere.
    assert status == (400 if code in {"AuthorizationHeaderMalformed", "InvalidRequest"} else 403)
    assert code in body.decode()
    if named["name"] in {"sagemaker", "logs"}:
        assert headers["x-amzn-errortype"] == code


def test_a_request_goes_where_it_was_signed_for(service):
    _, _, body = send(service, "sagemaker", body=b"{}", headers=JSON)
    assert b"Models" in body
    status, _, body = send(service, "s3", method="GET", headers={"X-Amz-Target": "SageMaker.ListModels"})
    assert (status, b"ListAllMyBucketsResult" in body) == (200, True)


def test_nothing_is_answered_to_who_does_not_sign(service):
    host = service.address["url"].removeprefix("http://")
    for method, path, headers in (
        ("GET", "/", {}),
        ("POST", "/", JSON),
        ("POST", "/endpoints/any/invocations", {}),
        ("GET", "/sagemaker-tests/key", {}),
        ("OPTIONS", "/", {"Origin": "http://evil.example"}),
    ):
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(method, path, b"", headers)
        response = connection.getresponse()
        assert response.status == 403, (method, path)
        response.read()
        connection.close()


@pytest.mark.parametrize("name", ["sagemaker", "logs", "sts", "dynamodb", "monitoring"])
def test_an_operation_that_nobody_implements_is_a_4xx_that_names_it(service, name):
    headers = FORM if name == "sts" else {**JSON, "X-Amz-Target": "Any.Thing"}
    status, _, body = send(service, name, body=b"Action=Thing" if name == "sts" else b"{}", headers=headers)
    assert status == 400
    assert b"Thing" in body
