"""Buckets and objects: what S3 on this machine remembers."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.store import Store

from .blobs import Blob, Blobs, Draft
from .checksums import Checksum
from .uploads import Uploads

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, created REAL NOT NULL, tags TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key TEXT, digest TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified REAL NOT NULL,
    headers TEXT NOT NULL, more TEXT NOT NULL DEFAULT '{}', PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_digest ON objects (digest);
"""

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
    tags
        What the client labelled it with.
    checksum
        None for an object that an earlier version of this service took.
    parts
        Their sizes in bytes, if it came in parts.
    """

    bucket: str
    key: str
    digest: str
    size: int
    etag: str
    modified: float
    headers: Mapping[str, str]
    path: Path
    tags: Mapping[str, str] = field(default_factory=dict)
    checksum: Checksum | None = None
    parts: tuple[int, ...] = ()


class Objects:
    """All objects, their bytes kept once per content.

    Attributes
    ----------
    blobs
        The bytes.
    uploads
        What comes in parts and is not finished.
    """

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self.blobs = blobs
        store.define(_SCHEMA)
        store.widen("buckets", tags="TEXT NOT NULL DEFAULT '{}'")
        store.widen("objects", more="TEXT NOT NULL DEFAULT '{}'")
        self.uploads = Uploads(store, blobs, self._release)
        blobs.sweep({row[0] for row in store.rows("SELECT digest FROM objects UNION SELECT digest FROM parts")})

    # Buckets

    def create_bucket(self, name: str) -> bool:
        """Make a bucket; return whether it was not there."""
        return bool(self._store.run("INSERT OR IGNORE INTO buckets (name, created) VALUES (?, ?)", name, time.time()))

    def buckets(self) -> list[tuple[str, float]]:
        """Return all buckets with their times of creation."""
        return [tuple(row) for row in self._store.rows("SELECT name, created FROM buckets ORDER BY name")]

    def require_bucket(self, name: str) -> None:
        """Raise ``NoSuchBucket`` if it is not there."""
        if self._store.row("SELECT 1 FROM buckets WHERE name = ?", name) is None:
            raise ApiError("NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": name})

    def bucket_tags(self, name: str) -> dict[str, str]:
        """Return what a bucket is labelled with."""
        self.require_bucket(name)
        row = self._store.row("SELECT tags FROM buckets WHERE name = ?", name)
        tags: dict[str, str] = json.loads(row["tags"]) if row else {}
        return tags

    def tag_bucket(self, name: str, tags: Mapping[str, str]) -> None:
        """Label a bucket anew."""
        self.require_bucket(name)
        self._store.run("UPDATE buckets SET tags = ? WHERE name = ?", json.dumps(dict(tags)), name)

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket."""
        self.require_bucket(name)
        if self._store.row("SELECT 1 FROM objects WHERE bucket = ?", name):
            raise ApiError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409, {"BucketName": name})
        for upload in self.uploads.of(name):
            self.uploads.drop(upload.id)
        self._store.run("DELETE FROM buckets WHERE name = ?", name)

    # Objects

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
        self,
        bucket: str,
        key: str,
        draft: Draft,
        blob: Blob,
        *,
        headers: Mapping[str, str],
        etag: str = "",
        **more: Any,
    ) -> Object:
        """Make a draft the object of that name. The other parameters are those of `put_digest`."""
        self.blobs.keep(draft, blob)
        return self.put_digest(bucket, key, blob.digest, size=blob.size, etag=etag or blob.md5, headers=headers, **more)

    def put_digest(
        self,
        bucket: str,
        key: str,
        digest: str,
        *,
        size: int,
        etag: str,
        headers: Mapping[str, str],
        tags: Mapping[str, str] | None = None,
        checksum: Checksum | None = None,
        parts: tuple[int, ...] = (),
    ) -> Object:
        """Make a blob that is there already the object of that name; return it."""
        old = self.find(bucket, key)
        more: dict[str, Any] = {"tags": dict(tags or {}), "parts": parts}
        if checksum:
            more["checksum"] = asdict(checksum)
        self._store.run(
            "INSERT OR REPLACE INTO objects (bucket, key, digest, size, etag, modified, headers, more) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            bucket, key, digest, size, etag, time.time(), json.dumps(dict(headers)), json.dumps(more),
        )  # fmt: skip
        if old:
            self._release(old.digest)
        return self.get(bucket, key)

    def tag(self, found: Object, tags: Mapping[str, str]) -> None:
        """Label an object anew."""
        self._store.run(
            "UPDATE objects SET more = json_set(more, '$.tags', json(?)) WHERE bucket = ? AND key = ?",
            json.dumps(dict(tags)), found.bucket, found.key,
        )  # fmt: skip

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object, if it is there."""
        self.require_bucket(bucket)
        if old := self.find(bucket, key):
            self._store.run("DELETE FROM objects WHERE bucket = ? AND key = ?", bucket, key)
            self._release(old.digest)

    def _release(self, digest: str) -> None:
        used = "SELECT 1 FROM objects WHERE digest = ?1 UNION ALL SELECT 1 FROM parts WHERE digest = ?1 LIMIT 1"
        if self._store.row(used, digest) is None:
            self.blobs.remove(digest)

    def _object(self, row: sqlite3.Row) -> Object:
        more = json.loads(row["more"])
        return Object(
            row["bucket"], row["key"], row["digest"], row["size"], row["etag"], row["modified"],
            json.loads(row["headers"]), self.blobs.path(row["digest"]), more.get("tags", {}),
            Checksum(**more["checksum"]) if "checksum" in more else None, tuple(more.get("parts", ())),
        )  # fmt: skip
