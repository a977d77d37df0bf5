"""The operations of S3 on buckets, and what is said of what no bucket here has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree as ET

from sm_magics.local.account import Account
from sm_magics.local.protocol.errors import ApiError
from sm_magics.local.protocol.wire import Response

from .bodies import document
from .call import Call, Operations, answer, invalid_argument, iso, not_implemented
from .listings import owner_of
from .object_operations import tag_set, tags_in
from .objects import Objects

_NAME = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: What names may not begin or end with ("General purpose bucket naming rules", S3 user guide).
_RESERVED = ("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: What can be set for a bucket in AWS and is never set here, with the error that says so (Amazon S3 API reference).
_NEVER_SET: Mapping[str, tuple[str, str]] = {
    "policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "policyStatus": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "lifecycle": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    "website": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    "replication": ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    "publicAccessBlock": (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    "object-lock": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
}
#: What every bucket answers that has nothing set.
_DEFAULTS: Mapping[str, tuple[str, object]] = {
    "versioning": ("VersioningConfiguration", None),
    # What each bucket has since January 2023.
    "encryption": (
        "ServerSideEncryptionConfiguration",
        {
            "Rule": {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                "BucketKeyEnabled": False,
            }
        },
    ),
    "accelerate": ("AccelerateConfiguration", None),
    "logging": ("BucketLoggingStatus", None),
    "notification": ("NotificationConfiguration", None),
    "requestPayment": ("RequestPaymentConfiguration", {"Payer": "BucketOwner"}),
    "ownershipControls": ("OwnershipControls", {"Rule": {"ObjectOwnership": "BucketOwnerEnforced"}}),
}


class S3Buckets:
    """The operations."""

    def __init__(self, objects: Objects, account: Account) -> None:
        self._objects = objects
        self._account = account
        self.operations: Operations = {
            ("GET", "service", ""): self._list_buckets,
            ("PUT", "bucket", ""): self._create_bucket,
            ("HEAD", "bucket", ""): self._head_bucket,
            ("DELETE", "bucket", ""): self._delete_bucket,
            ("GET", "bucket", "location"): self._location,
            ("GET", "bucket", "tagging"): self._get_tags,
            ("PUT", "bucket", "tagging"): self._put_tags,
            ("DELETE", "bucket", "tagging"): self._delete_tags,
            ("GET", "bucket", "acl"): self._acl,
            ("GET", "object", "acl"): self._acl,
            **{("GET", "bucket", name): self._never_set(*error) for name, error in _NEVER_SET.items()},
            **{("GET", "bucket", name): self._default(*content) for name, content in _DEFAULTS.items()},
        }

    def _list_buckets(self, call: Call) -> Response:
        prefix, token = call.query.get("prefix", ""), call.query.get("continuation-token", "")
        most = call.query.get("max-buckets", "10000")
        if not most.isdecimal() or not 1 <= int(most[:6]) <= 10_000:  # noqa: PLR2004 - S3's own limit
            raise invalid_argument("Provided max-buckets not an integer or within integer range")
        found = [(name, made) for name, made in self._objects.buckets() if name.startswith(prefix) and name > token]
        page = found[: int(most)]
        region = self._account.region
        buckets = [{"Name": name, "CreationDate": iso(made), "BucketRegion": region} for name, made in page]
        content = {
            "Buckets": {"Bucket": buckets},
            "Owner": owner_of(self._account),
            "ContinuationToken": page[-1][0] if len(page) < len(found) else None,
            "Prefix": prefix or None,
        }
        return answer("ListAllMyBucketsResult", content)

    async def _create_bucket(self, call: Call) -> Response:
        constraint = await _constraint(call)
        if call.header("x-amz-bucket-object-lock-enabled").lower() == "true":
            raise not_implemented("x-amz-bucket-object-lock-enabled")
        if call.header("x-amz-acl") not in {"", "private"}:
            raise ApiError(
                "InvalidBucketAclWithObjectOwnership",
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            )
        begins, ends = _RESERVED
        is_reserved = call.bucket.startswith(begins) or call.bucket.endswith(ends)
        if not _NAME.fullmatch(call.bucket) or ".." in call.bucket or is_reserved:
            raise ApiError("InvalidBucketName", "The specified bucket is not valid.", 400, {"BucketName": call.bucket})
        # us-east-1 is where a bucket goes that names no place.
        if constraint != call.region and not (call.region == "us-east-1" and not constraint):
            raise ApiError(
                "IllegalLocationConstraintException",
                f"The {constraint or 'unspecified'} location constraint is incompatible for the region specific "
                "endpoint this request was sent to.",
            )
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
        return answer("LocationConstraint", self._account.region)

    def _get_tags(self, call: Call) -> Response:
        tags = self._objects.bucket_tags(call.bucket)
        if not tags:
            raise ApiError("NoSuchTagSet", "The TagSet does not exist", 404, {"BucketName": call.bucket})
        return answer("Tagging", tag_set(tags))

    async def _put_tags(self, call: Call) -> Response:
        self._objects.tag_bucket(call.bucket, tags_in(await document(call), "Bucket"))
        return Response(204)

    def _delete_tags(self, call: Call) -> Response:
        self._objects.tag_bucket(call.bucket, {})
        return Response(204)

    def _acl(self, call: Call) -> Response:
        """Answer what is true of every bucket that has its ACLs disabled: the owner may do everything."""
        if call.key:
            self._objects.get(call.bucket, call.key)
        self._objects.require_bucket(call.bucket)
        owner = owner_of(self._account)
        grantee = ET.Element("Grantee", {f"{{{_XSI}}}type": "CanonicalUser"})
        ET.SubElement(grantee, "ID").text = owner["ID"]
        grants = {"Grant": {"Grantee": grantee, "Permission": "FULL_CONTROL"}}
        return answer("AccessControlPolicy", {"Owner": owner, "AccessControlList": grants})

    def _never_set(self, code: str, message: str) -> Callable[[Call], Response]:
        def refuse(call: Call) -> Response:
            self._objects.require_bucket(call.bucket)
            raise ApiError(code, message, 404, {"BucketName": call.bucket})

        return refuse

    def _default(self, root: str, content: object) -> Callable[[Call], Response]:
        def say(call: Call) -> Response:
            self._objects.require_bucket(call.bucket)
            return answer(root, content)

        return say


async def _constraint(call: Call) -> str:
    if call.request.header("content-length") in {"", "0"}:
        await call.body()
        return ""
    return (await document(call)).findtext("{*}LocationConstraint") or ""
