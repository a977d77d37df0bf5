"""What S3 takes of names, labels and metadata, and what it does not delete."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_service import Service


@pytest.fixture
def s3(service: Service) -> Any:
    return service.s3


@pytest.fixture
def bucket(service: Service) -> Iterator[str]:
    """An empty bucket of the test's own."""
    name = f"limits-{time.time_ns()}"
    service.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": service.address["region"]})
    yield name
    for entry in service.s3.list_objects_v2(Bucket=name).get("Contents", []):
        service.s3.delete_object(Bucket=name, Key=entry["Key"])
    service.s3.delete_bucket(Bucket=name)


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    assert 400 <= error["ResponseMetadata"]["HTTPStatusCode"] < 500
    return error["Error"]["Code"], error["Error"]["Message"]


def labels(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}


def many(count: int) -> list[tuple[str, str]]:
    return [(f"k{number}", "v") for number in range(count)]


def test_of_many_only_those_are_deleted_that_were_meant(s3: Any, bucket: str) -> None:
    etags = {key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"] for key in "abcd"}
    answer = s3.delete_objects(
        Bucket=bucket,
        Delete={
            "Objects": [
                {"Key": "a", "ETag": etags["b"]},
                {"Key": "b", "ETag": etags["b"]},
                {"Key": "c", "VersionId": "another"},
                {"Key": "d", "VersionId": "null"},
                {"Key": "gone", "ETag": etags["a"]},
                {"Key": "never"},
                {"Key": "a", "Size": 1},
            ]
        },
    )
    assert [entry["Key"] for entry in answer["Deleted"]] == ["b", "d", "never"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [
        ("a", "PreconditionFailed"),
        ("c", "NoSuchVersion"),
        ("gone", "NoSuchKey"),
        ("a", "NotImplemented"),
    ]
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a", "c"]
    quiet = s3.delete_objects(
        Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": "a", "ETag": etags["b"]}, {"Key": "c"}]}
    )
    assert "Deleted" not in quiet
    assert [entry["Key"] for entry in quiet["Errors"]] == ["a"]


def test_many_are_deleted_only_if_their_names_are_summed(service: Service, bucket: str) -> None:
    s3 = service.client("s3", request_checksum_calculation="when_required")
    s3.put_object(Bucket=bucket, Key="a", Body=b"")

    def without_sum(request: Any, **_rest: Any) -> None:
        for name in [name for name in request.headers if name.lower().startswith(("content-md5", "x-amz-checksum-"))]:
            del request.headers[name]
        for name in [name for name in request.headers if name.lower() == "x-amz-sdk-checksum-algorithm"]:
            del request.headers[name]

    s3.meta.events.register("before-sign.s3.DeleteObjects", without_sum)
    try:
        assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "a"}]}) == (
            "InvalidRequest",
            "Missing required header for this request: Content-MD5",
        )
    finally:
        s3.meta.events.unregister("before-sign.s3.DeleteObjects", without_sum)
    s3.head_object(Bucket=bucket, Key="a")


def test_a_checksum_that_cannot_be_checked_is_refused(s3: Any, bucket: str) -> None:
    def summed(request: Any, **_rest: Any) -> None:
        for name in [name for name in request.headers if name.lower().startswith("x-amz-")]:
            del request.headers[name]
        request.headers["x-amz-checksum-xxhash64"] = "AAAAAAAAAAA="

    s3.meta.events.register("before-sign.s3.PutObject", summed)
    try:
        code, message = refused(s3.put_object, Bucket=bucket, Key="a", Body=b"abc")
    finally:
        s3.meta.events.unregister("before-sign.s3.PutObject", summed)
    assert code == "NotImplemented"
    assert "x-amz-checksum-xxhash64" in message
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_metadata_have_a_size(s3: Any, bucket: str) -> None:
    named = {"Bucket": bucket, "Key": "a"}
    s3.put_object(**named, Body=b"", Metadata={"k": "v" * 2047})
    for call, more in (
        (s3.put_object, {"Body": b""}),
        (s3.create_multipart_upload, {}),
        (s3.copy_object, {"CopySource": f"{bucket}/a", "MetadataDirective": "REPLACE"}),
    ):
        assert refused(call, **named, **more, Metadata={"k": "v" * 2000, "l": "v" * 47}) == (
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
        )
    assert len(s3.head_object(**named)["Metadata"]["k"]) == 2047


def test_labels_have_a_number_and_a_form(s3: Any, bucket: str) -> None:
    named = {"Bucket": bucket, "Key": "a"}
    s3.put_object(**named, Body=b"", Tagging="&".join(f"{key}={value}" for key, value in many(10)))
    tagging = {"Tagging": labels(*many(11))}
    ten = ("BadRequest", "Object tags cannot be greater than 10")
    assert refused(s3.put_object_tagging, **named, **tagging) == ten
    assert refused(s3.put_object, **named, Tagging="&".join(f"{key}={value}" for key, value in many(11))) == ten
    code, message = refused(s3.put_object, **named, Tagging="a=1&a=2")
    assert code == "InvalidArgument"
    assert "without tag name duplicates" in message
    for key, value, words in (
        ("aws:mine", "v", "System tags"),
        ("k<>", "v", "TagKey"),
        ("k" * 129, "v", "TagKey"),
        ("k", "v#", "TagValue"),
        ("k", "v" * 257, "TagValue"),
    ):
        code, message = refused(s3.put_object_tagging, **named, Tagging=labels((key, value)))
        assert code == "InvalidTag", key
        assert words in message
    s3.put_object_tagging(**named, Tagging=labels(("Ä 1+-=._:/@", "ü" * 256), ("empty", "")))
    s3.put_bucket_tagging(Bucket=bucket, Tagging=labels(*many(50)))
    code, _ = refused(s3.put_bucket_tagging, Bucket=bucket, Tagging=labels(*many(51)))
    assert code == "BadRequest"
    assert len(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == 50


@pytest.mark.parametrize(
    "name",
    [
        "xn--abc",
        "sthree-abc",
        "amzn-s3-demo-abc",
        "abc-s3alias",
        "abc--ol-s3",
        "abc.mrap",
        "abc--table-s3",
    ],
)
def test_names_that_s3_keeps_to_itself_are_refused(service: Service, name: str) -> None:
    where = {"CreateBucketConfiguration": {"LocationConstraint": service.address["region"]}}
    code, _ = refused(service.s3.create_bucket, Bucket=name, **where)
    assert code == "InvalidBucketName"


def test_a_bucket_belongs_to_its_owner_and_is_not_locked(service: Service) -> None:
    where = {"CreateBucketConfiguration": {"LocationConstraint": service.address["region"]}}
    s3, name = service.s3, f"owned-{time.time_ns()}"
    assert (
        refused(s3.create_bucket, Bucket=name, ACL="public-read", **where)[0] == "InvalidBucketAclWithObjectOwnership"
    )
    assert refused(s3.create_bucket, Bucket=name, ObjectLockEnabledForBucket=True, **where)[0] == "NotImplemented"
    s3.create_bucket(Bucket=name, ACL="private", **where)
    rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert refused(s3.get_bucket_policy_status, Bucket=name)[0] == "NoSuchBucketPolicy"
    s3.delete_bucket(Bucket=name)
