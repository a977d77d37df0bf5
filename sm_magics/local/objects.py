"""Buckets, objects and unfinished uploads: what S3 on this machine remembers."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .blobs import Blob, Blobs, Draft
from .errors import ApiError
from .store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key TEXT, digest TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified REAL NOT NULL,
    headers TEXT NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_digest ON objects (digest);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, begun REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT, number INTEGER, digest TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_digest ON parts (digest);
"""

#: Days after which an upload that was neither completed nor aborted is dropped when the service starts.
DAYS = 7
#: Sorts behind every character.
LAST = "\U0010ffff"


@dataclass(frozen=True)
class Object:
    """One object, without its bytes.

    Attributes
    ----------
    etag
        Without quotes. An MD5, or for an upload in parts the MD5 of their MD5s and their number.
    modified
        Seconds since the epoch.
    headers
        What the client gave to be returned: content type, ``x-amz-meta-…``.
    path
        Where the bytes lie.
    """

    bucket: str
    key: str
    digest: str
    size: int
    etag: str
    modified: float
    headers: Mapping[str, str]
    path: Path


@dataclass(frozen=True)
class Part:
    """One part of an unfinished upload."""

    number: int
    digest: str
    size: int
    etag: str
    path: Path


class Objects:
    """All objects, their bytes kept once per content."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self.blobs = blobs
        store.define(_SCHEMA)
        if "begun" not in {row["name"] for row in store.rows("PRAGMA table_info(uploads)")}:
            store.define("ALTER TABLE uploads ADD COLUMN begun REAL NOT NULL DEFAULT 0")
        with store.transaction():
            store.run("DELETE FROM uploads WHERE begun < ?", time.time() - DAYS * 86400)
            store.run("DELETE FROM parts WHERE upload NOT IN (SELECT id FROM uploads)")
        blobs.sweep({row[0] for row in store.rows("SELECT digest FROM objects UNION SELECT digest FROM parts")})

    def create_bucket(self, name: str) -> bool:
        """Make a bucket; return whether it was not there."""
        return bool(self._store.run("INSERT OR IGNORE INTO buckets VALUES (?, ?)", name, time.time()))

    def buckets(self) -> list[tuple[str, float]]:
        """Return all buckets with their times of creation."""
        return [tuple(row) for row in self._store.rows("SELECT name, created FROM buckets ORDER BY name")]

    def require_bucket(self, name: str) -> None:
        """Raise ``NoSuchBucket`` if it is not there."""
        if self._store.row("SELECT 1 FROM buckets WHERE name = ?", name) is None:
            raise ApiError("NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": name})

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket."""
        self.require_bucket(name)
        if self._store.row("SELECT 1 FROM objects WHERE bucket = ?", name):
            raise ApiError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409, {"BucketName": name})
        for row in self._store.rows("SELECT id FROM uploads WHERE bucket = ?", name):
            self.abort(row["id"])
        self._store.run("DELETE FROM buckets WHERE name = ?", name)

    def find(self, bucket: str, key: str) -> Object | None:
        """Return an object, or None."""
        row = self._store.row("SELECT * FROM objects WHERE bucket = ? AND key = ?", bucket, key)
        return self._object(row) if row else None

    def find_url(self, url: str) -> Object | None:
        """Return the object that an ``s3://bucket/key`` names, or None."""
        scheme, _, rest = url.partition("://")
        bucket, _, key = rest.partition("/")
        return self.find(bucket, key) if scheme == "s3" else None

    def get(self, bucket: str, key: str) -> Object:
        """Return an object, or raise ``NoSuchBucket`` or ``NoSuchKey``."""
        self.require_bucket(bucket)
        found = self.find(bucket, key)
        if found is None:
            raise ApiError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})
        return found

    def after(self, bucket: str, prefix: str, marker: str, limit: int) -> list[Object]:
        """Return up to `limit` objects whose keys start with `prefix` and sort behind `marker`."""
        rows = self._store.rows(
            "SELECT * FROM objects WHERE bucket = ? AND key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
            bucket, marker, prefix, prefix + LAST, limit,
        )  # fmt: skip
        return [self._object(row) for row in rows]

    def put(
        self, bucket: str, key: str, draft: Draft, blob: Blob, *, headers: Mapping[str, str], etag: str = ""
    ) -> None:
        """Make a draft the object of that name."""
        self.blobs.keep(draft, blob)
        self.put_digest(bucket, key, blob.digest, size=blob.size, etag=etag or blob.md5, headers=headers)

    def put_digest(
        self, bucket: str, key: str, digest: str, *, size: int, etag: str, headers: Mapping[str, str]
    ) -> None:
        """Make a blob that is there already the object of that name."""
        old = self.find(bucket, key)
        self._store.run(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)",
            bucket, key, digest, size, etag, time.time(), json.dumps(dict(headers)),
        )  # fmt: skip
        if old:
            self._release(old.digest)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object, if it is there."""
        self.require_bucket(bucket)
        if old := self.find(bucket, key):
            self._store.run("DELETE FROM objects WHERE bucket = ? AND key = ?", bucket, key)
            self._release(old.digest)

    def begin(self, bucket: str, key: str, headers: Mapping[str, str]) -> str:
        """Begin an upload in parts; return its id."""
        upload = secrets.token_hex(32)
        self._store.run(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", upload, bucket, key, json.dumps(dict(headers)), time.time()
        )
        return upload

    def upload_headers(self, upload: str, bucket: str, key: str) -> dict[str, str]:
        """Return what the client gave when it began an upload, or raise ``NoSuchUpload``."""
        row = self._store.row(
            "SELECT headers FROM uploads WHERE id = ? AND bucket = ? AND key = ?", upload, bucket, key
        )
        if row is None:
            raise ApiError(
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
                "aborted or completed.",
                404,
                {"UploadId": upload},
            )
        headers: dict[str, str] = json.loads(row["headers"])
        return headers

    def put_part(self, upload: str, number: int, draft: Draft, blob: Blob) -> None:
        """Make a draft a part of an upload."""
        self.blobs.keep(draft, blob)
        old = self._store.row("SELECT digest FROM parts WHERE upload = ? AND number = ?", upload, number)
        self._store.run(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", upload, number, blob.digest, blob.size, blob.md5
        )
        if old:
            self._release(old["digest"])

    def parts(self, upload: str) -> dict[int, Part]:
        """Return an upload's parts by number."""
        rows = self._store.rows("SELECT * FROM parts WHERE upload = ? ORDER BY number", upload)
        return {
            row["number"]: Part(row["number"], row["digest"], row["size"], row["etag"], self.blobs.path(row["digest"]))
            for row in rows
        }

    def abort(self, upload: str) -> None:
        """Remove an upload and its parts."""
        parts = self.parts(upload)
        with self._store.transaction():
            self._store.run("DELETE FROM parts WHERE upload = ?", upload)
            self._store.run("DELETE FROM uploads WHERE id = ?", upload)
        for part in parts.values():
            self._release(part.digest)

    def _release(self, digest: str) -> None:
        used = "SELECT 1 FROM objects WHERE digest = ?1 UNION ALL SELECT 1 FROM parts WHERE digest = ?1 LIMIT 1"
        if self._store.row(used, digest) is None:
            self.blobs.remove(digest)

    def _object(self, row: sqlite3.Row) -> Object:
        return Object(
            row["bucket"], row["key"], row["digest"], row["size"], row["etag"], row["modified"],
            json.loads(row["headers"]), self.blobs.path(row["digest"]),
        )  # fmt: skip
