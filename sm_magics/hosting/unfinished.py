"""Uploads that are not finished: what of each has arrived, noted part by part, so that any later run can go on.

S3 tells the same by ListParts, which ``AmazonSageMakerFullAccess`` does not allow. A record belongs to the process that
holds its lock, and the system takes that away whatever becomes of the process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from sm_magics.home import home

DAYS = 7
"""Days after which an upload that nobody went on with is given up."""


@dataclass(frozen=True)
class Started:
    """An upload in parts, as S3 knows it.

    Attributes
    ----------
    part_size
        Bytes in each part but the last.
    begun
        Seconds since the epoch.
    """

    region: str
    bucket: str
    key: str
    upload_id: str
    part_size: int
    begun: float = field(default_factory=time.time)

    @property
    def uri(self) -> str:
        """What it is going to be."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Arrived:
    """A part that S3 has, as it said itself.

    Attributes
    ----------
    etag
        With its quotes.
    sha256
        Of its bytes, in base64.
    """

    number: int
    etag: str
    sha256: str


class Record:
    """What is known about one unfinished upload; this process's own until it is closed."""

    def __init__(self, path: Path, file: IO[str], started: Started, parts: dict[int, Arrived]) -> None:
        self._path, self._file = path, file
        self.started, self.parts = started, parts
        self._lock = threading.Lock()

    @classmethod
    def new(cls, started: Started) -> Record:
        """Write down that an upload has begun."""
        path = _directory() / f"{_stem(started.bucket, started.key)}-{secrets.token_hex(4)}.jsonl"
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), "r+")
        fcntl.flock(file, fcntl.LOCK_EX)
        record = cls(path, file, started, {})
        record._add(started)
        return record

    def arrived(self, part: Arrived) -> None:
        """Write down that S3 has a part."""
        with self._lock:
            self.parts[part.number] = part
            self._add(part)

    def drop(self) -> None:
        """Forget the upload: it was finished, or aborted, or S3 does not know it any more."""
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave it to whoever goes on."""
        self._file.close()

    def _add(self, line: Started | Arrived) -> None:
        self._file.write(json.dumps(asdict(line)) + "\n")
        self._file.flush()


def take(bucket: str, key: str) -> Record | None:
    """Return the record of an upload to that place that nobody else is at, or None."""
    return next(_taken(f"{_stem(bucket, key)}-*.jsonl"), None)


def abandoned(region: str, *, days: float = DAYS) -> Iterator[Record]:
    """Yield the records of uploads to a region that nobody went on with for so many days."""
    for record in _taken("*.jsonl"):
        if record.started.region == region and record.started.begun < time.time() - days * 86400:
            yield record
        else:
            record.close()


def listed() -> list[Started]:
    """Return all unfinished uploads of this user, those that go on at the moment too; the oldest first."""
    found = [read[0] for path in _directory().glob("*.jsonl") if (read := _read(path)) is not None]
    return sorted(found, key=lambda started: started.begun)


def left() -> list[Started]:
    """Return the unfinished uploads that nobody is at, the oldest first."""
    found = []
    for record in _taken("*.jsonl"):
        found.append(record.started)
        record.close()
    return sorted(found, key=lambda started: started.begun)


def _taken(pattern: str) -> Iterator[Record]:
    for path in sorted(_directory().glob(pattern)):
        try:
            file = path.open("r+")
        except OSError:  # dropped meanwhile
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody is at it
            file.close()
            continue
        read = _read(path)
        if read is None:
            file.close()
            path.unlink(missing_ok=True)  # without its first line it says nothing
            continue
        file.seek(0, os.SEEK_END)
        yield Record(path, file, *read)


def _read(path: Path) -> tuple[Started, dict[int, Arrived]] | None:
    """Return what a record says, None where it says nothing. Its last line may be cut off: the process was killed."""
    try:
        first, *lines = path.read_text().split("\n")
        started = Started(**json.loads(first))
    except (OSError, ValueError, TypeError):
        return None
    parts: dict[int, Arrived] = {}
    for line in lines:
        try:
            part = Arrived(**json.loads(line))
        except (ValueError, TypeError):
            continue
        parts[part.number] = part
    return started, parts


def _stem(bucket: str, key: str) -> str:
    return hashlib.sha256(f"{bucket}/{key}".encode()).hexdigest()[:16]


def _directory() -> Path:
    path = home() / "uploads"
    path.mkdir(mode=0o700, exist_ok=True)
    return path
