"""InvokeEndpointWithResponseStream, as boto3 reads it."""

from __future__ import annotations

from contextlib import closing

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from local_service import wait_until

from sm_magics.local.hosting import event_stream

STREAMING = """
import json, os, time
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept, context):
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "from=model")
    wanted = json.loads(body)
    if wanted == "whole":
        return "all at once", accept
    if wanted == "refuse":
        raise ValueError("not this one")
    return _pieces(wanted), accept
def _pieces(wanted):
    for number in range(5):
        if wanted == number:
            raise RuntimeError("broken on the way")
        yield f"piece {number};"
        if wanted == "wait":
            while not os.path.exists(os.environ["GATE"]):
                time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def streaming(service, gate):
    service.deploy("streaming", STREAMING, Environment={"GATE": str(gate)})
    yield "streaming"
    service.delete_endpoint("streaming")


def opened(service, name, body, **arguments):
    return service.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=name, Body=body, ContentType="application/json", **arguments
    )


def pieces(answer) -> list[bytes]:
    with closing(answer["Body"]) as body:
        return [event["PayloadPart"]["Bytes"] for event in body]


def test_pieces_come_as_payload_parts_with_the_headers_of_the_answer(service, streaming):
    answer = opened(service, streaming, b"null", Accept="text/plain", CustomAttributes="a=1")
    assert answer["ContentType"] == "text/plain"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["CustomAttributes"] == "from=model"
    assert b"".join(pieces(answer)) == b"piece 0;piece 1;piece 2;piece 3;piece 4;"


def test_a_piece_is_there_before_the_next_is_made(service, streaming, gate):
    answer = opened(service, streaming, b'"wait"')
    with closing(answer["Body"]) as body:
        parts = iter(body)
        assert next(parts)["PayloadPart"]["Bytes"] == b"piece 0;"
        assert not gate.exists()
        gate.touch()
        assert b"".join(part["PayloadPart"]["Bytes"] for part in parts) == b"piece 1;piece 2;piece 3;piece 4;"


def test_an_answer_in_one_piece_is_a_stream_of_one_part(service, streaming):
    assert pieces(opened(service, streaming, b'"whole"')) == [b"all at once"]


def test_a_handler_that_breaks_off_is_a_model_stream_error(service, streaming):
    with closing(opened(service, streaming, b"2")["Body"]) as body:
        parts = iter(body)
        assert next(parts)["PayloadPart"]["Bytes"] == b"piece 0;"
        with pytest.raises(EventStreamError) as caught:
            list(parts)
    error = caught.value.response["Error"]
    assert error["Code"] == "ModelStreamError"
    assert "broken on the way" in error["Message"]
    assert service.invoke(streaming, b'"whole"') == b"all at once"


def test_a_handler_that_fails_before_the_first_piece_is_a_model_error(service, streaming):
    with pytest.raises(ClientError, match="not this one") as caught:
        opened(service, streaming, b'"refuse"')
    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert caught.value.response["OriginalStatusCode"] == 500


def test_a_client_that_goes_away_leaves_the_worker_to_the_next(service, streaming):
    opened(service, streaming, b"null")["Body"].close()
    wait_until(lambda: service.invoke(streaming, b'"whole"') == b"all at once", what="the next answer")


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(256)) * 5000])
def test_frames_are_what_botocore_reads(payload):
    buffer = EventStreamBuffer()
    buffer.add_data(event_stream.event("PayloadPart", payload) + event_stream.exception("Odd", {"Message": "ü"}))
    part, error = list(buffer)
    assert part.payload == payload
    assert part.headers == {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
    assert error.headers[":exception-type"] == "Odd"
    assert error.payload == b'{"Message": "\\u00fc"}'
