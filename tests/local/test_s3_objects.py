"""What S3 on this machine says about single objects: conditions, checksums, copies, labels, owners."""

from __future__ import annotations

import base64
import hashlib
import zlib
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from local_service import BUCKET

KEY = "conditional"


@pytest.fixture(scope="module")
def s3(service):
    service.upload("any", b"")
    return service.s3


@pytest.fixture
def head(s3):
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"0123456789")
    return s3.head_object(Bucket=BUCKET, Key=KEY)


def refused(call, **arguments) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def read(s3, key, **arguments) -> bytes:
    with s3.get_object(Bucket=BUCKET, Key=key, **arguments)["Body"] as body:
        return body.read()


def test_reading_depends_on_conditions_in_the_order_of_the_rfc(s3, head):
    named = {"Bucket": BUCKET, "Key": KEY}
    etag, modified = head["ETag"], head["LastModified"]
    before, after = modified - timedelta(hours=1), modified + timedelta(hours=1)
    for call in (s3.get_object, s3.head_object):
        for good in (
            {"IfMatch": etag},
            {"IfMatch": "*"},
            {"IfMatch": f'"other", {etag}'},
            {"IfNoneMatch": '"other"'},
            {"IfModifiedSince": before},
            {"IfUnmodifiedSince": modified},
            {"IfMatch": etag, "IfUnmodifiedSince": before},
            {"IfNoneMatch": '"other"', "IfModifiedSince": after},
        ):
            answer = call(**named, **good)
            assert answer["ContentLength"] == 10, good
            if "Body" in answer:
                answer["Body"].close()
        for same in ({"IfNoneMatch": etag}, {"IfModifiedSince": modified}, {"IfNoneMatch": "*"}):
            assert refused(call, **named, **same) == ("304", 304), same
        for other in ({"IfMatch": '"other"'}, {"IfUnmodifiedSince": before}):
            expected = "PreconditionFailed" if call == s3.get_object else "412"
            assert refused(call, **named, **other) == (expected, 412), other
    assert refused(s3.get_object, **named, Range="bytes=10-20") == ("InvalidRange", 416)


def test_writing_depends_on_conditions(s3, head):
    named = {"Bucket": BUCKET, "Key": KEY}
    assert refused(s3.put_object, **named, Body=b"", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, **named, Body=b"", IfMatch='"other"') == ("PreconditionFailed", 412)
    assert refused(s3.put_object, **{**named, "Key": "none"}, Body=b"", IfMatch='"a"') == ("NoSuchKey", 404)
    s3.put_object(**named, Body=b"new", IfMatch=head["ETag"])
    assert read(s3, KEY) == b"new"
    if "IfMatch" in s3.meta.service_model.operation_model("DeleteObject").input_shape.members:  # not in boto3 1.37
        assert refused(s3.delete_object, **named, IfMatch=head["ETag"]) == ("PreconditionFailed", 412)
    s3.delete_object(**named)
    s3.delete_object(**named)
    s3.put_object(**named, Body=b"first", IfNoneMatch="*")
    upload = s3.create_multipart_upload(**named)["UploadId"]
    etag = s3.upload_part(**named, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    finish = {**named, "UploadId": upload, "MultipartUpload": parts}
    assert refused(s3.complete_multipart_upload, **finish, IfNoneMatch="*") == ("PreconditionFailed", 412)
    s3.complete_multipart_upload(**finish)
    assert read(s3, KEY) == b"part"


def sums(body: bytes) -> dict[str, str]:
    return {
        "CRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
        "SHA1": base64.b64encode(hashlib.sha1(body).digest()).decode(),
        "SHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }


def test_checksums_are_compared_kept_and_given_back(service, s3):
    body = b"123456789"
    # The check values of the catalogue of parametrised CRC algorithms.
    check = {
        "CRC32C": base64.b64encode(bytes.fromhex("e3069283")).decode(),
        "CRC64NVME": base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode(),
    }
    for algorithm, value in {**sums(body), **check}.items():
        put = s3.put_object(Bucket=BUCKET, Key="checked", Body=body, **{f"Checksum{algorithm}": value})
        assert put[f"Checksum{algorithm}"] == value
        assert put["ChecksumType"] == "FULL_OBJECT"
        head = s3.head_object(Bucket=BUCKET, Key="checked", ChecksumMode="ENABLED")
        assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (value, "FULL_OBJECT")
        found = s3.get_object(Bucket=BUCKET, Key="checked", ChecksumMode="ENABLED")
        with found["Body"] as stream:
            assert stream.read() == body
        assert found[f"Checksum{algorithm}"] == value
        assert f"Checksum{algorithm}" not in s3.get_object(
            Bucket=BUCKET, Key="checked", ChecksumMode="ENABLED", Range="bytes=1-2"
        )
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="checked")["Contents"][0]
        assert listed["ChecksumAlgorithm"] == [algorithm]
        wrong = value.replace(value[0], "A" if value[0] != "A" else "B", 1)
        bad = {"Bucket": BUCKET, "Key": "bad", "Body": body}
        assert refused(s3.put_object, **bad, **{f"Checksum{algorithm}": wrong}) == ("BadDigest", 400)
        assert refused(s3.put_object, **bad, **{f"Checksum{algorithm}": "AAAA"}) == ("InvalidRequest", 400)
    plain = service.client("s3", request_checksum_calculation="when_required")
    put = plain.put_object(Bucket=BUCKET, Key="checked", Body=body)
    assert put["ChecksumCRC64NVME"] == check["CRC64NVME"], "what S3 computes by itself"
    assert refused(s3.put_object, Bucket=BUCKET, Key="bad", Body=body, ContentMD5="AAAA") == ("InvalidDigest", 400)
    two = {"ChecksumSHA1": sums(body)["SHA1"], "ChecksumSHA256": sums(body)["SHA256"]}
    assert refused(s3.put_object, Bucket=BUCKET, Key="bad", Body=body, **two) == ("InvalidRequest", 400)
    assert refused(s3.head_object, Bucket=BUCKET, Key="bad") == ("404", 404)


def test_attributes_are_those_that_were_asked_for(s3):
    s3.put_object(Bucket=BUCKET, Key="attributed", Body=b"abc", ChecksumAlgorithm="SHA256")
    found = s3.get_object_attributes(
        Bucket=BUCKET, Key="attributed", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"]
    )
    assert found["Checksum"]["ChecksumSHA256"] == sums(b"abc")["SHA256"]
    assert (found["ObjectSize"], found["StorageClass"]) == (3, "STANDARD")
    assert found["ETag"] == hashlib.md5(b"abc").hexdigest()
    named = {"Bucket": BUCKET, "Key": "attributed"}
    assert refused(s3.get_object_attributes, **named, ObjectAttributes=["Colour"]) == ("InvalidArgument", 400)


def test_headers_of_the_content_come_back_and_a_presigned_url_may_replace_them(s3):
    headers = {
        "ContentType": "text/csv",
        "ContentDisposition": 'attachment; filename="a.csv"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "CacheControl": "no-cache",
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/mine",
    }
    put = s3.put_object(Bucket=BUCKET, Key="headed", Body=b"a", Metadata={"one": "1"}, **headers)
    assert put["SSEKMSKeyId"] == "alias/mine"
    head = s3.head_object(Bucket=BUCKET, Key="headed")
    assert {name: head[name] for name in headers} == headers
    assert head["Metadata"] == {"one": "1"}
    other = s3.get_object(Bucket=BUCKET, Key="headed", ResponseContentType="text/plain")
    assert (other["ContentType"], other["ContentLanguage"]) == ("text/plain", "de")
    plain = s3.put_object(Bucket=BUCKET, Key="headed", Body=b"a", StorageClass="STANDARD")
    assert "StorageClass" not in s3.head_object(Bucket=BUCKET, Key="headed")
    assert "SSEKMSKeyId" not in plain
    assert s3.head_object(Bucket=BUCKET, Key="headed")["ContentType"] == "binary/octet-stream"


def test_copies_keep_or_replace_what_belongs_to_the_object(s3):
    source = {"Bucket": BUCKET, "Key": "copy/from +%ü"}
    s3.put_object(**source, Body=b"abc", Metadata={"a": "1"}, Tagging="t=1", ContentType="text/plain")
    modified = s3.head_object(**source)["LastModified"]
    named = {"Bucket": BUCKET, "Key": "copy/to", "CopySource": source}
    copied = s3.copy_object(**named)["CopyObjectResult"]
    assert copied["ETag"] == f'"{hashlib.md5(b"abc").hexdigest()}"'
    head = s3.head_object(Bucket=BUCKET, Key="copy/to")
    assert (head["Metadata"], head["ContentType"]) == ({"a": "1"}, "text/plain")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="copy/to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(
        **named, Metadata={"b": "2"}, MetadataDirective="REPLACE", Tagging="", TaggingDirective="REPLACE",
        ChecksumAlgorithm="SHA256",
    )  # fmt: skip
    head = s3.head_object(Bucket=BUCKET, Key="copy/to", ChecksumMode="ENABLED")
    assert (head["Metadata"], head["ContentType"]) == ({"b": "2"}, "binary/octet-stream")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="copy/to")["TagSet"] == []
    assert head["ChecksumSHA256"] == sums(b"abc")["SHA256"]
    itself = {**source, "CopySource": source}
    assert refused(s3.copy_object, **itself) == ("InvalidRequest", 400)
    s3.copy_object(**itself, Metadata={"c": "3"}, MetadataDirective="REPLACE")
    assert s3.head_object(**source)["Metadata"] == {"c": "3"}
    assert read(s3, source["Key"]) == b"abc"
    for condition in (
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": head["ETag"]},
        {"CopySourceIfUnmodifiedSince": modified - timedelta(hours=1)},
        {"CopySourceIfModifiedSince": modified + timedelta(hours=1)},
    ):
        assert refused(s3.copy_object, **named, **condition) == ("PreconditionFailed", 412), condition
    missing = {**named, "CopySource": {"Bucket": BUCKET, "Key": "copy/none"}}
    assert refused(s3.copy_object, **missing) == ("NoSuchKey", 404)
    nowhere = {**named, "CopySource": {"Bucket": "no-such-bucket", "Key": "a"}}
    assert refused(s3.copy_object, **nowhere) == ("NoSuchBucket", 404)


def test_objects_and_buckets_have_labels(s3):
    named = {"Bucket": BUCKET, "Key": "labelled"}
    s3.put_object(**named, Body=b"", Tagging="team=a%20b&empty=")
    assert s3.get_object_tagging(**named)["TagSet"] == [
        {"Key": "team", "Value": "a b"},
        {"Key": "empty", "Value": ""},
    ]
    s3.put_object_tagging(**named, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert s3.get_object_tagging(**named)["TagSet"] == [{"Key": "k", "Value": "v"}]
    s3.delete_object_tagging(**named)
    assert s3.get_object_tagging(**named)["TagSet"] == []
    twice = {"TagSet": [{"Key": "k", "Value": "v"}] * 2}
    assert refused(s3.put_object_tagging, **named, Tagging=twice) == ("InvalidTag", 400)
    assert refused(s3.get_bucket_tagging, Bucket=BUCKET) == ("NoSuchTagSet", 404)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == [{"Key": "k", "Value": "v"}]
    s3.delete_bucket_tagging(Bucket=BUCKET)
    assert refused(s3.get_bucket_tagging, Bucket=BUCKET) == ("NoSuchTagSet", 404)


def test_another_owner_than_expected_is_denied(service, s3):
    owner = service.address["account"]
    s3.put_object(Bucket=BUCKET, Key="owned", Body=b"", ExpectedBucketOwner=owner)
    s3.head_bucket(Bucket=BUCKET, ExpectedBucketOwner=owner)
    other = {"Bucket": BUCKET, "ExpectedBucketOwner": "999999999999"}
    assert refused(s3.head_bucket, **other) == ("403", 403)
    assert refused(s3.put_object, **other, Key="owned", Body=b"x") == ("AccessDenied", 403)
    assert refused(s3.get_object, **other, Key="owned") == ("AccessDenied", 403)
    assert refused(s3.list_objects_v2, **other) == ("AccessDenied", 403)
    copy = {"Bucket": BUCKET, "Key": "owned", "CopySource": {"Bucket": BUCKET, "Key": "any"}}
    assert refused(s3.copy_object, **copy, ExpectedSourceBucketOwner="999999999999") == ("AccessDenied", 403)


def test_versions_are_the_current_ones(s3):
    s3.put_object(Bucket=BUCKET, Key="versions/a", Body=b"1")
    listed = s3.list_object_versions(Bucket=BUCKET, Prefix="versions/")["Versions"]
    assert [(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in listed] == [("versions/a", "null", True)]
    assert read(s3, "versions/a", VersionId="null") == b"1"
    other = {"Bucket": BUCKET, "Key": "versions/a", "VersionId": "abc"}
    assert refused(s3.get_object, **other) == ("NoSuchVersion", 404)
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)


def test_what_was_never_set_for_a_bucket_is_said_as_s3_says_it(s3):
    for call, code in (
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_public_access_block, "NoSuchPublicAccessBlockConfiguration"),
    ):
        assert refused(call, Bucket=BUCKET) == (code, 404)
        assert refused(call, Bucket="no-such-bucket") == ("NoSuchBucket", 404)
    grant = s3.get_bucket_acl(Bucket=BUCKET)["Grants"][0]
    assert (grant["Permission"], grant["Grantee"]["Type"]) == ("FULL_CONTROL", "CanonicalUser")
    assert s3.get_object_acl(Bucket=BUCKET, Key="any")["Owner"] == s3.get_bucket_acl(Bucket=BUCKET)["Owner"]
    public = {"Bucket": BUCKET, "Key": "public", "Body": b""}
    assert refused(s3.put_object, **public, ACL="public-read") == ("AccessControlListNotSupported", 400)
    s3.put_object(**public, ACL="bucket-owner-full-control")
    policy = {"Bucket": BUCKET, "Policy": "{}"}
    assert refused(s3.put_bucket_policy, **policy) == ("NotImplemented", 400)


def test_a_bucket_is_made_where_the_client_says_it_is(service, s3):
    assert refused(s3.create_bucket, Bucket="nowhere-said") == ("IllegalLocationConstraintException", 400)
    elsewhere = {"LocationConstraint": "eu-west-1"}
    assert refused(s3.create_bucket, Bucket="elsewhere", CreateBucketConfiguration=elsewhere) == (
        "IllegalLocationConstraintException",
        400,
    )
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == "us-west-2"
    here = {"LocationConstraint": "us-west-2"}
    for bad in ("Upper", "a_b", "127.0.0.1"):
        # botocore itself refuses other names.
        assert refused(s3.create_bucket, Bucket=bad, CreateBucketConfiguration=here) == ("InvalidBucketName", 400)


def test_a_key_has_a_length(s3):
    s3.put_object(Bucket=BUCKET, Key="ü" * 512, Body=b"long")
    assert read(s3, "ü" * 512) == b"long"
    assert refused(s3.put_object, Bucket=BUCKET, Key="ü" * 513, Body=b"") == ("KeyTooLongError", 400)


def test_a_refused_body_leaves_nothing_behind_on_the_connection(service, s3):
    other = {"Bucket": BUCKET, "Key": "refused", "ExpectedBucketOwner": "999999999999"}
    # As other clients do, which wait for nothing before they send.
    eager = service.client("s3", user_agent_extra="eager")

    def hurry(request, **_):
        del request.headers["Expect"]

    eager.meta.events.register("before-send.s3.PutObject", hurry)
    for client in (s3, eager):
        for body in (b"GET / HTTP/1.1\r\n\r\n", b"x" * (3 << 20)):
            assert refused(client.put_object, **other, Body=body) == ("AccessDenied", 403)
            assert read(client, "any") == b""
