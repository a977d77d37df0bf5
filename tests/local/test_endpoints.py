"""The life of an endpoint, as boto3 sees it."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, WaiterError
from local_service import BUCKET, DOUBLE, IMAGE, Service, archive, model_archive, variant, wait_until

TRIPLE = DOUBLE.replace("return 2", "return 3")
RAISING = "def model_fn(model_dir):\n    raise RuntimeError('the weights are missing')\n"
#: Loads when a file appears, so that a test can look at a transition for as long as it wants.
HELD = """
import json, os, time
def model_fn(model_dir):
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    return 3
"""
HELD += DOUBLE.partition("return 2\n")[2]


def refused(call, *arguments, **named) -> str:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def test_an_endpoint_is_created_waited_for_called_and_deleted(service):
    sagemaker = service.sagemaker
    arn = service.create_endpoint("Life-Cycle")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="Life-Cycle")
    described = sagemaker.describe_endpoint(EndpointName="Life-Cycle")
    assert arn == described["EndpointArn"]
    assert arn.endswith(":endpoint/life-cycle")
    assert described["EndpointConfigName"] == "Life-Cycle"
    assert described["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    assert service.invoke("Life-Cycle") == b"[2, 4]"
    sagemaker.delete_endpoint(EndpointName="Life-Cycle")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="Life-Cycle")
    assert refused(sagemaker.describe_endpoint, EndpointName="Life-Cycle") == f'Could not find endpoint "{arn}".'


def test_configuration_model_and_archive_may_go_while_the_endpoint_lives(service):
    service.deploy("survivor")
    service.sagemaker.delete_endpoint_config(EndpointConfigName="survivor")
    service.sagemaker.delete_model(ModelName="survivor")
    service.s3.delete_object(Bucket=BUCKET, Key="survivor/model.tar.gz")
    assert service.invoke("survivor") == b"[2, 4]"
    assert service.sagemaker.describe_endpoint(EndpointName="survivor")["EndpointConfigName"] == "survivor"
    service.delete_endpoint("survivor")


def test_a_model_that_raises_on_loading_fails_the_endpoint_with_its_traceback_in_the_log(service):
    service.create_endpoint("raising", RAISING)
    with pytest.raises(WaiterError, match="Failed"):
        service.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="raising")
    described = service.sagemaker.describe_endpoint(EndpointName="raising")
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"] == (
        "The primary container for production variant AllTraffic did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    log = service.log("raising")
    assert log.count("RuntimeError: the weights are missing") == 1
    assert "Traceback" in log
    with pytest.raises(ClientError, match=r"Endpoint raising of account \d{12} not found"):
        service.invoke("raising")
    service.delete_endpoint("raising")


def test_an_image_that_is_not_pytorch_inference_fails_the_endpoint_by_name(service):
    image = IMAGE.replace("pytorch-inference", "huggingface-pytorch-tgi-inference")
    service.create_endpoint("other-image", Image=image)
    described = service.settled("other-image")
    assert described["EndpointStatus"] == "Failed"
    assert image in described["FailureReason"]
    service.delete_endpoint("other-image")


def test_an_interpreter_that_cannot_run_the_model_server_fails_the_endpoint_by_name(service):
    service.create_endpoint("no-python", Environment={"SM_MAGICS_PYTHON": "/nowhere/python"})
    described = service.settled("no-python")
    assert described["EndpointStatus"] == "Failed"
    assert "/nowhere/python" in described["FailureReason"]
    service.delete_endpoint("no-python")


def test_an_interpreter_whose_name_is_no_text_fails_the_endpoint_which_can_be_deleted(service):
    service.create_endpoint("odd-python", Environment={"SM_MAGICS_PYTHON": "/nowhere/\ud800"})
    described = service.settled("odd-python")
    assert described["EndpointStatus"] == "Failed"
    assert "could not run the model server" in described["FailureReason"]
    assert "surrogates not allowed" in service.log("odd-python")
    left = {path.name for path in (service.home / "run").iterdir()} - {"aws"}
    assert len(left) == 1, "what the good interpreter has"
    service.delete_endpoint("odd-python")


def _linked(name: str, target: str, kind: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("absolute", archive({"/tmp/evil.py": "x"}), "absolute path"),
        ("dotdot", archive({"code/../../evil.py": "x"}), "leads out"),
        ("symlink", _linked("out", "/etc/passwd", tarfile.SYMTYPE), "out"),
        ("hardlink", _linked("out", "../../other", tarfile.LNKTYPE), "out"),
        ("device", _linked("null", "", tarfile.CHRTYPE), "neither a file"),
        ("no-archive", b"this is not an archive", "not a gzip file"),
        ("truncated", model_archive(DOUBLE + "#" * 5000)[:-40], "Failed to extract"),
        ("empty", b"", "Failed to extract"),
    ],
)
def test_a_bad_archive_fails_the_endpoint_and_writes_nothing_outside(service, name, data, reason):
    service.create_endpoint(f"bad-{name}", data)
    described = service.settled(f"bad-{name}")
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"].startswith("Failed to extract model data archive s3://")
    assert reason in described["FailureReason"]
    # os.walk, since the version's directory is being removed meanwhile.
    assert not [folder for folder, _, files in os.walk(service.home) if "evil.py" in files]
    assert not Path("/tmp/evil.py").exists()
    service.delete_endpoint(f"bad-{name}")


def test_an_update_switches_to_the_new_version_and_the_old_one_answers_until_then(service, tmp_path):
    gate = tmp_path / "gate"
    service.deploy("updated")
    service.create_config("updated-2", HELD, Environment={"GATE": str(gate)})
    service.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="updated-2")
    described = service.sagemaker.describe_endpoint(EndpointName="updated")
    assert described["EndpointStatus"] == "Updating"
    assert described["EndpointConfigName"] == "updated"
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == "updated-2"
    assert service.invoke("updated") == b"[2, 4]"
    for call in (
        lambda: service.sagemaker.delete_endpoint(EndpointName="updated"),
        lambda: service.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="updated"),
    ):
        assert refused(call) == f'Cannot update in-progress endpoint "{described["EndpointArn"]}".'
    gate.touch()
    described = service.settled("updated")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "updated-2")
    assert "FailureReason" not in described
    assert service.invoke("updated") == b"[3, 6]"
    service.delete_endpoint("updated")


def test_an_update_that_fails_is_rolled_back_with_the_reason(service):
    service.deploy("rolled-back")
    service.create_config("rolled-back-2", RAISING)
    service.sagemaker.update_endpoint(EndpointName="rolled-back", EndpointConfigName="rolled-back-2")
    described = service.settled("rolled-back")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "rolled-back")
    assert "did not pass the ping health check" in described["FailureReason"]
    assert "the weights are missing" in service.log("rolled-back")
    assert service.invoke("rolled-back") == b"[2, 4]"
    service.create_config("rolled-back-3", TRIPLE)
    service.sagemaker.update_endpoint(EndpointName="rolled-back", EndpointConfigName="rolled-back-3")
    assert "FailureReason" not in service.settled("rolled-back")
    assert service.invoke("rolled-back") == b"[3, 6]"
    service.delete_endpoint("rolled-back")


def test_no_request_is_lost_in_updates(service):
    service.deploy("busy")
    service.create_config("busy-2", TRIPLE)
    answers: list[bytes] = []
    done = threading.Event()

    def call() -> None:
        client = Service(service.home)
        while not done.is_set():
            answers.append(client.invoke("busy"))
        client.close_clients()

    with ThreadPoolExecutor(3) as pool:
        callers = [pool.submit(call) for _ in range(3)]
        try:
            wait_until(lambda: len(answers) > 20, what="answers before the updates")
            for config, answer in [("busy-2", b"[3, 6]"), ("busy", b"[2, 4]")] * 10:
                service.sagemaker.update_endpoint(EndpointName="busy", EndpointConfigName=config)
                assert service.settled("busy")["EndpointConfigName"] == config
                wait_until(lambda answer=answer: answers[-20:].count(answer) == 20, what="answers after the update")
        finally:
            done.set()
        for caller in callers:
            caller.result()
    assert set(answers) == {b"[2, 4]", b"[3, 6]"}
    service.delete_endpoint("busy")


def test_an_endpoint_that_is_being_created_is_neither_deleted_nor_updated_nor_found_by_the_runtime(service, tmp_path):
    gate = tmp_path / "gate"
    arn = service.create_endpoint("held", HELD, Environment={"GATE": str(gate)})
    wording = f'Cannot update in-progress endpoint "{arn}".'
    assert refused(service.sagemaker.delete_endpoint, EndpointName="held") == wording
    assert refused(service.sagemaker.update_endpoint, EndpointName="held", EndpointConfigName="held") == wording
    with pytest.raises(ClientError, match="not found") as caught:
        service.invoke("held")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert service.sagemaker.list_endpoints(StatusEquals="Creating")["Endpoints"][0]["EndpointName"] == "held"
    gate.touch()
    assert service.settled("held")["EndpointStatus"] == "InService"
    service.delete_endpoint("held")


def test_traffic_goes_to_the_variants_by_weight_or_to_the_one_that_is_asked_for(service):
    service.create_model("variant-two", DOUBLE)
    service.create_model("variant-three", TRIPLE)
    service.sagemaker.create_endpoint_config(
        EndpointConfigName="variants",
        ProductionVariants=[
            variant("variant-two", VariantName="two", InitialVariantWeight=1.0),
            variant("variant-three", VariantName="three", InitialVariantWeight=0.0),
        ],
    )
    service.sagemaker.create_endpoint(EndpointName="variants", EndpointConfigName="variants")
    assert service.settled("variants")["EndpointStatus"] == "InService"
    assert {service.invoke("variants") for _ in range(5)} == {b"[2, 4]"}
    assert service.invoke("variants", TargetVariant="three") == b"[3, 6]"
    with pytest.raises(ClientError, match="Variant four of endpoint variants not found"):
        service.invoke("variants", TargetVariant="four")
    service.delete_endpoint("variants")


def test_a_serverless_endpoint_serves(service):
    service.create_model("serverless", DOUBLE)
    service.sagemaker.create_endpoint_config(
        EndpointConfigName="serverless",
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": "serverless",
                "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2},
            }
        ],
    )
    service.sagemaker.create_endpoint(EndpointName="serverless", EndpointConfigName="serverless")
    described = service.settled("serverless")
    assert described["ProductionVariants"][0]["CurrentServerlessConfig"]["MemorySizeInMB"] == 2048
    assert service.invoke("serverless") == b"[2, 4]"
    service.delete_endpoint("serverless")
