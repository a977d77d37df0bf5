"""Model data goes to S3 once, whole or not at all, and what broke off goes on."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from faulty import Faults, Wire, broken, denied, lost, refused

from sm_magics import errors
from sm_magics.hosting import artifacts, connect, connection, unfinished, uploading
from sm_magics.packaging import Package
from sm_magics.packaging.archive import Member, new_archive
from sm_magics.packaging.tar.tail import read_index

PART = uploading.PART


@pytest.fixture(autouse=True)
def own_records(monkeypatch, tmp_path):
    """Records of this test alone; the service's own directory is shared."""
    directory = tmp_path / "uploads"
    directory.mkdir()
    monkeypatch.setattr(unfinished, "_directory", lambda: directory)
    return directory


@pytest.fixture
def bucket(as_aws):
    """A bucket that is gone, with all that was left in it, when the test ends."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    s3 = connect(as_aws).session.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": as_aws.region})
    yield name
    for found in s3.list_objects_v2(Bucket=name).get("Contents", ()):
        s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def aws(as_aws, bucket):
    """A connection whose bucket is the test's own."""
    return connect(as_aws.override(bucket=bucket))


@pytest.fixture
def faults(aws):
    return Faults(aws.session)


@pytest.fixture
def heavy(tmp_path):
    """Make a package of one request, or of three parts; its weights are noise."""

    def make(seed: int = 0, weights: int = 2 * PART) -> Package:
        content = _archive(seed, weights)
        path = tmp_path / f"{seed}-{weights}" / "model.tar.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return Package.open(path)

    return make


def _archive(seed: int, weights: int) -> bytes:
    buffer = io.BytesIO()
    zipped = gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=0)
    with zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        member = tarfile.TarInfo("model.pth")
        member.size = weights
        tar.addfile(member, io.BytesIO(_noise(seed, weights)))
    return buffer.getvalue()


def _noise(seed: int, size: int) -> bytes:
    block = hashlib.shake_256(str(seed).encode()).digest(1 << 16)
    return (block * (size // len(block) + 1))[:size]


@pytest.fixture
def send(aws):
    """Send bytes to a place of their own, as they are; return what is there then."""

    def run(path: Path, **more: Any) -> bytes:
        target = uploading.Target(aws.bucket, "sm_magics/other/model.tar.gz", aws.account)
        uploading.send(
            path, path.stat().st_size, target, aws, **{"counted": lambda _: None, "confirm": lambda: None, **more}
        )
        answer = aws.client("s3").get_object(Bucket=aws.bucket, Key=target.key)
        return answer["Body"].read()

    return run


def stored(package, place) -> bytes | None:
    bucket, key = artifacts.split(artifacts.location(package, place))
    s3 = place.client("s3")
    if not s3.list_objects_v2(Bucket=bucket, Prefix=key).get("KeyCount"):
        return None
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def under_way(place) -> list[str]:
    """Return the uploads that S3 holds parts of."""
    listed = place.client("s3").list_multipart_uploads(Bucket=place.bucket)
    return [upload["UploadId"] for upload in listed.get("Uploads", ())]


@pytest.mark.parametrize("weights", [1000, 2 * PART])
def test_what_is_sent_is_what_is_there_and_it_is_sent_once(aws, faults, heavy, weights):
    package, seen = heavy(weights=weights), []
    assert artifacts.upload(package, aws, seen.append)
    assert stored(package, aws) == package.path.read_bytes()
    assert [event.done for event in seen][-1] == package.size
    assert all(event.done <= event.total == package.size for event in seen)
    faults.none()
    assert not artifacts.upload(package, aws)
    assert faults.calls == ["HeadObject"]
    assert under_way(aws) == []
    assert unfinished.listed() == []


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1])
def test_a_file_of_any_size_is_sent_whole(send, faults, tmp_path, size):
    path, counts = tmp_path / "file", []
    path.write_bytes(_noise(0, size))
    assert send(path, counted=counts.append) == path.read_bytes()
    assert counts[-1] == size
    assert faults.calls.count("UploadPart") == (0 if size <= PART else -(-size // PART))
    assert faults.calls.count("PutObject") == (size <= PART)


def test_every_request_says_whose_bucket_it_has_to_be(aws, heavy):
    owners = []
    events = aws.client("s3").meta.events
    events.register("before-call.s3", lambda params, **_: owners.append(params["headers"]))
    artifacts.upload(heavy(), aws)
    assert len(owners) == 6
    assert {headers.get("x-amz-expected-bucket-owner") for headers in owners} == {aws.account}


def test_each_part_carries_its_checksum(aws, heavy):
    sums = []
    events = aws.client("s3").meta.events
    events.register("before-call.s3.UploadPart", lambda params, **_: sums.append(params["headers"]))
    package = heavy()
    artifacts.upload(package, aws)
    assert all(headers["x-amz-checksum-sha256"] for headers in sums)
    bucket, key = artifacts.split(artifacts.location(package, aws))
    head = aws.client("s3").head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"].endswith("-3")


@pytest.mark.parametrize("weights", [1000, 2 * PART])
def test_the_key_that_encrypts_is_named_when_the_object_is_made(as_aws, aws, heavy, weights):
    key, asked = "arn:aws:kms:us-west-2:123456789012:key/1", {}
    place = connect(aws.settings.override(kms_key=key))
    for operation in ("PutObject", "CreateMultipartUpload"):
        place.client("s3").meta.events.register(
            f"before-call.s3.{operation}", lambda params, **_: asked.update(params["headers"])
        )
    artifacts.upload(heavy(weights=weights), place)
    assert asked["x-amz-server-side-encryption"] == "aws:kms"
    assert asked["x-amz-server-side-encryption-aws-kms-key-id"] == key


@pytest.mark.parametrize(
    "fault",
    [broken, refused("SlowDown", "Please reduce your request rate.", 503), refused("InternalError", "", 500)],
    ids=["reset", "slow down", "server error"],
)
@pytest.mark.usefixtures("patient")
def test_what_passes_is_tried_again_at_once(aws, faults, heavy, fault):
    for operation in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
        faults.once(operation, fault, fault)
    package, seen = heavy(), []
    assert artifacts.upload(package, aws, seen.append)
    assert stored(package, aws) == package.path.read_bytes()
    assert seen[-1].done == package.size
    assert faults.calls.count("UploadPart") == 5


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (broken, errors.ServiceUnavailable),
        (refused("SlowDown", "Please reduce your request rate.", 503), errors.Throttled),
        (refused("InternalError", "We encountered an internal error.", 500), errors.BackendError),
        (refused("ExpiredToken", "The provided token has expired."), errors.AccessDenied),
        (denied, errors.AccessDenied),
    ],
    ids=["reset", "slow down", "server error", "expired", "denied"],
)
def test_what_broke_off_goes_on_and_what_has_arrived_is_not_sent_again(aws, faults, heavy, fault, kind):
    package, may_list = heavy(), kind is not errors.AccessDenied  # the record alone will do, too
    faults.once("CompleteMultipartUpload", fault)
    with pytest.raises(kind):
        artifacts.upload(package, aws)
    assert stored(package, aws) is None
    assert [started.upload_id for started in unfinished.listed()] == under_way(aws)
    faults.none()
    if not may_list:
        faults.always("ListParts", denied)
    assert artifacts.upload(package, aws)
    assert faults.calls == ["HeadObject", "ListParts", "CompleteMultipartUpload"]
    assert stored(package, aws) == package.path.read_bytes()
    assert under_way(aws) == []
    assert unfinished.listed() == []


@pytest.mark.usefixtures("patient")
def test_a_connection_that_is_reset_in_the_middle_of_a_part_is_made_again(as_aws, bucket, heavy, monkeypatch):
    wire = Wire(os.environ["AWS_ENDPOINT_URL"])
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        monkeypatch.setattr(connection, "_aws", {})
        aws = connect(as_aws.override(bucket=bucket))
        _ = aws.account, aws.client("s3")
        wire.reset_after(PART // 2)
        package = heavy()
        assert artifacts.upload(package, aws)
        assert wire.resets == 1
        assert stored(package, aws) == package.path.read_bytes()
    finally:
        wire.close()


def test_parts_of_other_bytes_are_sent_again(send, faults, tmp_path):
    """The key says what the archive holds, and two archives may hold the same in different bytes."""
    path, content = tmp_path / "file", bytearray(_noise(0, 3 * PART))
    path.write_bytes(content)
    faults.once("CompleteMultipartUpload", broken)
    with pytest.raises(errors.ServiceUnavailable):
        send(path)
    faults.none()
    content[PART] ^= 1
    path.write_bytes(content)
    assert send(path) == bytes(content)
    assert faults.calls.count("UploadPart") == 1


def test_an_upload_that_s3_has_forgotten_begins_anew(aws, faults, heavy):
    package = heavy()
    for may_list in (True, False):
        faults.once("CompleteMultipartUpload", broken)
        with pytest.raises(errors.ServiceUnavailable):
            artifacts.upload(package, aws)
        (started,) = unfinished.listed()
        aws.client("s3").abort_multipart_upload(Bucket=aws.bucket, Key=started.key, UploadId=started.upload_id)
        faults.none()
        if not may_list:
            faults.always("ListParts", denied)
        assert artifacts.upload(package, aws)
        assert stored(package, aws) == package.path.read_bytes()
        assert unfinished.listed() == []
        aws.client("s3").delete_object(Bucket=aws.bucket, Key=started.key)


@pytest.mark.usefixtures("patient")
def test_an_answer_that_was_lost_is_no_failure(aws, faults, heavy):
    """Each request was served, its answer did not get here: CompleteMultipartUpload knows no such upload then."""
    package = heavy()
    for operation in ("UploadPart", "CompleteMultipartUpload"):
        faults.once(operation, lost)
    assert artifacts.upload(package, aws)
    assert faults.calls.count("CompleteMultipartUpload") == 2
    assert stored(package, aws) == package.path.read_bytes()
    assert unfinished.listed() == []


@pytest.mark.parametrize("weights", [1000, 2 * PART])
def test_an_archive_that_changes_while_it_is_sent_comes_to_nothing(aws, faults, heavy, weights):
    package = heavy(weights=weights)
    package.path.write_bytes(_archive(1, weights))
    with pytest.raises(errors.PackagingError, match="not the one that was packaged"):
        artifacts.upload(package, aws)
    assert stored(package, aws) is None
    assert under_way(aws) == []
    assert unfinished.listed() == []


def test_an_archive_that_shrinks_or_goes_is_not_sent(aws, heavy):
    package = heavy()
    package.path.write_bytes(b"short")
    with pytest.raises(errors.PackagingError, match="not the one"):
        artifacts.upload(package, aws)
    package.path.unlink()
    with pytest.raises(errors.PackagingError, match="is gone"):
        artifacts.upload(package, aws)
    assert under_way(aws) == []


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart", "CompleteMultipartUpload"])
def test_an_interrupt_leaves_nothing(aws, faults, heavy, operation):
    package = heavy(weights=1000 if operation == "PutObject" else 2 * PART)

    def interrupt(_event):
        if operation in faults.calls:
            raise KeyboardInterrupt

    if operation == "CompleteMultipartUpload":
        faults.once(operation, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(errors.Interrupted, match="nothing half-made is left"):
        artifacts.upload(package, aws, interrupt)
    assert under_way(aws) == []
    assert unfinished.listed() == []
    assert stored(package, aws) in {None, package.path.read_bytes()}
    faults.none()
    artifacts.upload(package, aws)
    assert stored(package, aws) == package.path.read_bytes()


def test_an_interrupt_without_a_network_says_that_something_is_left_and_the_next_time_goes_on(aws, faults, heavy):
    package = heavy()
    faults.once("CompleteMultipartUpload", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    faults.always("AbortMultipartUpload", broken)
    with pytest.raises(errors.Interrupted, match="could not be told"):
        artifacts.upload(package, aws)
    assert [started.upload_id for started in unfinished.listed()] == under_way(aws)
    faults.none()
    assert artifacts.upload(package, aws)
    assert "UploadPart" not in faults.calls
    assert under_way(aws) == []


def test_two_at_once_do_not_take_each_others_upload(aws, faults, heavy):
    package, outcomes, once = heavy(), [], threading.Event()

    def second(*_):
        if not once.is_set():
            once.set()
            outcomes.append(artifacts.upload(package, aws))

    faults.once("CompleteMultipartUpload", second)
    outcomes.append(artifacts.upload(package, aws))
    assert outcomes == [True, True]
    assert stored(package, aws) == package.path.read_bytes()
    assert under_way(aws) == []
    assert unfinished.listed() == []


def test_uploads_that_nobody_went_on_with_are_given_up_after_a_week(aws, faults, heavy, monkeypatch):
    faults.once("CompleteMultipartUpload", broken)
    with pytest.raises(errors.ServiceUnavailable):
        artifacts.upload(heavy(), aws)
    artifacts.upload(heavy(1, 1000), aws)  # of another one
    assert len(under_way(aws)) == 1  # not yet
    now = time.time() + 8 * 86400
    monkeypatch.setattr(unfinished.time, "time", lambda: now)
    assert artifacts.upload(heavy(2, 1000), aws)
    assert under_way(aws) == []
    assert unfinished.listed() == []


@pytest.mark.parametrize(
    ("same", "copied", "sent"),
    [
        (10, 0, 3),  # less than a part may have
        (PART, 1, 2),
        (2 * PART - 1, 2, 1),
        (PART + 100, 1, 1),  # what is left of the head is too small for a part of its own
        (2 * PART + 1, 3, 0),
    ],
)
def test_what_lies_in_s3_already_is_copied_there(aws, send, faults, tmp_path, same, copied, sent):  # noqa: PLR0917 - fixtures
    path, size = tmp_path / "file", 2 * PART + 1
    content = bytearray(_noise(0, size))
    aws.client("s3").put_object(Bucket=aws.bucket, Key="former", Body=bytes(content))
    if same < size:
        content[same] ^= 1
    path.write_bytes(content)
    faults.none()
    assert send(path, head=uploading.Head("former", same)) == bytes(content)
    assert (faults.calls.count("UploadPartCopy"), faults.calls.count("UploadPart")) == (copied, sent)


def test_a_change_of_code_alone_sends_the_code_alone(aws, faults, tmp_path):
    weights, code = tmp_path / "model.pth", tmp_path / "inference.py"
    weights.write_bytes(random.Random(0).randbytes(3 * PART))
    members, packages = [Member("model.pth", weights), Member("code/inference.py", code)], []
    sent = []
    aws.client("s3").meta.events.register(
        "before-call.s3.UploadPart", lambda params, **_: sent.append(params["body"].size)
    )
    archive, kept = tmp_path / "model.tar.gz", None
    for text in ("def model_fn(d): return 1", "def model_fn(d): return 2"):
        code.write_text(text)
        with new_archive(archive, members, kept=kept):
            pass
        packages.append(Package.open(archive))
        kept = read_index(archive).after(packages[-1].digest)
        faults.none()
        sent.clear()
        assert artifacts.upload(packages[-1], aws)
    assert faults.calls.count("UploadPartCopy") == 3
    assert sum(sent) < 200_000
    assert stored(packages[-1], aws) == packages[-1].path.read_bytes()
    assert stored(packages[0], aws) not in {None, stored(packages[-1], aws)}


@pytest.mark.parametrize("reason", ["other bytes", "denied", "gone"])
def test_a_beginning_that_cannot_be_copied_is_sent(aws, send, faults, tmp_path, reason):
    path = tmp_path / "file"
    path.write_bytes(_noise(0, 2 * PART))
    aws.client("s3").put_object(Bucket=aws.bucket, Key="former", Body=_noise(reason == "other bytes", 2 * PART))
    faults.none()
    if reason == "denied":
        faults.always("UploadPartCopy", denied)
    begins = uploading.Head("gone" if reason == "gone" else "former", 2 * PART)
    assert send(path, head=begins) == path.read_bytes()
    assert faults.calls.count("UploadPart") == 2


def test_a_record_that_was_cut_off_is_read_as_far_as_it_goes(aws, faults, heavy, own_records):
    package = heavy()
    faults.once("CompleteMultipartUpload", broken)
    with pytest.raises(errors.ServiceUnavailable):
        artifacts.upload(package, aws)
    (record,) = own_records.iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    record.write_text(record.read_text()[:-20])
    faults.none()
    faults.always("ListParts", denied)
    assert artifacts.upload(package, aws)
    assert faults.calls.count("UploadPart") == 1
    Path(own_records / "odd.jsonl").write_text("{}")
    assert unfinished.listed() == []


KILLED = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
from faulty import Faults
from sm_magics.hosting import artifacts, connect, unfinished
from sm_magics.packaging import Package
from sm_magics.settings import Settings

unfinished._directory = lambda: pathlib.Path(sys.argv[2])
place = connect(Settings(region=sys.argv[3], instance_type="ml.m5.large", bucket=sys.argv[4]))

def wait(*_):
    print("all parts are there", flush=True)
    sys.stdin.read()

Faults(place.session).once("CompleteMultipartUpload", wait)
artifacts.upload(Package.open(sys.argv[5]), place)
"""


def test_a_kernel_that_was_killed_leaves_an_upload_that_the_next_one_goes_on_with(aws, faults, heavy, own_records):
    package = heavy()
    arguments = [Path(__file__).parent, own_records, aws.region, aws.bucket, package.path]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as kernel:
        assert kernel.stdout.readline() == b"all parts are there\n"
        assert unfinished.take(aws.bucket, unfinished.listed()[0].key) is None  # it is still at it
        kernel.kill()
    assert artifacts.upload(package, aws)
    assert "UploadPart" not in faults.calls
    assert stored(package, aws) == package.path.read_bytes()
    assert under_way(aws) == []
