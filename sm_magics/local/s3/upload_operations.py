"""The operations of S3 on uploads in parts."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from sm_magics.local.account import Account
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.wire import Response

from .bodies import asked_algorithm, document, received
from .call import Call, Operations, answer, invalid_argument, invalid_request, iso, malformed
from .checksums import ALGORITHMS, COMPOSITE, DEFAULT, FULL, Checksum, composite, default_type
from .conditions import check_write
from .listings import Query, owner_of
from .object_operations import check_supported, part_number, source_of
from .objects import Object, Objects
from .uploads import Part, Upload

_SMALLEST_PART = 5 << 20
_SPAN = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")
_SUM = "x-amz-checksum-"


class S3Uploads:
    """The operations."""

    def __init__(self, objects: Objects, account: Account) -> None:
        self._objects = objects
        self._uploads = objects.uploads
        self._account = account
        self.operations: Operations = {
            ("POST", "object", "uploads"): self._begin,
            ("PUT", "object", "uploadId"): self._upload_part,
            ("POST", "object", "uploadId"): self._complete,
            ("DELETE", "object", "uploadId"): self._abort,
            ("GET", "object", "uploadId"): self._list_parts,
            ("GET", "bucket", "uploads"): self._list_uploads,
        }

    def _begin(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        check_supported(call)
        algorithm, kind = asked_algorithm(call), call.header("x-amz-checksum-type").upper()
        if kind not in {"", FULL, COMPOSITE} or (kind and not algorithm):
            raise invalid_request("Value for x-amz-checksum-type header is invalid.")
        if algorithm and (
            (kind == FULL and algorithm.startswith("sha")) or (kind == COMPOSITE and algorithm == "crc64nvme")
        ):
            raise invalid_request(f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm.")
        kind = kind or (default_type(algorithm) if algorithm else "")
        upload = self._uploads.begin(
            call.bucket, call.key, call.kept_headers(), tags=call.tags(), algorithm=algorithm, kind=kind
        )
        headers = [("x-amz-checksum-algorithm", algorithm.upper()), ("x-amz-checksum-type", kind)] if algorithm else []
        content = {"Bucket": call.bucket, "Key": call.key, "UploadId": upload}
        return answer("InitiateMultipartUploadResult", content, headers)

    async def _upload_part(self, call: Call) -> Response:
        upload = self._upload(call)
        number = part_number(call.query.get("partNumber", ""))
        if call.header("x-amz-copy-source"):
            return await self._copy_part(call, upload, number)
        draft, blob = await received(call, self._objects.blobs, upload.algorithm)
        try:
            self._upload(call)
            self._uploads.put_part(upload.id, number, draft, blob)
        finally:
            draft.drop()
        sums = [(_SUM + name, value) for name, value in blob.sums.items()]
        return Response(200, [("etag", f'"{blob.md5}"'), *sums])

    async def _copy_part(self, call: Call, upload: Upload, number: int) -> Response:
        source = source_of(call, self._objects, self._account)
        span = _span(call.header("x-amz-copy-source-range"), source)
        try:
            draft, blob = await self._objects.blobs.copy([source.path], {upload.algorithm or DEFAULT}, span=span)
        except FileNotFoundError:  # deleted meanwhile
            raise ApiError("NoSuchKey", "The specified key does not exist.", 404, {"Key": source.key}) from None
        try:
            self._upload(call)
            modified = self._uploads.put_part(upload.id, number, draft, blob)
        finally:
            draft.drop()
        sums = {f"Checksum{name.upper()}": value for name, value in blob.sums.items()}
        content = {"ETag": f'"{blob.md5}"', "LastModified": iso(modified), **sums}
        return answer("CopyPartResult", content)

    async def _complete(self, call: Call) -> Response:
        upload = self._upload(call)
        wanted = _wanted_parts(await document(call, is_summed=False))
        there = self._uploads.parts(upload.id)
        numbers = [number for number, _, _ in wanted]
        if numbers != sorted(set(numbers)):
            raise ApiError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. The parts list must be "
                "specified in order by part number.",
            )
        if not all(number in there and _is_meant(there[number], etag, sums) for number, etag, sums in wanted):
            raise _invalid_part()
        parts = [there[number] for number in numbers]
        if any(part.size < _SMALLEST_PART for part in parts[:-1]):
            raise ApiError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        size = call.header("x-amz-mp-object-size")
        if size and size != str(sum(part.size for part in parts)):
            raise invalid_request(
                f"The provided 'x-amz-mp-object-size' header value {size} does not match what was computed"
            )
        algorithm = upload.algorithm or DEFAULT
        try:
            draft, blob = await self._objects.blobs.copy([part.path for part in parts], {algorithm})
        except FileNotFoundError as error:  # sent again, or the upload was aborted, meanwhile
            raise _invalid_part() from error
        try:
            checksum = Checksum(algorithm, blob.sums[algorithm])
            if upload.type == COMPOSITE:
                checksum = composite(algorithm, [part.sums[algorithm] for part in parts])
            given = call.header(_SUM + algorithm)
            if given not in {"", checksum.value, checksum.value.partition("-")[0]}:
                raise ApiError(
                    "BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum."
                )
            # Two may complete the same upload at once.
            self._upload(call)
            check_write(call, self._objects.find(call.bucket, call.key))
            joined = b"".join(bytes.fromhex(part.etag) for part in parts)
            etag = f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
            self._objects.put(
                call.bucket, call.key, draft, blob,
                headers=upload.headers, etag=etag, tags=upload.tags, checksum=checksum,
                parts=tuple(part.size for part in parts),
            )  # fmt: skip
            self._uploads.drop(upload.id)
        finally:
            draft.drop()
        content = {
            "Location": f"http://{call.header('host')}/{call.bucket}/{quote(call.key)}",
            "Bucket": call.bucket,
            "Key": call.key,
            "ETag": f'"{etag}"',
            **checksum.members(),
        }
        return answer("CompleteMultipartUploadResult", content)

    def _abort(self, call: Call) -> Response:
        self._uploads.drop(self._upload(call).id)
        return Response(204)

    def _list_parts(self, call: Call) -> Response:
        upload = self._upload(call)
        query = Query.of(call, "max-parts")
        marker = call.query.get("part-number-marker") or "0"
        if not marker.isdecimal() or len(marker) > 9:  # noqa: PLR2004 - no part has such a number
            raise invalid_argument("Provided part-number-marker not an integer or within integer range")
        following = [part for part in self._uploads.parts(upload.id).values() if part.number > int(marker)]
        page = following[: query.limit]
        content = {
            "Bucket": call.bucket,
            "Key": query.code(call.key),
            "UploadId": upload.id,
            "PartNumberMarker": int(marker),
            "NextPartNumberMarker": page[-1].number if page else 0,
            "MaxParts": query.limit,
            "IsTruncated": len(page) < len(following),
            "ChecksumAlgorithm": upload.algorithm.upper() or None,
            "ChecksumType": upload.type or None,
            "Part": [
                {
                    "PartNumber": part.number,
                    "LastModified": iso(part.modified),
                    "ETag": f'"{part.etag}"',
                    "Size": part.size,
                    **{f"Checksum{name.upper()}": value for name, value in part.sums.items()},
                }
                for part in page
            ],
            "Initiator": owner_of(self._account),
            "Owner": owner_of(self._account),
            "StorageClass": upload.headers.get("x-amz-storage-class", "STANDARD"),
        }
        return answer("ListPartsResult", content)

    def _list_uploads(self, call: Call) -> Response:
        self._objects.require_bucket(call.bucket)
        query = Query.of(call, "max-uploads")
        marker = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
        uploads: list[Upload] = []
        prefixes: list[str] = []
        last, truncated = marker, False
        for upload in _behind(self._uploads.of(call.bucket, query.prefix), query, *marker):
            common = query.common_prefix(upload.key)
            if common and common in prefixes:
                continue
            if len(uploads) + len(prefixes) == query.limit:
                truncated = query.limit > 0
                break
            if common:
                prefixes.append(common)
            else:
                uploads.append(upload)
            last = (common, "") if common else (upload.key, upload.id)
        content = {
            "Bucket": call.bucket,
            "KeyMarker": query.code(marker[0]),
            "UploadIdMarker": marker[1],
            "NextKeyMarker": query.code(last[0]) if truncated else None,
            "NextUploadIdMarker": last[1] if truncated else None,
            "Prefix": query.code(query.prefix),
            "Delimiter": query.code(query.delimiter) if query.delimiter else None,
            "EncodingType": call.query.get("encoding-type"),
            "MaxUploads": query.limit,
            "IsTruncated": truncated,
            "Upload": [self._described(upload, query) for upload in uploads],
            "CommonPrefixes": [{"Prefix": query.code(prefix)} for prefix in prefixes],
        }
        return answer("ListMultipartUploadsResult", content)

    def _described(self, upload: Upload, query: Query) -> dict[str, Any]:
        return {
            "Key": query.code(upload.key),
            "UploadId": upload.id,
            "Initiator": owner_of(self._account),
            "Owner": owner_of(self._account),
            "StorageClass": upload.headers.get("x-amz-storage-class", "STANDARD"),
            "Initiated": iso(upload.begun),
            "ChecksumAlgorithm": upload.algorithm.upper() or None,
            "ChecksumType": upload.type or None,
        }

    def _upload(self, call: Call) -> Upload:
        return self._uploads.get(call.query["uploadId"], call.bucket, call.key)


def _behind(uploads: list[Upload], query: Query, key: str, identity: str) -> list[Upload]:
    """Return the uploads that follow the one of that key and id, or the key if that one is gone."""
    for place, upload in enumerate(uploads):
        if (upload.key, upload.id) == (key, identity):
            return uploads[place + 1 :]
    return [upload for upload in uploads if upload.key > query.behind(key)]


def _span(header: str, source: Object) -> tuple[int, int] | None:
    if not header:
        return None
    match = _SPAN.fullmatch(header)
    if not match or int(match[1]) > int(match[2]):
        raise invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy"
        )
    if int(match[2]) >= source.size:
        raise invalid_argument(f"Range specified is not valid for source object of size: {source.size}")
    return int(match[1]), int(match[2]) + 1


def _wanted_parts(wanted: ET.Element) -> list[tuple[int, str, dict[str, str]]]:
    """Return number, ETag and checksums of each part."""
    parts = []
    try:
        for part in wanted.findall("{*}Part"):
            sums = {name: part.findtext(f"{{*}}Checksum{name.upper()}") or "" for name in ALGORITHMS}
            parts.append((int(part.findtext("{*}PartNumber") or ""), part.findtext("{*}ETag") or "", sums))
    except ValueError:
        raise malformed() from None
    if not parts:
        raise malformed()
    return parts


def _is_meant(part: Part, etag: str, sums: dict[str, str]) -> bool:
    return etag.strip('"') == part.etag and all(
        value in {"", part.sums.get(name, value)} for name, value in sums.items()
    )


def _invalid_part() -> ApiError:
    return ApiError(
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not "
        "have been uploaded, or the specified entity tag may not match the part's entity tag.",
    )
