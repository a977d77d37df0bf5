"""Uploads in parts: copied from other objects, listed, summed in both ways, read part by part."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from local_service import BUCKET

FIVE = b"0123456789abcdef" * (5 << 16)


@pytest.fixture(scope="module")
def s3(service):
    service.upload("any", b"")
    service.s3.put_object(Bucket=BUCKET, Key="five", Body=FIVE)
    return service.s3


def refused(call, **arguments) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def begun(s3, key, **settings) -> dict[str, str]:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key, **settings)["UploadId"]
    return {"Bucket": BUCKET, "Key": key, "UploadId": upload}


def crc32(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def test_parts_are_copied_from_ranges_of_other_objects(s3):
    named = begun(s3, "joined")
    source = {"Bucket": BUCKET, "Key": "five"}
    etags = [
        s3.upload_part_copy(**named, PartNumber=1, CopySource=source)["CopyPartResult"]["ETag"],
        s3.upload_part_copy(**named, PartNumber=2, CopySource=source, CopySourceRange="bytes=3-12")["CopyPartResult"][
            "ETag"
        ],
    ]
    for span in ("bytes=5-3", "bytes=0-99999999", "bytes=3-", "3-4"):
        bad = {**named, "PartNumber": 3, "CopySource": source, "CopySourceRange": span}
        assert refused(s3.upload_part_copy, **bad) == ("InvalidArgument", 400), span
    condition = {**named, "PartNumber": 3, "CopySource": source, "CopySourceIfMatch": '"other"'}
    assert refused(s3.upload_part_copy, **condition) == ("PreconditionFailed", 412)
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    with s3.get_object(Bucket=BUCKET, Key="joined")["Body"] as body:
        assert body.read() == FIVE + FIVE[3:13]


def test_the_transfer_manager_copies_a_large_object_in_parts(s3):
    small = TransferConfig(multipart_threshold=1 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(Fileobj=open_bytes(FIVE * 2 + b"end"), Bucket=BUCKET, Key="large", Config=small)
    s3.copy({"Bucket": BUCKET, "Key": "large"}, BUCKET, "large copy", Config=small)
    for key in ("large", "large copy"):
        head = s3.head_object(Bucket=BUCKET, Key=key)
        assert (head["ContentLength"], head["ETag"][-3:]) == (len(FIVE) * 2 + 3, '-3"')
        with s3.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
            assert hashlib.md5(body.read()).digest() == hashlib.md5(FIVE * 2 + b"end").digest()
        second = s3.get_object(Bucket=BUCKET, Key=key, PartNumber=2)
        assert (second["PartsCount"], second["ContentLength"]) == (3, 5 << 20)
        assert second["ContentRange"] == f"bytes {5 << 20}-{(10 << 20) - 1}/{len(FIVE) * 2 + 3}"
        second["Body"].close()
        assert refused(s3.head_object, Bucket=BUCKET, Key=key, PartNumber=4) == ("416", 416)
        parts = s3.get_object_attributes(Bucket=BUCKET, Key=key, ObjectAttributes=["ObjectParts"])["ObjectParts"]
        assert parts["TotalPartsCount"] == 3
    # One that came whole is one part.
    assert s3.head_object(Bucket=BUCKET, Key="five", PartNumber=1)["ContentLength"] == len(FIVE)
    # A copy in one piece is one object, with its own MD5.
    copied = s3.copy_object(Bucket=BUCKET, Key="whole", CopySource={"Bucket": BUCKET, "Key": "large"})
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(FIVE * 2 + b"end").hexdigest()}"'


def open_bytes(body: bytes):
    import io

    return io.BytesIO(body)


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
def test_checksums_of_parts_become_that_of_the_object(s3, kind):
    named = begun(s3, "summed in parts", ChecksumAlgorithm="CRC32", ChecksumType=kind)
    parts = []
    for number, body in enumerate((FIVE, b"end"), 1):
        part = s3.upload_part(**named, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        assert part["ChecksumCRC32"] == encoded(crc32(body))
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    expected = (
        encoded(crc32(FIVE + b"end")) if kind == "FULL_OBJECT" else f"{encoded(crc32(crc32(FIVE) + crc32(b'end')))}-2"
    )
    wrong = [{**parts[0], "ChecksumCRC32": "AAAAAA=="}, parts[1]]
    assert refused(s3.complete_multipart_upload, **named, MultipartUpload={"Parts": wrong}) == ("InvalidPart", 400)
    finish = {**named, "MultipartUpload": {"Parts": parts}, "ChecksumType": kind}
    assert refused(s3.complete_multipart_upload, **finish, ChecksumCRC32="AAAAAA==") == ("BadDigest", 400)
    assert refused(s3.complete_multipart_upload, **finish, MpuObjectSize=1) == ("InvalidRequest", 400)
    done = s3.complete_multipart_upload(**finish, MpuObjectSize=len(FIVE) + 3, ChecksumCRC32=expected)
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (expected, kind)
    head = s3.head_object(Bucket=BUCKET, Key="summed in parts", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (expected, kind)
    with s3.get_object(Bucket=BUCKET, Key="summed in parts", ChecksumMode="ENABLED")["Body"] as body:
        assert body.read() == FIVE + b"end"


def test_algorithms_and_types_that_do_not_go_together_are_refused(s3):
    for algorithm, kind in (("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")):
        assert refused(
            s3.create_multipart_upload, Bucket=BUCKET, Key="no", ChecksumAlgorithm=algorithm, ChecksumType=kind
        ) == ("InvalidRequest", 400)


def test_parts_are_listed(s3):
    named = begun(s3, "listed parts", ChecksumAlgorithm="SHA256")
    for number in (1, 2, 5):
        s3.upload_part(**named, PartNumber=number, Body=b"part" * number)
    pages = list(s3.get_paginator("list_parts").paginate(**named, PaginationConfig={"PageSize": 2}))
    assert len(pages) == 2
    found = [part for page in pages for part in page["Parts"]]
    assert [(part["PartNumber"], part["Size"]) for part in found] == [(1, 4), (2, 8), (5, 20)]
    assert found[0]["ChecksumSHA256"] == encoded(hashlib.sha256(b"part").digest())
    assert (pages[0]["ChecksumAlgorithm"], pages[0]["ChecksumType"]) == ("SHA256", "COMPOSITE")
    s3.abort_multipart_upload(**named)
    assert refused(s3.list_parts, **named) == ("NoSuchUpload", 404)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_uploads_are_listed(s3, size):
    made = [begun(s3, key) for key in ("up/a", "up/b/1", "up/b/1", "up/b/2", "up/c &+ü")]

    def listed(**arguments):
        pages = list(
            s3.get_paginator("list_multipart_uploads").paginate(
                Bucket=BUCKET, Prefix="up/", PaginationConfig={"PageSize": size}, **arguments
            )
        )
        uploads = [upload for page in pages for upload in page.get("Uploads", [])]
        prefixes = [prefix["Prefix"] for page in pages for prefix in page.get("CommonPrefixes", [])]
        return [(upload["Key"], upload["UploadId"]) for upload in uploads], prefixes

    try:
        assert listed() == ([(named["Key"], named["UploadId"]) for named in made], [])
        grouped = [(named["Key"], named["UploadId"]) for named in (made[0], made[4])]
        assert listed(Delimiter="/") == (grouped, ["up/b/"])
    finally:
        for named in made:
            s3.abort_multipart_upload(**named)
    assert listed() == ([], [])
