"""Model data, compressed or not, one object or many: what ends up as the model directory."""

from __future__ import annotations

import itertools

import pytest
from botocore.exceptions import ClientError
from local_service import BUCKET, DOUBLE, IMAGE, Service, model_archive, variant

NUMBERS = itertools.count()


def source(url: str, kind: str, compression: str) -> dict:
    return {"S3DataSource": {"S3Uri": url, "S3DataType": kind, "CompressionType": compression}}


def create(service: Service, name: str, data: dict, **container) -> None:
    service.sagemaker.create_model(
        ModelName=name,
        PrimaryContainer={"Image": IMAGE, "ModelDataSource": data, **container},
        ExecutionRoleArn=service.role,
    )


def deployed(service: Service, name: str, data: dict, **container) -> dict:
    create(service, name, data, **container)
    service.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])
    service.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return service.settled(name)


def test_an_archive_as_a_data_source_is_one_as_an_url(service):
    url = service.upload("gzip/model.tar.gz", model_archive(DOUBLE))
    assert deployed(service, "gzip", source(url, "S3Object", "Gzip"))["EndpointStatus"] == "InService"
    assert service.invoke("gzip") == b"[2, 4]"
    service.delete_endpoint("gzip")


def test_all_objects_of_a_prefix_lie_where_their_keys_say_and_need_not_stay_in_s3(service):
    lister = """
import json, os
def model_fn(model_dir):
    return sorted(os.path.relpath(os.path.join(folder, name), model_dir)
                  for folder, _, names in os.walk(model_dir) for name in names if not name.endswith(".pyc"))
def transform_fn(model, body, content_type, accept):
    return json.dumps(model), accept
"""
    for key, body in (("code/inference.py", lister.encode()), ("model.pth", b"w"), ("a/deep/one.bin", b"")):
        service.upload(f"prefixed/{key}", body)
    service.upload("prefixed-other/not.bin", b"")
    described = deployed(service, "prefixed", source(f"s3://{BUCKET}/prefixed/", "S3Prefix", "None"))
    assert described["EndpointStatus"] == "InService", service.log("prefixed")
    for key in ("code/inference.py", "model.pth", "a/deep/one.bin"):
        service.s3.delete_object(Bucket=BUCKET, Key=f"prefixed/{key}")
    assert service.invoke("prefixed") == b'["a/deep/one.bin", "code/inference.py", "model.pth"]'
    service.delete_endpoint("prefixed")


def test_what_a_handler_writes_into_the_model_directory_does_not_reach_s3(service):
    code = DOUBLE.replace("return 2", 'open(model_dir + "/model.pth", "w").write("spoilt"); return 2')
    service.upload("written/code/inference.py", code.encode())
    service.upload("written/model.pth", b"weights")
    deployed(service, "written", source(f"s3://{BUCKET}/written/", "S3Prefix", "None"))
    assert service.invoke("written") == b"[2, 4]"
    with service.s3.get_object(Bucket=BUCKET, Key="written/model.pth")["Body"] as body:
        assert body.read() == b"weights"
    service.delete_endpoint("written")


def test_one_object_that_is_no_archive_is_not_unpacked(service):
    url = service.upload("single/deep/weights.bin", b"weights")
    described = deployed(service, "single", source(url, "S3Object", "None"))
    # There is no code folder beside it, so the container cannot serve it; that is the container's business.
    assert described["EndpointStatus"] == "Failed"
    assert "ping health check" in described["FailureReason"]
    service.delete_endpoint("single")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (["code/inference.py", "folder/"], "'folder/' is no path of a file"),
        (["code/inference.py", "a//b"], "'a//b' is no path of a file"),
        (["code/inference.py", "a/../../b"], "'a/../../b' is no path of a file"),
        (["code/inference.py", "weights", "weights/part1"], "is both a file and a folder"),
        (["code/inference.py", "x" * 256], "is no path of a file"),
    ],
)
def test_names_that_make_no_files_fail_the_endpoint(service, keys, reason):
    name = f"odd-keys-{next(NUMBERS)}"
    for key in keys:
        service.upload(f"{name}/{key}", b"x")
    described = deployed(service, name, source(f"s3://{BUCKET}/{name}/", "S3Prefix", "None"))
    assert described["EndpointStatus"] == "Failed"
    assert reason in described["FailureReason"]
    service.delete_endpoint(name)


def test_data_that_went_between_the_model_and_its_endpoint_fails_the_endpoint_by_its_url(service):
    service.create_config("gone")
    service.s3.delete_object(Bucket=BUCKET, Key="gone/model.tar.gz")
    service.sagemaker.create_endpoint(EndpointName="gone", EndpointConfigName="gone")
    described = service.settled("gone")
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"] == f"Could not find model data at s3://{BUCKET}/gone/model.tar.gz."
    service.delete_endpoint("gone")


def test_data_that_is_not_there_and_combinations_that_make_no_sense_are_refused(service):
    def refused(data: dict, **container) -> str:
        with pytest.raises(ClientError) as caught:
            create(service, "refused", data, **container)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        return caught.value.response["Error"]["Message"]

    missing = f"s3://{BUCKET}/nothing/here/"
    assert refused(source(missing, "S3Prefix", "None")) == f"Could not find model data at {missing}."
    assert "must end with a forward slash" in refused(source(f"s3://{BUCKET}/gzip", "S3Prefix", "None"))
    assert "Gzip is not supported" in refused(source(f"s3://{BUCKET}/gzip/", "S3Prefix", "Gzip"))
    assert "mutually exclusive" in refused(source(missing, "S3Prefix", "None"), ModelDataUrl=missing)
    assert "Member must satisfy enum value set: [S3Prefix, S3Object]" in refused(source(missing, "Folder", "None"))
