"""Data capture: the lines and where they lie."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timezone

import pytest
from local_service import BUCKET, DOUBLE, Service, variant, wait_until

from sm_magics.local.hosting.capture import Captured, line

CONFIG = {
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": f"s3://{BUCKET}/captured/",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"]},
}
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def deploy(service: Service, name: str, **capture) -> None:
    service.create_model(name, DOUBLE)
    service.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant(name)], DataCaptureConfig={**CONFIG, **capture}
    )
    service.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert service.settled(name)["EndpointStatus"] == "InService"


def written(service: Service, prefix: str) -> dict[str, list[dict]]:
    found = service.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    lines = {}
    for entry in found:
        with service.s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"] as body:
            lines[entry["Key"]] = [json.loads(text) for text in body.read().splitlines()]
    return lines


def test_requests_and_answers_are_found_in_s3_as_json_lines(service):
    deploy(service, "captured")
    for number in range(3):
        service.invoke("captured", b"[%d]" % number, InferenceId=f"number {number}")
    with pytest.raises(Exception, match="ModelError"):
        service.invoke("captured", b"nonsense")
    found = wait_until(
        lambda: (
            lines if sum(map(len, (lines := written(service, "captured/captured/AllTraffic/")).values())) == 3 else None
        ),
        what="three captured requests",
    )
    for key in found:
        name = r"\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jsonl"
        assert re.fullmatch(f"captured/captured/AllTraffic/{name}", key)
    events = sorted(
        (event for lines in found.values() for event in lines), key=lambda event: event["eventMetadata"]["inferenceId"]
    )
    assert [event["captureData"]["endpointInput"] for event in events] == [
        {"observedContentType": "application/json", "mode": "INPUT", "data": f"[{number}]", "encoding": "JSON"}
        for number in range(3)
    ]
    assert events[1]["captureData"]["endpointOutput"]["data"] == "[2]"
    assert events[1]["captureData"]["endpointOutput"]["mode"] == "OUTPUT"
    assert events[1]["eventMetadata"]["inferenceId"] == "number 1"
    assert events[1]["eventVersion"] == "0"
    assert len({event["eventMetadata"]["eventId"] for event in events}) == 3
    described = service.sagemaker.describe_endpoint(EndpointName="captured")["DataCaptureConfig"]
    assert described == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": CONFIG["DestinationS3Uri"],
        "KmsKeyId": "",
    }
    service.delete_endpoint("captured")


def test_a_sample_of_none_and_what_is_turned_off_capture_nothing(service):
    deploy(service, "sampled", InitialSamplingPercentage=0, DestinationS3Uri=f"s3://{BUCKET}/samples")
    deploy(service, "not-captured", EnableCapture=False, DestinationS3Uri=f"s3://{BUCKET}/samples")
    deploy(service, "all-captured", DestinationS3Uri=f"s3://{BUCKET}/samples")
    for name in ("sampled", "not-captured", "all-captured"):
        service.invoke(name)
    # All are written together: what is not there with the last one will not come.
    found = wait_until(lambda: written(service, "samples/"), what="the last one's capture")
    assert [key.split("/")[1] for key in found] == ["all-captured"]
    described = service.sagemaker.describe_endpoint(EndpointName="not-captured")["DataCaptureConfig"]
    assert (described["EnableCapture"], described["CaptureStatus"]) == (False, "Stopped")
    for name in ("sampled", "not-captured", "all-captured"):
        service.delete_endpoint(name)


def test_what_cannot_be_written_is_said_in_the_log_and_the_answer_comes_anyway(service):
    deploy(service, "no-bucket", DestinationS3Uri="s3://not-there/prefix")
    assert service.invoke("no-bucket") == b"[2, 4]"
    wait_until(lambda: "could not be written to s3://not-there/prefix" in service.log("no-bucket"), what="a line")
    service.delete_endpoint("no-bucket")


def test_what_was_captured_last_is_written_when_the_service_ends(own_service):
    own_service.start()
    deploy(own_service, "last")
    own_service.invoke("last")
    own_service.end()
    own_service.start()
    assert len(written(own_service, "captured/last/")) == 1


@pytest.mark.parametrize(
    ("content_type", "body", "encoding", "data"),
    [
        ("text/csv; charset=utf-8", b"1,2", "CSV", "1,2"),
        ("Application/JSON", b"{}", "JSON", "{}"),
        ("application/x-npy", b"\x93NUMPY", "BASE64", base64.b64encode(b"\x93NUMPY").decode()),
        ("text/csv", b"\xff", "BASE64", base64.b64encode(b"\xff").decode()),
        ("", b"", "BASE64", ""),
    ],
)
def test_a_body_is_text_where_its_content_type_is_listed_and_base64_elsewhere(content_type, body, encoding, data):
    event = json.loads(line(Captured("id", "", content_type, body, "", b""), CONFIG, WHEN))
    found = event["captureData"]["endpointInput"]
    assert (found["observedContentType"], found["encoding"], found["data"]) == (content_type, encoding, data)
    assert event["eventMetadata"] == {"eventId": "id", "inferenceTime": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("mode", "sides"),
    [
        ("Input", {"endpointInput"}),
        ("Output", {"endpointOutput"}),
        ("InputAndOutput", {"endpointInput", "endpointOutput"}),
    ],
)
def test_only_the_sides_that_are_asked_for_are_captured(mode, sides):
    config = {**CONFIG, "CaptureOptions": [{"CaptureMode": mode}]}
    assert set(json.loads(line(Captured("id", "", "", b"", "", b""), config, WHEN))["captureData"]) == sides
