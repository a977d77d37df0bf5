"""The operations of S3 that list objects: in both forms, and as versions of which each has one."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sm_magics.local.account import Account
from sm_magics.local.protocol.wire import Response

from .call import Call, Operations, answer, invalid_argument, iso
from .objects import LAST, Object, Objects

_MOST = 1000
_NUMBER = re.compile(r"[0-9]{1,9}")


class S3Listings:
    """The operations."""

    def __init__(self, objects: Objects, account: Account) -> None:
        self._objects = objects
        self._account = account
        self.operations: Operations = {
            ("GET", "bucket", ""): self._list_objects,
            ("GET", "bucket", "list-type"): self._list_objects_v2,
            ("GET", "bucket", "versions"): self._list_versions,
        }

    def _list_objects(self, call: Call) -> Response:
        query = Query.of(call)
        given = call.query.get("marker", "")
        page = self._page(call.bucket, query, query.behind(given))
        content = {
            **query.echo(call),
            "Marker": query.code(given),
            "IsTruncated": page.truncated,
            # Clients of this form go on from the last key themselves, but cannot see the last common prefix's.
            "NextMarker": query.code(page.shown) if page.truncated and query.delimiter else None,
            **self._entries(page, query, owner=True),
        }
        return answer("ListBucketResult", content)

    def _list_objects_v2(self, call: Call) -> Response:
        if call.query["list-type"] != "2":
            raise invalid_argument("Invalid List Type specified in Request")
        query = Query.of(call)
        token = call.query.get("continuation-token")
        after = call.query.get("start-after", "")
        page = self._page(call.bucket, query, after if token is None else _position(token))
        content = {
            **query.echo(call),
            "KeyCount": len(page.objects) + len(page.prefixes),
            "IsTruncated": page.truncated,
            "ContinuationToken": token,
            "StartAfter": query.code(after) if after else None,
            "NextContinuationToken": _token(page.marker) if page.truncated else None,
            **self._entries(page, query, owner=call.query.get("fetch-owner") == "true"),
        }
        return answer("ListBucketResult", content)

    def _list_versions(self, call: Call) -> Response:
        query = Query.of(call)
        given = call.query.get("key-marker", "")
        page = self._page(call.bucket, query, query.behind(given))
        entries = self._entries(page, query, owner=True)
        versions = [{**entry, "VersionId": "null", "IsLatest": True} for entry in entries.pop("Contents")]
        content = {
            **query.echo(call),
            "KeyMarker": query.code(given),
            "VersionIdMarker": call.query.get("version-id-marker", ""),
            "IsTruncated": page.truncated,
            "NextKeyMarker": query.code(page.shown) if page.truncated else None,
            "NextVersionIdMarker": "null" if page.truncated else None,
            "Version": versions,
            **entries,
        }
        return answer("ListVersionsResult", content)

    def _page(self, bucket: str, query: Query, marker: str) -> Page:
        self._objects.require_bucket(bucket)
        page = Page([], [], marker, "", truncated=False)
        # That nothing was asked for is, to S3, all that there is.
        while query.limit:
            room = query.limit - len(page.objects) - len(page.prefixes)
            found = self._objects.after(bucket, query.prefix, page.marker, room + 1)
            for entry in found:
                if not room:
                    page.truncated = True
                    return page
                room -= 1
                common = query.common_prefix(entry.key)
                if common:
                    page.prefixes.append(common)
                    # All that the common prefix stands for sorts before this.
                    page.marker, page.shown = common + LAST, common
                    break
                page.objects.append(entry)
                page.marker = page.shown = entry.key
            else:
                return page
        return page

    def _entries(self, page: Page, query: Query, *, owner: bool) -> dict[str, Any]:
        contents = [
            {
                "Key": query.code(entry.key),
                "LastModified": iso(entry.modified),
                "ETag": f'"{entry.etag}"',
                "ChecksumAlgorithm": entry.checksum.algorithm.upper() if entry.checksum else None,
                "ChecksumType": entry.checksum.type if entry.checksum else None,
                "Size": entry.size,
                "Owner": owner_of(self._account) if owner else None,
                "StorageClass": entry.headers.get("x-amz-storage-class", "STANDARD"),
            }
            for entry in page.objects
        ]
        return {"Contents": contents, "CommonPrefixes": [{"Prefix": query.code(prefix)} for prefix in page.prefixes]}


@dataclass
class Page:
    """One page of a listing.

    Attributes
    ----------
    marker
        What the next page begins behind.
    shown
        The last key or common prefix.
    """

    objects: list[Object]
    prefixes: list[str]
    marker: str
    shown: str
    truncated: bool


@dataclass(frozen=True)
class Query:
    """What all listings are asked.

    Attributes
    ----------
    code
        Encodes a key as the client wants it.
    """

    prefix: str
    delimiter: str
    limit: int
    code: Callable[[str], str]

    @classmethod
    def of(cls, call: Call, limit: str = "max-keys") -> Query:
        """Return what a request asks.

        Raises
        ------
        ApiError
            ``InvalidArgument`` for a number or an encoding that is none.
        """
        encoding = call.query.get("encoding-type")
        if encoding not in {None, "url"}:
            raise invalid_argument("Invalid Encoding Method specified in Request")
        most = call.query.get(limit) or str(_MOST)
        if not _NUMBER.fullmatch(most):
            raise invalid_argument(f"Provided {limit} not an integer or within integer range")
        return cls(
            prefix=call.query.get("prefix", ""),
            delimiter=call.query.get("delimiter", ""),
            limit=min(int(most), _MOST),
            code=quote if encoding else str,
        )

    def common_prefix(self, key: str) -> str:
        """Return what a key is grouped under, empty if it stands for itself."""
        head, separator, _ = key[len(self.prefix) :].partition(self.delimiter) if self.delimiter else ("", "", "")
        return self.prefix + head + separator if separator else ""

    def behind(self, marker: str) -> str:
        """Return where to go on: behind a whole group, if that is what the last page ended with."""
        grouped = marker.startswith(self.prefix) and self.common_prefix(marker) == marker
        return marker + LAST if marker and grouped else marker

    def echo(self, call: Call) -> dict[str, Any]:
        """Return the question as answers repeat it."""
        return {
            "Name": call.bucket,
            "Prefix": self.code(self.prefix),
            "Delimiter": self.code(self.delimiter) if self.delimiter else None,
            "MaxKeys": self.limit,
            "EncodingType": call.query.get("encoding-type"),
        }


def owner_of(account: Account) -> dict[str, str]:
    """Return whose everything here is: the canonical user id of the account."""
    return {"ID": hashlib.sha256(account.id.encode()).hexdigest()}


def _token(marker: str) -> str:
    return base64.urlsafe_b64encode(marker.encode()).decode()


def _position(token: str) -> str:
    try:
        if not token:
            raise ValueError  # noqa: TRY301
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid_argument("The continuation token provided is incorrect") from None
