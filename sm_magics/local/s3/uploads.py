"""Uploads in parts that are not finished."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.store import Store

from .blobs import Blob, Blobs, Draft

_SCHEMA = """
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, begun REAL NOT NULL DEFAULT 0,
    tags TEXT NOT NULL DEFAULT '{}', algorithm TEXT NOT NULL DEFAULT '', type TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT, number INTEGER, digest TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified REAL NOT NULL DEFAULT 0, sums TEXT NOT NULL DEFAULT '{}', PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_digest ON parts (digest);
"""

#: Days after which an upload that was neither completed nor aborted is dropped when the service starts.
DAYS = 7


@dataclass(frozen=True)
class Upload:
    """An unfinished upload.

    Attributes
    ----------
    headers, tags
        What the client gave to be kept with the object.
    begun
        Seconds since the epoch.
    algorithm, type
        Of the checksum that was asked for; empty if none was.
    """

    id: str
    bucket: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    begun: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    algorithm: str = ""
    type: str = ""


@dataclass(frozen=True)
class Part:
    """One part of an unfinished upload.

    Attributes
    ----------
    sums
        Its checksums in base64, by name.
    """

    number: int
    digest: str
    size: int
    etag: str
    path: Path
    modified: float
    sums: Mapping[str, str]


class Uploads:
    """All unfinished uploads.

    Parameters
    ----------
    release
        Called with the digest of a blob that is no part any more.
    """

    def __init__(self, store: Store, blobs: Blobs, release: Callable[[str], None]) -> None:
        self._store = store
        self._blobs = blobs
        self._release = release
        store.define(_SCHEMA)
        store.widen("uploads", begun="REAL NOT NULL DEFAULT 0", tags="TEXT NOT NULL DEFAULT '{}'")
        store.widen("uploads", algorithm="TEXT NOT NULL DEFAULT ''", type="TEXT NOT NULL DEFAULT ''")
        store.widen("parts", modified="REAL NOT NULL DEFAULT 0", sums="TEXT NOT NULL DEFAULT '{}'")
        with store.transaction():
            store.run("DELETE FROM uploads WHERE begun < ?", time.time() - DAYS * 86400)
            store.run("DELETE FROM parts WHERE upload NOT IN (SELECT id FROM uploads)")

    def begin(
        self,
        bucket: str,
        key: str,
        headers: Mapping[str, str],
        *,
        tags: Mapping[str, str] | None = None,
        algorithm: str = "",
        kind: str = "",
    ) -> str:
        """Begin an upload; return its id."""
        upload = secrets.token_hex(32)
        self._store.run(
            "INSERT INTO uploads (id, bucket, key, headers, begun, tags, algorithm, type) VALUES (?,?,?,?,?,?,?,?)",
            upload, bucket, key, json.dumps(dict(headers)), time.time(), json.dumps(dict(tags or {})), algorithm, kind,
        )  # fmt: skip
        return upload

    def get(self, upload: str, bucket: str, key: str) -> Upload:
        """Return an upload, or raise ``NoSuchUpload``."""
        row = self._store.row("SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?", upload, bucket, key)
        if row is None:
            raise ApiError(
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
                "aborted or completed.",
                404,
                {"UploadId": upload},
            )
        return Upload(
            row["id"], row["bucket"], row["key"], json.loads(row["headers"]), row["begun"], json.loads(row["tags"]),
            row["algorithm"], row["type"],
        )  # fmt: skip

    def of(self, bucket: str, prefix: str = "") -> list[Upload]:
        """Return a bucket's uploads, by key and then by time."""
        rows = self._store.rows("SELECT * FROM uploads WHERE bucket = ? ORDER BY key, begun, id", bucket)
        return [
            Upload(
                row["id"], row["bucket"], row["key"], begun=row["begun"], algorithm=row["algorithm"], type=row["type"]
            )
            for row in rows
            if row["key"].startswith(prefix)
        ]

    def put_part(self, upload: str, number: int, draft: Draft, blob: Blob) -> float:
        """Make a draft a part of an upload; return when, in seconds since the epoch."""
        self._blobs.keep(draft, blob)
        old = self._store.row("SELECT digest FROM parts WHERE upload = ? AND number = ?", upload, number)
        now = time.time()
        self._store.run(
            "INSERT OR REPLACE INTO parts (upload, number, digest, size, etag, modified, sums) VALUES (?,?,?,?,?,?,?)",
            upload, number, blob.digest, blob.size, blob.md5, now, json.dumps(dict(blob.sums)),
        )  # fmt: skip
        if old:
            self._release(old["digest"])
        return now

    def parts(self, upload: str) -> dict[int, Part]:
        """Return an upload's parts by number."""
        rows = self._store.rows("SELECT * FROM parts WHERE upload = ? ORDER BY number", upload)
        return {
            row["number"]: Part(
                row["number"], row["digest"], row["size"], row["etag"], self._blobs.path(row["digest"]),
                row["modified"], json.loads(row["sums"]),
            )
            for row in rows
        }  # fmt: skip

    def drop(self, upload: str) -> None:
        """Remove an upload and its parts."""
        parts = self.parts(upload)
        with self._store.transaction():
            self._store.run("DELETE FROM parts WHERE upload = ?", upload)
            self._store.run("DELETE FROM uploads WHERE id = ?", upload)
        for part in parts.values():
            self._release(part.digest)
