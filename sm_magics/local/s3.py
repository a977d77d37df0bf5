"""S3's wire: as much of it as uploading, downloading and listing need, on this machine's disk.

Bodies stream both ways. What is asked for by a query parameter or header that is not known here is refused by name, so
that nothing is silently taken for a plain upload.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from email.utils import formatdate
from typing import TypeAlias
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

from .account import Account
from .errors import ApiError
from .objects import LAST, Object, Objects
from .protocols import xml_answer
from .s3_bodies import Call, byte_range, pieces, received
from .wire import Request, Response

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: Query parameters that refine an operation; any other one chooses the operation.
_PARAMETERS = {
    "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner",
    "partNumber", "x-id",
}  # fmt: skip
_SMALLEST_PART = 5 << 20
_PART_NUMBER = re.compile(r"[0-9]{1,5}")


_Operation: TypeAlias = Callable[[Call], "Awaitable[Response] | Response"]


class S3:
    """S3 for one account."""

    def __init__(self, objects: Objects, account: Account) -> None:
        self._objects = objects
        self._account = account
        none: frozenset[str] = frozenset()
        self._operations: dict[tuple[str, str, frozenset[str]], _Operation] = {
            ("GET", "service", none): self._list_buckets,
            ("PUT", "bucket", none): self._create_bucket,
            ("HEAD", "bucket", none): self._head_bucket,
            ("DELETE", "bucket", none): self._delete_bucket,
            ("GET", "bucket", frozenset({"location"})): self._location,
            ("GET", "bucket", frozenset({"list-type"})): self._list_objects,
            ("PUT", "object", none): self._put_object,
            ("GET", "object", none): self._get_object,
            ("HEAD", "object", none): self._get_object,
            ("DELETE", "object", none): self._delete_object,
            ("POST", "object", frozenset({"uploads"})): self._begin,
            ("PUT", "object", frozenset({"uploadId"})): self._upload_part,
            ("POST", "object", frozenset({"uploadId"})): self._complete,
            ("DELETE", "object", frozenset({"uploadId"})): self._abort,
        }

    async def answer(self, request: Request, payload: str) -> Response:
        """Answer a request whose signature was verified, but not yet its body.

        Raises
        ------
        ApiError
            S3's own errors.
        """
        if payload.startswith("STREAMING-"):
            raise _not_implemented(f"x-amz-content-sha256: {payload}")
        try:
            bucket, _, key = (unquote(part, errors="strict") for part in request.raw_path[1:].partition("/"))
        except UnicodeDecodeError:
            raise ApiError("InvalidURI", "Couldn't parse the specified URI.") from None
        query = {unquote(name): unquote(value) for name, value in request.query_pairs()}
        call = Call(request, bucket, key, query, payload)
        chosen = frozenset(name for name in query if name not in _PARAMETERS and not name.startswith("X-Amz-"))
        place = "object" if key else "bucket" if bucket else "service"
        operation = self._operations.get((request.method, place, chosen))
        if operation is None:
            raise _not_implemented(f"{request.method} {place} {' '.join(sorted(chosen))}".strip())
        answer = operation(call)
        return answer if isinstance(answer, Response) else await answer

    # Buckets

    def _list_buckets(self, _call: Call) -> Response:
        buckets = [{"Name": name, "CreationDate": _iso(created)} for name, created in self._objects.buckets()]
        owner = {"ID": hashlib.sha256(self._account.id.encode()).hexdigest()}
        return _xml("ListAllMyBucketsResult", {"Buckets": {"Bucket": buckets}, "Owner": owner})

    async def _create_bucket(self, call: Call) -> Response:
        await call.body()
        if not _BUCKET.fullmatch(call.bucket) or ".." in call.bucket:
            raise ApiError("InvalidBucketName", "The specified bucket is not valid.", 400, {"BucketName": call.bucket})
        if not self._objects.create_bucket(call.bucket):
            raise ApiError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
                409,
                {"BucketName": call.bucket},
            )
        return Response(200, [("location", f"/{call.bucket}")])

    def _head_bucket(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        return Response(200, [("x-amz-bucket-region", self._account.region)])

    def _delete_bucket(self, call: Call) -> Response:
        self._objects.delete_bucket(call.bucket)
        return Response(204)

    def _location(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        return _xml("LocationConstraint", self._account.region)

    def _list_objects(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        query = call.query
        try:
            limit = min(int(query.get("max-keys", "1000")), 1000)
            if limit < 0:
                raise ApiError("InvalidArgument", "max-keys must not be negative.")
            token = query.get("continuation-token", "")
            marker = base64.urlsafe_b64decode(token).decode() if token else query.get("start-after", "")
        except ValueError:
            raise ApiError("InvalidArgument", "max-keys or continuation-token is not valid.") from None
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        entries, last, truncated = self._page(call.bucket, prefix, delimiter, marker, limit)
        code = quote if query.get("encoding-type") == "url" else str
        contents = [
            {
                "Key": code(entry.key),
                "LastModified": _iso(entry.modified),
                "ETag": f'"{entry.etag}"',
                "Size": entry.size,
                "StorageClass": "STANDARD",
            }
            for entry in entries
            if isinstance(entry, Object)
        ]
        return _xml(
            "ListBucketResult",
            {
                "Name": call.bucket,
                "Prefix": code(prefix),
                "Delimiter": code(delimiter) if delimiter else None,
                "MaxKeys": limit,
                "KeyCount": len(entries),
                "IsTruncated": truncated,
                "EncodingType": query.get("encoding-type"),
                "ContinuationToken": token or None,
                "StartAfter": code(query["start-after"]) if "start-after" in query else None,
                "NextContinuationToken": base64.urlsafe_b64encode(last.encode()).decode() if truncated else None,
                "Contents": contents,
                "CommonPrefixes": [{"Prefix": code(entry)} for entry in entries if isinstance(entry, str)],
            },
        )

    def _page(
        self, bucket: str, prefix: str, delimiter: str, marker: str, limit: int
    ) -> tuple[list[Object | str], str, bool]:
        """Return up to `limit` objects and common prefixes, where the page ends, and whether more follow."""
        entries: list[Object | str] = []
        while limit:
            found = self._objects.after(bucket, prefix, marker, limit - len(entries) + 1)
            for entry in found:
                if len(entries) == limit:
                    return entries, marker, True
                head, separator, _ = entry.key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
                if separator:
                    common = prefix + head + separator
                    entries.append(common)
                    # All that the common prefix stands for sorts before this.
                    marker = common + LAST
                    break
                entries.append(entry)
                marker = entry.key
            else:
                return entries, marker, False
        return entries, marker, False  # none were asked for: S3 says that this is all

    # Objects

    async def _put_object(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        if call.request.header("x-amz-copy-source"):
            return self._copy_object(call)
        self._check_condition(call)
        draft, blob = await received(call, self._objects.blobs)
        try:
            # Again: another one may have come while this one's bytes did.
            self._objects.require_bucket(call.bucket)
            self._check_condition(call)
            self._objects.put(call.bucket, call.key, draft, blob, headers=call.kept_headers())
        finally:
            draft.drop()
        return Response(200, [("etag", f'"{blob.md5}"')])

    def _copy_object(self, call: Call) -> Response:
        source_bucket, _, source_key = unquote(call.request.header("x-amz-copy-source")).lstrip("/").partition("/")
        source = self._objects.get(source_bucket, source_key)
        replaced = call.request.header("x-amz-metadata-directive").upper() == "REPLACE"
        headers = call.kept_headers() if replaced else source.headers
        self._objects.put_digest(
            call.bucket, call.key, source.digest, size=source.size, etag=source.etag, headers=headers
        )
        copied = self._objects.get(call.bucket, call.key)
        return _xml("CopyObjectResult", {"ETag": f'"{copied.etag}"', "LastModified": _iso(copied.modified)})

    def _get_object(self, call: Call) -> Response:
        found = self._objects.get(call.bucket, call.key)
        etag = f'"{found.etag}"'
        headers = [
            ("etag", etag),
            ("last-modified", formatdate(found.modified, usegmt=True)),
            ("accept-ranges", "bytes"),
            *found.headers.items(),
        ]
        if "content-type" not in found.headers:
            headers.append(("content-type", "binary/octet-stream"))
        if (wanted := call.request.header("if-match")) and not _matches(wanted, found):
            raise _precondition_failed()
        if (known := call.request.header("if-none-match")) and _matches(known, found):
            return Response(304, [("etag", etag)])
        status, start, stop = byte_range(call.request.header("range"), found.size)
        if status == 206:  # noqa: PLR2004 - partial content
            headers.append(("content-range", f"bytes {start}-{stop - 1}/{found.size}"))
        headers.append(("content-length", str(stop - start)))
        if call.request.method == "HEAD":
            return Response(status, headers)
        file = found.path.open("rb", buffering=0)
        return Response(status, headers, pieces(file, start, stop))

    def _delete_object(self, call: Call) -> Response:
        self._objects.delete(call.bucket, call.key)
        return Response(204)

    # Uploads in parts

    def _begin(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        upload = self._objects.begin(call.bucket, call.key, call.kept_headers())
        content = {"Bucket": call.bucket, "Key": call.key, "UploadId": upload}
        return _xml("InitiateMultipartUploadResult", content)

    async def _upload_part(self, call: Call) -> Response:
        if call.request.header("x-amz-copy-source"):
            raise _not_implemented("UploadPartCopy")
        upload, number = call.query["uploadId"], call.query.get("partNumber", "")
        self._objects.upload_headers(upload, call.bucket, call.key)
        if not _PART_NUMBER.fullmatch(number) or not 1 <= int(number) <= 10_000:  # noqa: PLR2004 - S3's own limit
            raise ApiError("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        draft, blob = await received(call, self._objects.blobs)
        try:
            self._objects.upload_headers(upload, call.bucket, call.key)
            self._objects.put_part(upload, int(number), draft, blob)
        finally:
            draft.drop()
        return Response(200, [("etag", f'"{blob.md5}"')])

    async def _complete(self, call: Call) -> Response:
        upload = call.query["uploadId"]
        headers = self._objects.upload_headers(upload, call.bucket, call.key)
        wanted = _wanted_parts(await call.body())
        there = self._objects.parts(upload)
        if [number for number, _ in wanted] != sorted({number for number, _ in wanted}):
            raise ApiError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. The parts list must be "
                "specified in order by part number.",
            )
        if not wanted or any(number not in there or there[number].etag != etag for number, etag in wanted):
            raise _invalid_part()
        parts = [there[number] for number, _ in wanted]
        if any(part.size < _SMALLEST_PART for part in parts[:-1]):
            raise ApiError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        try:
            draft, blob = await self._objects.blobs.copy([part.path for part in parts])
        except FileNotFoundError as error:  # sent again, or the upload was aborted, meanwhile
            raise _invalid_part() from error
        try:
            # Two may complete the same upload at once.
            self._objects.upload_headers(upload, call.bucket, call.key)
            self._check_condition(call)
            joined = b"".join(bytes.fromhex(part.etag) for part in parts)
            etag = f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
            self._objects.put(call.bucket, call.key, draft, blob, headers=headers, etag=etag)
            self._objects.abort(upload)
        finally:
            draft.drop()
        content = {
            "Location": f"/{call.bucket}/{quote(call.key)}",
            "Bucket": call.bucket,
            "Key": call.key,
            "ETag": f'"{etag}"',
        }
        return _xml("CompleteMultipartUploadResult", content)

    def _abort(self, call: Call) -> Response:
        self._objects.upload_headers(call.query["uploadId"], call.bucket, call.key)
        self._objects.abort(call.query["uploadId"])
        return Response(204)

    def _check_condition(self, call: Call) -> None:
        found = self._objects.find(call.bucket, call.key)
        if found and call.request.header("if-none-match") == "*":
            raise _precondition_failed()
        if (wanted := call.request.header("if-match")) and not (found and _matches(wanted, found)):
            raise _precondition_failed()


def _matches(header: str, found: Object) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in tags or found.etag in tags


def _wanted_parts(body: bytes) -> list[tuple[int, str]]:
    try:
        root = ET.fromstring(body)  # noqa: S314 - its sender holds this service's key
        return [
            (int(part.findtext("{*}PartNumber") or ""), (part.findtext("{*}ETag") or "").strip('"'))
            for part in root.findall("{*}Part")
        ]
    except (ET.ParseError, ValueError) as error:
        raise ApiError(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        ) from error


def _xml(root: str, content: object) -> Response:
    return xml_answer(root, content, namespace=_NAMESPACE)  # type: ignore[arg-type]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _not_implemented(what: str) -> ApiError:
    # S3 itself answers 501. Clients other than botocore retry every 5xx.
    return ApiError("NotImplemented", f"S3 on this machine does not implement what you asked for: {what}.")


def _invalid_part() -> ApiError:
    return ApiError(
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not "
        "have been uploaded, or the specified entity tag may not match the part's entity tag.",
    )


def _precondition_failed() -> ApiError:
    return ApiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
