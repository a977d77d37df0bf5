"""The operations of S3 on single objects."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from email.utils import formatdate
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from sm_magics.local.account import Account
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.wire import Response

from .bodies import asked_algorithm, byte_range, document, pieces, received
from .call import (
    Call,
    Operations,
    access_denied,
    answer,
    checked_tags,
    invalid_argument,
    invalid_request,
    iso,
    malformed,
    no_such_version,
    not_implemented,
)
from .checksums import DEFAULT, FULL, Checksum
from .conditions import check_copy_source, check_match, check_write, is_unmodified
from .objects import Object, Objects

#: Keys that one DeleteObjects takes (Amazon S3 API reference).
_MOST_KEYS = 1000
_MOST_PARTS = 10_000
_PART_NUMBER = re.compile(r"[0-9]{1,5}")
_PARTIAL = 206
#: Query parameters that replace headers of the answer.
_OVERRIDES = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
#: Headers that ask for what objects here do not have.
_UNSUPPORTED = (
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-legal-hold",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)


class S3Objects:
    """The operations."""

    def __init__(self, objects: Objects, account: Account) -> None:
        self._objects = objects
        self._account = account
        self.operations: Operations = {
            ("PUT", "object", ""): self._put_object,
            ("GET", "object", ""): self._get_object,
            ("HEAD", "object", ""): self._get_object,
            ("DELETE", "object", ""): self._delete_object,
            ("POST", "bucket", "delete"): self._delete_objects,
            ("GET", "object", "attributes"): self._attributes,
            ("GET", "object", "tagging"): self._get_tags,
            ("PUT", "object", "tagging"): self._put_tags,
            ("DELETE", "object", "tagging"): self._delete_tags,
        }

    async def _put_object(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        check_supported(call)
        if call.header("x-amz-copy-source"):
            return await self._copy_object(call)
        headers, tags, algorithm = call.kept_headers(), call.tags(), asked_algorithm(call) or DEFAULT
        self._check_write(call)
        draft, blob = await received(call, self._objects.blobs)
        try:
            # Again: another one may have come while this one's bytes did.
            self._objects.require_bucket(call.bucket)
            self._check_write(call)
            checksum = Checksum(algorithm, blob.sums[algorithm])
            self._objects.put(call.bucket, call.key, draft, blob, headers=headers, tags=tags, checksum=checksum)
        finally:
            draft.drop()
        return Response(200, [("etag", f'"{blob.md5}"'), *checksum.headers(), *_encryption(headers)])

    async def _copy_object(self, call: Call) -> Response:
        source = source_of(call, self._objects, self._account)
        directive = _directive(call, "x-amz-metadata-directive")
        headers = call.kept_headers() if directive == "REPLACE" else dict(source.headers)
        if directive == "COPY":
            # What is not metadata is said anew with each copy.
            labels = ("x-amz-storage-class", "x-amz-server-side-encryption")
            headers = {name: value for name, value in headers.items() if not name.startswith(labels)}
            headers |= {name: value for name, value in call.kept_headers().items() if name.startswith(labels)}
        if (source.bucket, source.key) == (call.bucket, call.key) and directive == "COPY" and headers == source.headers:
            raise invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes."
            )
        tags = call.tags() if _directive(call, "x-amz-tagging-directive") == "REPLACE" else source.tags
        algorithm = asked_algorithm(call) or (source.checksum.algorithm if source.checksum else DEFAULT)
        known = source.checksum
        if known and known.algorithm == algorithm and known.type == FULL and "-" not in source.etag:
            self._check_write(call)
            copied = self._objects.put_digest(
                call.bucket, call.key, source.digest,
                size=source.size, etag=source.etag, headers=headers, tags=tags, checksum=known,
            )  # fmt: skip
        else:
            try:
                draft, blob = await self._objects.blobs.copy([source.path], {algorithm})
            except FileNotFoundError:  # deleted meanwhile
                raise ApiError("NoSuchKey", "The specified key does not exist.", 404, {"Key": source.key}) from None
            try:
                self._objects.require_bucket(call.bucket)
                self._check_write(call)
                checksum = Checksum(algorithm, blob.sums[algorithm])
                copied = self._objects.put(
                    call.bucket, call.key, draft, blob, headers=headers, tags=tags, checksum=checksum
                )
            finally:
                draft.drop()
        sums = copied.checksum.members() if copied.checksum else {}
        content = {"ETag": f'"{copied.etag}"', "LastModified": iso(copied.modified), **sums}
        return answer("CopyObjectResult", content, _encryption(headers))

    def _get_object(self, call: Call) -> Response:
        check_supported(call)
        found = self._objects.get(call.bucket, call.key)
        validators = [("etag", f'"{found.etag}"'), ("last-modified", formatdate(found.modified, usegmt=True))]
        if is_unmodified(call, found):
            return Response(304, validators)
        kept = {"content-type": "binary/octet-stream", **found.headers}
        for name in _OVERRIDES:
            if value := call.query.get(f"response-{name}"):
                kept[name] = value
        headers = [*validators, ("accept-ranges", "bytes"), *kept.items()]
        if found.tags:
            headers.append(("x-amz-tagging-count", str(len(found.tags))))
        status, start, stop = self._span(call, found)
        if status == _PARTIAL:
            headers.append(("content-range", f"bytes {start}-{stop - 1}/{found.size}"))
        elif found.checksum and call.header("x-amz-checksum-mode").upper() == "ENABLED":
            headers += found.checksum.headers()
        if "partNumber" in call.query and found.parts:
            headers.append(("x-amz-mp-parts-count", str(len(found.parts))))
        headers.append(("content-length", str(stop - start)))
        if call.request.method == "HEAD":
            return Response(status, headers)
        file = found.path.open("rb", buffering=0)
        return Response(status, headers, pieces(file, start, stop))

    def _span(self, call: Call, found: Object) -> tuple[int, int, int]:
        wanted = call.query.get("partNumber")
        if wanted is None:
            return byte_range(call.header("range"), found.size)
        number = part_number(wanted)
        if call.header("range"):
            raise invalid_request("Cannot specify both Range header and partNumber query parameter")
        sizes = found.parts or (found.size,)
        if number > len(sizes):
            raise ApiError("InvalidPartNumber", "The requested partnumber is not satisfiable", 416)
        start = sum(sizes[: number - 1])
        # Nothing has no first byte that a range could begin with.
        return (_PARTIAL if found.size else 200), start, start + sizes[number - 1]

    def _delete_object(self, call: Call) -> Response:
        if call.header("if-match"):
            self._objects.require_bucket(call.bucket)
            self._check_write(call)
        self._objects.delete(call.bucket, call.key)
        return Response(204)

    async def _delete_objects(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        if not (call.header("content-md5") or asked_algorithm(call)):
            raise invalid_request("Missing required header for this request: Content-MD5")
        wanted = await document(call)
        named = wanted.findall("{*}Object")
        if not 0 < len(named) <= _MOST_KEYS or not all(entry.findtext("{*}Key") for entry in named):
            raise malformed()
        quiet = (wanted.findtext("{*}Quiet") or "").lower() == "true"
        deleted: list[dict[str, str]] = []
        kept: list[dict[str, str]] = []
        for number, entry in enumerate(named):
            key = entry.findtext("{*}Key") or ""
            try:
                self._delete_meant(call, key, entry)
                deleted.append({"Key": key})
            except ApiError as error:
                kept.append({"Key": key, "Code": error.code, "Message": error.message})
            if not number % 50:
                await asyncio.sleep(0)  # others want to be answered, too
        return answer("DeleteResult", {"Deleted": [] if quiet else deleted, "Error": kept})

    def _delete_meant(self, call: Call, key: str, entry: ET.Element) -> None:
        """Delete an object if it is the one that was meant."""
        if (version := entry.findtext("{*}VersionId") or "null") != "null":
            raise no_such_version(version)
        if etag := entry.findtext("{*}ETag"):
            check_match(etag, self._objects.find(call.bucket, key), key)
        for name in ("LastModifiedTime", "Size"):  # directory buckets have them
            if entry.find(f"{{*}}{name}") is not None:
                raise not_implemented(f"DeleteObjects with {name}")
        self._objects.delete(call.bucket, key)

    def _attributes(self, call: Call) -> Response:
        found = self._objects.get(call.bucket, call.key)
        wanted = {name.strip() for value in call.request.values("x-amz-object-attributes") for name in value.split(",")}
        sums = found.checksum.members() if found.checksum else {}
        attributes = {
            "ETag": found.etag,
            "Checksum": sums or None,
            "ObjectParts": {"PartsCount": len(found.parts)} if found.parts else None,
            "StorageClass": found.headers.get("x-amz-storage-class", "STANDARD"),
            "ObjectSize": found.size,
        }
        if not wanted or not wanted <= set(attributes):
            raise invalid_argument("Invalid attribute name specified.")
        content = {name: value for name, value in attributes.items() if name in wanted}
        modified = formatdate(found.modified, usegmt=True)
        return answer("GetObjectAttributesResponse", content, [("last-modified", modified)])

    def _get_tags(self, call: Call) -> Response:
        return answer("Tagging", tag_set(self._objects.get(call.bucket, call.key).tags))

    async def _put_tags(self, call: Call) -> Response:
        tags = tags_in(await document(call))
        self._objects.tag(self._objects.get(call.bucket, call.key), tags)
        return Response(200)

    def _delete_tags(self, call: Call) -> Response:
        self._objects.tag(self._objects.get(call.bucket, call.key), {})
        return Response(204)

    def _check_write(self, call: Call) -> None:
        check_write(call, self._objects.find(call.bucket, call.key))


def check_supported(call: Call) -> None:
    """Refuse what an object here cannot be, by name."""
    for name in _UNSUPPORTED:
        if call.header(name):
            raise not_implemented(name)
    acl = call.header("x-amz-acl")
    if (acl and acl != "bucket-owner-full-control") or any(
        name.startswith("x-amz-grant-") for name, _ in call.request.headers
    ):
        # As of every bucket made since April 2023.
        raise ApiError("AccessControlListNotSupported", "The bucket does not allow ACLs")


def source_of(call: Call, objects: Objects, account: Account) -> Object:
    """Return the object that a copy is made of.

    Raises
    ------
    ApiError
        Also if it is not the one that was meant.
    """
    if call.header("x-amz-source-expected-bucket-owner") not in {"", account.id}:
        raise access_denied()
    path, _, version = call.header("x-amz-copy-source").partition("?versionId=")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    if not bucket or not key:
        raise invalid_argument("Invalid copy source object key")
    if version not in {"", "null"}:
        raise no_such_version(version)
    found = objects.get(bucket, key)
    check_copy_source(call, found)
    return found


def part_number(text: str) -> int:
    """Return the number of a part, as a query parameter has it."""
    if not _PART_NUMBER.fullmatch(text) or not 1 <= int(text) <= _MOST_PARTS:
        raise invalid_argument("Part number must be an integer between 1 and 10000, inclusive")
    return int(text)


def tag_set(tags: Mapping[str, str]) -> dict[str, object]:
    """Return labels as an XML answer has them."""
    return {"TagSet": {"Tag": [{"Key": key, "Value": value} for key, value in tags.items()]}}


def tags_in(wanted: ET.Element, of: str = "Object") -> dict[str, str]:
    """Return the labels of an XML document, those of an ``Object`` or a ``Bucket``."""
    entries = wanted.findall("{*}TagSet/{*}Tag")
    return checked_tags([(entry.findtext("{*}Key") or "", entry.findtext("{*}Value") or "") for entry in entries], of)


def _directive(call: Call, name: str) -> str:
    directive = call.header(name).upper() or "COPY"
    if directive not in {"COPY", "REPLACE"}:
        raise invalid_argument(f"Unknown {name.removeprefix('x-amz-').replace('-', ' ')}.")
    return directive


def _encryption(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.startswith("x-amz-server-side-encryption")]
