"""Killed at any moment and started again, the service has lost nothing that it had said yes to."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from local_service import BUCKET, DOUBLE, Service, variant, wait_until

ROUNDS = 100
#: Of so many rounds, one goes on until endpoints have started, and asks all of them afterwards.
PATIENT = 10
#: Seconds until a kill, at most: in a patient round, and in the others.
LONG, SHORT = 3.0, 0.5
SECOND = "second"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_it_keeps_what_was_in_service(own_service):
    own_service.start()
    own_service.deploy("first")
    own_service.create_model(SECOND, DOUBLE)
    own_service.sagemaker.create_endpoint_config(
        EndpointConfigName=SECOND,
        ProductionVariants=[variant(SECOND)],
        DataCaptureConfig={
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
    )
    chance = random.Random(20260101)
    # The address stays the same, and so the clients: making them takes longer than all that they ask.
    client = Service(own_service.home)
    for number in range(ROUNDS):
        patient = number % PATIENT == 0
        worker = threading.Thread(target=_work, args=(client, f"made-{number}", chance.random()))
        worker.start()
        time.sleep(chance.uniform(0, LONG if patient else SHORT))
        own_service.kill()
        worker.join()
        with contextlib.closing(sqlite3.connect(own_service.home / "state.sqlite3")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        own_service.start()
        _check(own_service, patient=patient)
    client.close_clients()
    _check(own_service, patient=True)
    wait_until(lambda: len(list((own_service.home / "endpoints").iterdir())) == 1, what="the other versions gone")


def _check(service: Service, *, patient: bool) -> None:
    """Look whether everything is whole; with patience, ask all that is in service and delete it."""
    pages = service.sagemaker.get_paginator("list_endpoints").paginate()
    statuses = {one["EndpointName"]: one["EndpointStatus"] for page in pages for one in page["Endpoints"]}
    assert statuses.pop("first") == "InService"
    assert set(statuses.values()) <= {"InService", "Failed"}
    count = service.sagemaker.describe_endpoint(EndpointName="first")["ProductionVariants"][0]["CurrentInstanceCount"]
    assert count in {1, 2}
    if not patient:
        return
    assert service.invoke("first") == b"[2, 4]"
    for name, status in statuses.items():
        if status == "InService":
            assert service.invoke(name) == b"[2, 4]"
        service.sagemaker.delete_endpoint(EndpointName=name)


def _work(client: Service, name: str, where: float) -> None:
    """Create, update, scale and delete, beginning anywhere in between, until the service is gone."""
    sagemaker = client.sagemaker

    def create() -> None:
        client.upload(f"{name}.bin", name.encode() * 100_000)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="first")
        client.settled(name)

    def update() -> None:
        sagemaker.update_endpoint(EndpointName="first", EndpointConfigName=SECOND)
        client.settled("first")
        client.invoke("first")

    def scale() -> None:
        for count in (2, 1):
            sagemaker.update_endpoint_weights_and_capacities(
                EndpointName="first",
                DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": count}],
            )
            client.settled("first")

    def delete() -> None:
        sagemaker.delete_endpoint(EndpointName=name)
        client.upload(f"{name}.bin", b"another")

    steps = [create, update, scale, delete]
    begin = int(where * len(steps))
    with contextlib.suppress(BotoCoreError, OSError, ValueError):
        for step in steps[begin:] + steps[:begin]:
            # What cannot be done just now, to an endpoint that is not there for example, is passed over.
            with contextlib.suppress(ClientError):
                step()
