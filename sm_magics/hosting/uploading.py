"""One file becomes one S3 object: in parts, several at a time, each with its SHA-256; where it broke off, it goes on.

``s3transfer`` sends in parts too, but begins and aborts each upload itself: it can neither go on with one that broke
off, nor take parts from an object that is there already. The file is read once, from beginning to end: the very bytes
that were hashed are sent, and there is an object only if they were what was meant. No more than a few parts are in
memory, and nothing is written to disk.
"""

from __future__ import annotations

import base64
import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sm_magics.errors import AccessDenied, BackendError, ConfigurationError, SmMagicsError

from . import faults, unfinished
from .connection import Connection
from .parallel import Body, Requests
from .unfinished import Arrived, Record, Started

PART = 6 << 20
"""Bytes in a part of a file that is not huge. What is not larger than one is sent in one request."""

SMALLEST_PART = 5 << 20  # but the last
MOST_PARTS = 10_000  # "Amazon S3 multipart upload limits", S3 user guide
_GONE = "NoSuchUpload"

Counted = Callable[[int], None]
"""Told how many bytes S3 has by now."""


@dataclass(frozen=True)
class Target:
    """Where an object goes.

    Attributes
    ----------
    owner
        The account that the bucket has to belong to.
    kms_key
        The key that it is encrypted with; empty for the bucket's own way.
    """

    bucket: str
    key: str
    owner: str
    kms_key: str = ""

    @property
    def named(self) -> dict[str, str]:
        """What every request says."""
        return {"Bucket": self.bucket, "Key": self.key, "ExpectedBucketOwner": self.owner}

    @property
    def encrypted(self) -> dict[str, str]:
        """What the request that makes the object says about encryption."""
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key} if self.kms_key else {}


@dataclass(frozen=True)
class Head:
    """An object in the same bucket that begins with the same bytes as the file.

    Attributes
    ----------
    length
        How many bytes.
    """

    key: str
    length: int


@dataclass(frozen=True)
class _Piece:
    """A part of the file, read."""

    number: int
    start: int
    data: bytes
    sha256: str  # as S3 writes it


def send(
    path: Path,
    size: int,
    target: Target,
    connection: Connection,
    *,
    counted: Counted,
    confirm: Callable[[], object],
    head: Head | None = None,
) -> None:
    """Make a file's bytes an object.

    Parameters
    ----------
    size
        Of the file, in bytes.
    confirm
        Called when the file has been read, before there is an object. What it raises is raised, and nothing is left.
    head
        Where the beginning is already. What turns out not to be the same is sent.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C. Nothing is left of it, unless S3 could not be told: then it is in `unfinished.listed`.
    BackendError
        If S3 refuses, or cannot be reached. What has arrived stays for the next time.
    """
    sending = _Sending(path, size, target, connection, counted=counted, confirm=confirm, head=head)
    if size <= PART:
        sending.at_once()
    else:
        sending.in_parts()


def abort(record: Record, connection: Connection, owner: str) -> None:
    """Have S3 forget an unfinished upload.

    Raises
    ------
    BackendError
        If S3 refuses, or cannot be reached. The record stays.
    """
    started = record.started
    try:
        with connection.calling():
            connection.client("s3").abort_multipart_upload(
                Bucket=started.bucket, Key=started.key, UploadId=started.upload_id, ExpectedBucketOwner=owner
            )
    except BackendError as error:
        if not faults.is_missing(error):
            record.close()
            raise
    record.drop()


class _Sending:
    """One file on its way."""

    def __init__(
        self,
        path: Path,
        size: int,
        target: Target,
        connection: Connection,
        *,
        counted: Counted,
        confirm: Callable[[], object],
        head: Head | None,
    ) -> None:
        self._path, self._size, self._target, self._connection = path, size, target, connection
        self._counted, self._confirm, self._head = counted, confirm, head
        self._s3 = connection.client("s3")

    def at_once(self) -> None:
        """Send all in one request."""
        data = self._path.read_bytes()
        self._confirm()
        sha256 = _encoded(hashlib.sha256(data))
        named = {**self._target.named, **self._target.encrypted, "ChecksumSHA256": sha256}

        def put(body: Body) -> None:
            with self._connection.calling():
                self._s3.put_object(**named, Body=body)

        with Requests.beside_each_other(self._s3, self._counted) as requests:
            requests.start(data, put)

    def in_parts(self) -> None:
        """Go on with what broke off the last time, or else begin."""
        record = unfinished.take(self._target.bucket, self._target.key)
        if record is not None and self._is_known(record):
            try:
                self._send(record)
            except BackendError as error:
                if error.code != _GONE:
                    raise
            else:
                return
        self._send(self._create())

    def _create(self) -> Record:
        with self._connection.calling():
            answer = self._s3.create_multipart_upload(
                **self._target.named, **self._target.encrypted, ChecksumAlgorithm="SHA256"
            )
        part_size = max(PART, -(-self._size // (MOST_PARTS - 1)))  # what a head adds makes up for one
        where = self._connection.region, self._target.bucket, self._target.key
        return Record.new(Started(*where, answer["UploadId"], part_size))

    def _is_known(self, record: Record) -> bool:
        """Put what S3 says it has in the place of what was written down, and return whether it knows the upload."""
        pages = self._s3.get_paginator("list_parts").paginate(**self._target.named, UploadId=record.started.upload_id)
        try:
            with self._connection.calling():
                parts = [part for page in pages for part in page.get("Parts", ())]
        except AccessDenied:
            return True  # the record alone will do: completing it, S3 looks at each part again
        except SmMagicsError as error:
            if getattr(error, "code", "") != _GONE:
                record.close()
                raise
            record.drop()
            return False
        record.parts = {
            part["PartNumber"]: Arrived(part["PartNumber"], part["ETag"], part["ChecksumSHA256"])
            for part in parts
            if "ChecksumSHA256" in part
        }
        return True

    def _send(self, record: Record) -> None:
        try:
            sums = self._send_parts(record)
            self._confirm()
            self._complete(record, sums)
        except (BackendError, ConfigurationError) as error:
            if getattr(error, "code", "") == _GONE:  # a rule of the bucket, or somebody, has aborted it
                record.drop()
            raise
        except BaseException:
            with suppress(SmMagicsError):  # listed as unfinished then
                abort(record, self._connection, self._target.owner)
            raise
        else:
            record.drop()
        finally:
            record.close()

    def _send_parts(self, record: Record) -> list[str]:
        """Send the parts that have not arrived; return the SHA-256 of all, in base64."""
        sums = []
        with Requests.beside_each_other(self._s3, self._counted) as requests:
            for piece in self._pieces(record.started.part_size):
                sums.append(piece.sha256)
                there = record.parts.get(piece.number)
                if there is not None and there.sha256 == piece.sha256:
                    requests.skip(len(piece.data))
                else:
                    requests.start(piece.data, partial(self._send_part, record, piece))
        return sums

    def _pieces(self, part_size: int) -> Iterator[_Piece]:
        with self._path.open("rb") as file:
            for number, (start, end) in enumerate(_spans(self._size, part_size, self._head), 1):
                data = file.read(end - start)
                if len(data) != end - start:
                    raise OSError(errno.EIO, "It is shorter than it was", str(self._path))
                yield _Piece(number, start, data, _encoded(hashlib.sha256(data)))

    def _send_part(self, record: Record, piece: _Piece, body: Body) -> None:
        named = {**self._target.named, "UploadId": record.started.upload_id, "PartNumber": piece.number}
        with self._connection.calling():
            etag = self._copy(named, piece)
            if not etag:
                etag = self._s3.upload_part(**named, Body=body, ChecksumSHA256=piece.sha256)["ETag"]
        record.arrived(Arrived(piece.number, etag, piece.sha256))

    def _copy(self, named: dict[str, Any], piece: _Piece) -> str:
        """Take a part from the object that begins with the same bytes; return its ETag, empty if it is not the same."""
        end = piece.start + len(piece.data)
        if self._head is None or end > self._head.length:
            return ""
        try:
            answer = self._s3.upload_part_copy(
                **named,
                CopySource={"Bucket": self._target.bucket, "Key": self._head.key},
                CopySourceRange=f"bytes={piece.start}-{end - 1}",
                ExpectedSourceBucketOwner=self._target.owner,
            )["CopyPartResult"]
        except ClientError:
            return ""
        return str(answer["ETag"]) if answer.get("ChecksumSHA256") == piece.sha256 else ""

    def _complete(self, record: Record, sums: list[str]) -> None:
        parts = [
            {"PartNumber": number, "ETag": record.parts[number].etag, "ChecksumSHA256": sha256}
            for number, sha256 in enumerate(sums, 1)
        ]
        try:
            with self._connection.calling():
                self._s3.complete_multipart_upload(
                    **self._target.named, UploadId=record.started.upload_id, MultipartUpload={"Parts": parts}
                )
        except BackendError as error:
            # The answer to a request that was served can be lost: asked again, S3 knows no such upload any more.
            if error.code != _GONE or not self._is_there(sums):
                raise

    def _is_there(self, sums: list[str]) -> bool:
        joined = hashlib.sha256(b"".join(map(base64.b64decode, sums)))
        try:
            with self._connection.calling():
                answer = self._s3.head_object(**self._target.named, ChecksumMode="ENABLED")
        except BackendError:
            return False
        return bool(answer.get("ChecksumSHA256", "").partition("-")[0] == _encoded(joined))


def _spans(size: int, part_size: int, head: Head | None) -> list[tuple[int, int]]:
    """Return where each part begins and ends. One begins where the head ends: what is new is all that is sent."""
    length = head.length if head and SMALLEST_PART <= head.length < size else 0
    cuts = list(range(0, length, part_size))
    if len(cuts) > 1 and length - cuts[-1] < SMALLEST_PART:
        cuts.pop()
    cuts += range(length, size, part_size)
    return list(zip(cuts, [*cuts[1:], size], strict=True))


def _encoded(digest: Any) -> str:
    return base64.b64encode(digest.digest()).decode()
