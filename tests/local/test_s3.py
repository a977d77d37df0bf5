"""S3 on this machine: what goes in comes out, streaming, and nothing is taken that was not meant."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import re
import resource
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_service import BUCKET

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.s3.blobs import Blobs, Draft
from sm_magics.local.s3.objects import Objects
from sm_magics.local.store import Store

ODD = "a b/ü~(1)+=&@:$!'*,;é%20/../x//y.txt"


@pytest.fixture
def s3(service):
    service.upload("any", b"")
    return service.s3


def code(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def read(s3, key, **arguments) -> bytes:
    with s3.get_object(Bucket=BUCKET, Key=key, **arguments)["Body"] as body:
        return body.read()


@given(
    key=st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(
        lambda key: key.strip("/.")
    ),
    body=st.binary(max_size=200),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_key_and_any_bytes_round_trip(s3, key, body):
    put = s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert read(s3, key) == body
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]
    assert key in [entry["Key"] for entry in listed]
    s3.delete_object(Bucket=BUCKET, Key=key)
    assert code(s3.head_object, Bucket=BUCKET, Key=key) == "404"


def test_an_odd_key_keeps_its_metadata_and_ranges(s3):
    s3.put_object(Bucket=BUCKET, Key=ODD, Body=b"0123456789", ContentType="text/x-odd", Metadata={"made-by": "a  test"})
    head = s3.head_object(Bucket=BUCKET, Key=ODD)
    assert (head["ContentLength"], head["ContentType"]) == (10, "text/x-odd")
    assert head["Metadata"] == {"made-by": "a  test"}
    assert read(s3, ODD, Range="bytes=2-4") == b"234"
    assert read(s3, ODD, Range="bytes=7-") == b"789"
    assert read(s3, ODD, Range="bytes=-2") == b"89"
    assert s3.get_object(Bucket=BUCKET, Key=ODD, Range="bytes=0-99")["ContentRange"] == "bytes 0-9/10"
    assert code(s3.get_object, Bucket=BUCKET, Key=ODD, Range="bytes=10-") == "InvalidRange"
    assert read(s3, ODD, IfMatch=head["ETag"]) == b"0123456789"
    assert code(s3.get_object, Bucket=BUCKET, Key=ODD, IfMatch='"other"') == "PreconditionFailed"
    assert code(s3.put_object, Bucket=BUCKET, Key=ODD, Body=b"", IfNoneMatch="*") == "PreconditionFailed"
    s3.copy_object(Bucket=BUCKET, Key="copied", CopySource={"Bucket": BUCKET, "Key": ODD})
    assert read(s3, "copied") == b"0123456789"
    assert s3.head_object(Bucket=BUCKET, Key="copied")["Metadata"] == {"made-by": "a  test"}


def test_buckets(s3):
    s3.create_bucket(Bucket="another-one", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    assert s3.head_bucket(Bucket="another-one")["BucketRegion"] == "us-west-2"
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert {"another-one", BUCKET} <= set(names)
    again = {"Bucket": "another-one", "CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}
    assert code(s3.create_bucket, **again) == "BucketAlreadyOwnedByYou"
    s3.put_object(Bucket="another-one", Key="k", Body=b"")
    assert code(s3.delete_bucket, Bucket="another-one") == "BucketNotEmpty"
    s3.delete_object(Bucket="another-one", Key="k")
    s3.delete_bucket(Bucket="another-one")
    assert code(s3.head_bucket, Bucket="another-one") == "404"
    assert code(s3.put_object, Bucket="another-one", Key="k", Body=b"") == "NoSuchBucket"
    assert code(s3.get_object, Bucket=BUCKET, Key="not-there") == "NoSuchKey"


def test_listing_pages_and_groups_by_delimiter(s3):
    keys = [f"listed/{folder}/{name}" for folder in "abc" for name in ("1", "2", "3")] + ["listed/top", "listed/ü"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    for size in (1, 2, 3, 100):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix="listed/", PaginationConfig={"PageSize": size}
        )
        assert [entry["Key"] for page in pages for entry in page.get("Contents", [])] == keys
        pages = list(
            s3.get_paginator("list_objects_v2").paginate(
                Bucket=BUCKET, Prefix="listed/", Delimiter="/", PaginationConfig={"PageSize": size}
            )
        )
        prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        assert prefixes == ["listed/a/", "listed/b/", "listed/c/"]
        assert [entry["Key"] for page in pages for entry in page.get("Contents", [])] == ["listed/top", "listed/ü"]
    after = s3.list_objects_v2(Bucket=BUCKET, Prefix="listed/", StartAfter="listed/c/2")["Contents"]
    assert [entry["Key"] for entry in after] == ["listed/c/3", "listed/top", "listed/ü"]
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="nothing")["KeyCount"] == 0
    none = s3.list_objects_v2(Bucket=BUCKET, Prefix="listed/", MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"]) == (0, False)
    assert code(s3.list_objects_v2, Bucket=BUCKET, MaxKeys=-1) == "InvalidArgument"


def test_a_large_file_goes_up_and_down_in_parts_in_flat_memory(service, s3, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    there = set((service.home / "objects").iterdir())
    block = os.urandom(1 << 20)
    with source.open("wb") as file:
        for number in range(96):
            file.write(bytes([number]) + block[1:])
    process = psutil.Process(service.process.pid)
    before = process.memory_info().rss
    s3.upload_file(str(source), BUCKET, "large", Config=TransferConfig(max_concurrency=4))
    s3.download_file(BUCKET, "large", str(target), Config=TransferConfig(max_concurrency=4))
    assert process.memory_info().rss - before < 60 << 20
    assert _digest(target) == _digest(source)
    assert re.fullmatch(r'"[0-9a-f]{32}-12"', s3.head_object(Bucket=BUCKET, Key="large")["ETag"])
    s3.delete_object(Bucket=BUCKET, Key="large")
    assert set((service.home / "objects").iterdir()) <= there, "parts and object are gone from the disk"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_uploads_in_parts_are_checked(s3):
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts", Metadata={"a": "b"})["UploadId"]
    named = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    one = s3.upload_part(**named, PartNumber=1, Body=b"x" * (5 << 20))["ETag"]
    two = s3.upload_part(**named, PartNumber=2, Body=b"two")["ETag"]

    def complete(*parts):
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return {**named, "MultipartUpload": {"Parts": listed}}

    assert code(s3.complete_multipart_upload, **complete((2, two), (1, one))) == "InvalidPartOrder"
    assert code(s3.complete_multipart_upload, **complete((1, two), (2, two))) == "InvalidPart"
    assert code(s3.complete_multipart_upload, **complete((1, one), (3, two))) == "InvalidPart"
    s3.upload_part(**named, PartNumber=1, Body=b"short")
    short = s3.upload_part(**named, PartNumber=1, Body=b"short")["ETag"]
    assert code(s3.complete_multipart_upload, **complete((1, short), (2, two))) == "EntityTooSmall"
    s3.upload_part(**named, PartNumber=1, Body=b"x" * (5 << 20))
    assert code(s3.head_object, Bucket=BUCKET, Key="parts") == "404"
    s3.complete_multipart_upload(**complete((1, one), (2, two)))
    assert read(s3, "parts") == b"x" * (5 << 20) + b"two"
    assert s3.head_object(Bucket=BUCKET, Key="parts")["Metadata"] == {"a": "b"}
    assert code(s3.upload_part, **named, PartNumber=3, Body=b"") == "NoSuchUpload"
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="aborted")["UploadId"]
    s3.abort_multipart_upload(Bucket=BUCKET, Key="aborted", UploadId=upload)
    assert code(s3.abort_multipart_upload, Bucket=BUCKET, Key="aborted", UploadId=upload) == "NoSuchUpload"


def test_a_part_that_is_replaced_while_the_upload_is_completed_is_invalid(service, s3):
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="replaced")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "replaced", "UploadId": upload}
    etag = s3.upload_part(**named, PartNumber=1, Body=b"sent once more")["ETag"]
    # What remains of the part that was read from the table a moment ago.
    (service.home / "objects" / hashlib.sha256(b"sent once more").hexdigest()).unlink()
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert code(s3.complete_multipart_upload, **named, MultipartUpload=parts) == "InvalidPart"
    s3.abort_multipart_upload(**named)


def test_numbers_of_any_length_are_no_failure(service, s3):
    s3.put_object(Bucket=BUCKET, Key="numbers", Body=b"0123")
    assert read(s3, "numbers", Range=f"bytes={'1' * 5000}-") == b"0123", "as S3 does with a range that is none"
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="numbers")["UploadId"]

    def enlarge(params, **_):
        params["url"] = params["url"].replace("partNumber=1", "partNumber=" + "1" * 5000)

    s3.meta.events.register("before-call.s3.UploadPart", enlarge)
    try:
        named = {"Bucket": BUCKET, "Key": "numbers", "UploadId": upload}
        assert code(s3.upload_part, **named, PartNumber=1, Body=b"") == "InvalidArgument"
    finally:
        s3.meta.events.unregister("before-call.s3.UploadPart", enlarge)
    s3.abort_multipart_upload(**named)


def test_uploads_that_were_abandoned_are_gone_at_the_next_start(tmp_path, monkeypatch):
    store = Store(tmp_path / "state.sqlite3")
    store.define("CREATE TABLE uploads (id TEXT PRIMARY KEY, bucket TEXT, key TEXT, headers TEXT) WITHOUT ROWID")
    store.run("INSERT INTO uploads VALUES ('of an earlier version', 'bucket', 'key', '{}')")
    objects = Objects(store, Blobs(tmp_path / "objects"))
    now = time.time()

    def begin(days: float) -> tuple[str, Path]:
        draft = Draft(tmp_path / "objects")
        draft.write(f"{days} days ago".encode())
        blob = draft.finish()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now - days * 86400)
            upload = objects.uploads.begin("bucket", "key", {})
        objects.uploads.put_part(upload, 1, draft, blob)
        return upload, objects.blobs.path(blob.digest)

    old, old_part = begin(8)
    new, new_part = begin(6)
    objects = Objects(store, Blobs(tmp_path / "objects"))
    assert objects.uploads.get(new, "bucket", "key").headers == {}
    for gone in (old, "of an earlier version"):
        with pytest.raises(ApiError, match="upload does not exist"):
            objects.uploads.get(gone, "bucket", "key")
    assert (new_part.exists(), old_part.exists()) == (True, False)
    assert objects.uploads.parts(old) == {}
    store.close()


def test_equal_contents_are_kept_once_and_as_long_as_one_refers_to_them(service, s3):
    body = os.urandom(1000)
    path = service.home / "objects" / hashlib.sha256(body).hexdigest()
    for key in ("same-1", "same-2"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert path.stat().st_size == 1000
    s3.delete_object(Bucket=BUCKET, Key="same-1")
    assert read(s3, "same-2") == body
    s3.put_object(Bucket=BUCKET, Key="same-2", Body=b"something else")
    assert not path.exists()


def test_what_is_not_implemented_is_refused_by_name_and_changes_nothing(s3):
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"kept")
    for call, named in (
        (s3.put_object_retention, {"Retention": {"Mode": "GOVERNANCE"}}),
        (s3.put_object, {"Body": b"", "SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}),
        (s3.put_object, {"Body": b"", "ObjectLockLegalHoldStatus": "ON"}),
        (s3.put_object_acl, {"ACL": "private"}),
    ):
        with pytest.raises(ClientError) as caught:
            call(Bucket=BUCKET, Key="kept", **named)
        assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert read(s3, "kept") == b"kept"


def test_a_wrong_checksum_is_refused(s3):
    wrong = base64.b64encode(b"0" * 16).decode()
    assert code(s3.put_object, Bucket=BUCKET, Key="summed", Body=b"abc", ContentMD5=wrong) == "BadDigest"
    assert code(s3.put_object, Bucket=BUCKET, Key="summed", Body=b"abc", ChecksumCRC32="AAAAAA==") == "BadDigest"
    assert code(s3.head_object, Bucket=BUCKET, Key="summed") == "404"


def test_presigned_urls_work_and_signature_version_2_does_not(service, s3):
    s3.put_object(Bucket=BUCKET, Key=ODD, Body=b"presigned")
    named = {"Params": {"Bucket": BUCKET, "Key": ODD}, "ExpiresIn": 60}
    url = service.client("s3", signature_version="v4").generate_presigned_url("get_object", **named)
    assert ask("GET", url) == (200, b"presigned")
    assert ask("PUT", url)[0] == 403
    old = service.client("s3", signature_version="s3").generate_presigned_url("get_object", **named)
    status, body = ask("GET", old)
    assert status == 400
    assert b"<Code>InvalidRequest</Code>" in body


def ask(method, url) -> tuple[int, bytes]:
    # Not urllib3, which would resolve the dots in the path.
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(method, f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_unsigned_payloads_are_for_s3(service):
    client = service.client("s3", s3={"payload_signing_enabled": False})
    service.upload("any", b"")
    client.put_object(Bucket=BUCKET, Key="unsigned", Body=b"abc")
    assert read(service.s3, "unsigned") == b"abc"


# The file instead of its bytes


@pytest.fixture
def put_file(service):
    service.upload("any", b"")

    def put(key, path, digest, *, body=b""):
        def add(params, **_):
            params["headers"]["x-sm-magics-file"] = quote(str(path))
            params["headers"]["x-sm-magics-sha256"] = digest

        events = service.s3.meta.events
        events.register("before-call.s3.PutObject", add)
        try:
            return service.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        finally:
            events.unregister("before-call.s3.PutObject", add)

    return put


def test_a_file_of_this_machine_is_taken_as_it_is(put_file, s3, tmp_path):
    body = os.urandom(3 << 20)
    path = tmp_path / "ein Modell %41.tar.gz"
    path.write_bytes(body)
    answer = put_file("taken", path, hashlib.sha256(body).hexdigest())
    path.write_bytes(b"changed since")
    head = s3.head_object(Bucket=BUCKET, Key="taken")
    assert head["ETag"] == answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert head["ContentLength"] == len(body)
    assert read(s3, "taken") == body


def test_a_file_that_is_not_the_one_that_was_meant_is_refused(put_file, service, s3, tmp_path):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    os.mkfifo(tmp_path / "pipe")
    for named, expected in (
        ((path, hashlib.sha256(b"abd").hexdigest()), "BadDigest"),
        ((Path("relative.tar.gz"), digest), "InvalidArgument"),
        ((tmp_path / "missing", digest), "InvalidArgument"),
        ((tmp_path, digest), "InvalidArgument"),
        ((tmp_path / "pipe", digest), "InvalidArgument"),
        ((tmp_path / "a\0b", digest), "InvalidArgument"),
    ):
        with pytest.raises(ClientError) as caught:
            put_file("refused", *named)
        assert caught.value.response["Error"]["Code"] == expected, named
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(ClientError):
        put_file("refused", path, digest, body=io.BytesIO(b"a body too"))
    assert code(s3.head_object, Bucket=BUCKET, Key="refused") == "404"
    assert not list((service.home / "objects").glob("draft-*"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are set on Linux only")
def test_a_full_disk_is_said_and_leaves_nothing(own_service):
    own_service.start()
    own_service.upload("small", b"small")
    # No file may grow over a megabyte: to the process it looks as a full disk does.
    resource.prlimit(own_service.process.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    with pytest.raises(ClientError, match="disk of SageMaker on this machine is full") as caught:
        own_service.upload("large", b"x" * (3 << 20))
    assert caught.value.response["Error"]["Code"] == "InsufficientStorage"
    assert code(own_service.s3.head_object, Bucket=BUCKET, Key="large") == "404"
    assert not list((own_service.home / "objects").glob("draft-*"))
    assert read(own_service.s3, "small") == b"small"
