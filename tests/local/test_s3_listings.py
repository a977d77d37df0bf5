"""Listings of S3 on this machine: both forms agree with a model, whatever the keys; deleting many at once."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_service import BUCKET

from sm_magics.local.s3.blobs import Blobs
from sm_magics.local.s3.listings import Query, S3Listings
from sm_magics.local.s3.objects import Objects
from sm_magics.local.store import Store

FOLDER = "both/"
KEYS = ["a/1", "a/2", "b", "b/1", "b/2", "b0", "c d+e&<f>", "z", "ü/1", "ü/2"]


@pytest.fixture(scope="module")
def s3(service):
    service.upload("any", b"")
    for key in KEYS:
        service.s3.put_object(Bucket=BUCKET, Key=FOLDER + key, Body=b"")
    return service.s3


def names(pages) -> tuple[list[str], list[str]]:
    pages = list(pages)
    keys = [entry["Key"].removeprefix(FOLDER) for page in pages for entry in page.get("Contents", [])]
    prefixes = [entry["Prefix"].removeprefix(FOLDER) for page in pages for entry in page.get("CommonPrefixes", [])]
    return keys, prefixes


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_both_forms_page_through_everything_once(s3, operation, size):
    def listed(**arguments):
        pages = s3.get_paginator(operation).paginate(
            Bucket=BUCKET, Prefix=FOLDER, PaginationConfig={"PageSize": size}, **arguments
        )
        pages = [{**page, "Contents": page.get("Versions", page.get("Contents", []))} for page in pages]
        assert all(len(page["Contents"]) + len(page.get("CommonPrefixes", [])) <= size for page in pages)
        return names(pages)

    assert listed() == (KEYS, [])
    assert listed(Delimiter="/") == (["b", "b0", "c d+e&<f>", "z"], ["a/", "b/", "ü/"])


def test_the_first_form_goes_on_from_a_marker(s3):
    page = s3.list_objects(Bucket=BUCKET, Prefix=FOLDER, Marker=f"{FOLDER}b/1", MaxKeys=2)
    assert names([page]) == (["b/2", "b0"], [])
    assert page["IsTruncated"]
    assert "NextMarker" not in page, "only with a delimiter"
    grouped = s3.list_objects(Bucket=BUCKET, Prefix=FOLDER, Delimiter="/", MaxKeys=1)
    assert grouped["NextMarker"] == f"{FOLDER}a/"


def test_the_second_form_has_owners_when_they_are_wanted(s3):
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=FOLDER, FetchOwner=True)["Contents"][0]
    assert listed["Owner"]["ID"] == s3.list_buckets()["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=FOLDER)["Contents"][0]


def test_what_is_no_number_or_token_is_refused(s3):
    for arguments in ({"ContinuationToken": "%%%"}, {"ContinuationToken": "ü"}, {"ContinuationToken": "gA=="}):
        with pytest.raises(ClientError) as caught:
            s3.list_objects_v2(Bucket=BUCKET, **arguments)
        assert caught.value.response["Error"]["Code"] == "InvalidArgument", arguments


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listed")
    store = Store(folder / "state.sqlite3")
    objects = Objects(store, Blobs(folder / "objects"))
    objects.create_bucket("bucket")
    yield objects
    store.close()


keys = st.text("ab/.é\U0010fffe", min_size=1, max_size=6)


@given(
    names=st.sets(keys, max_size=12),
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "b", "a/"]),
    limit=st.integers(1, 4),
    form=st.sampled_from(["first", "second"]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_any_keys_agree_with_a_model(objects, *, names, prefix, delimiter, limit, form):
    for old in objects.after("bucket", "", "", 1000):
        objects.delete("bucket", old.key)
    for name in names:
        objects.put_digest("bucket", name, "0" * 64, size=0, etag="", headers={})
    query = Query(prefix, delimiter, limit, str)
    expected = []
    for name in sorted(names, key=str.encode):
        if name.startswith(prefix) and (entry := query.common_prefix(name) or name) not in expected:
            expected.append(entry)
    listings, found, marker = S3Listings(objects, None), [], ""
    while True:
        page = listings._page("bucket", query, query.behind(marker) if form == "first" else marker)
        found += sorted([entry.key for entry in page.objects] + page.prefixes, key=str.encode)
        if not page.truncated:
            break
        assert len(page.objects) + len(page.prefixes) == limit
        marker = page.shown if form == "first" else page.marker
    assert found == expected


def test_many_are_deleted_at_once(s3):
    names = [f"many/{number:04d} +<&>ü" for number in range(1000)]
    for name in names[::100]:
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    wanted = {"Objects": [{"Key": name} for name in names]}
    deleted = s3.delete_objects(Bucket=BUCKET, Delete=wanted)["Deleted"]
    assert [entry["Key"] for entry in deleted] == names, "also what was not there"
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="many/")["KeyCount"] == 0
    s3.put_object(Bucket=BUCKET, Key="many/one", Body=b"")
    quiet = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "many/one"}], "Quiet": True})
    assert "Deleted" not in quiet
    with pytest.raises(ClientError, match="MalformedXML"):
        s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": str(number)} for number in range(1001)]})


def test_resources_delete_a_whole_bucket(service, s3):
    import boto3

    address = service.address
    s3.create_bucket(Bucket="to-be-emptied", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    for number in range(3):
        s3.put_object(Bucket="to-be-emptied", Key=str(number), Body=b"")
    resource = boto3.resource(
        "s3",
        endpoint_url=address["url"],
        region_name=address["region"],
        aws_access_key_id=address["access_key"],
        aws_secret_access_key=address["secret_key"],
    )
    try:
        bucket = resource.Bucket("to-be-emptied")
        bucket.object_versions.delete()
        bucket.delete()
    finally:
        resource.meta.client.close()
    assert "to-be-emptied" not in [found["Name"] for found in s3.list_buckets()["Buckets"]]
