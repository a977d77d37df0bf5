"""Killed at any moment and started again, the service has lost nothing that it had said yes to."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from local_service import Service, wait_until

ROUNDS = 30
TRIPLE_MODEL = "second"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_it_keeps_what_was_in_service(own_service):
    own_service.start()
    own_service.deploy("first")
    own_service.create_config(TRIPLE_MODEL)
    chance = random.Random(20260101)
    for number in range(ROUNDS):
        worker = threading.Thread(target=_work, args=(own_service.home, f"made-{number}"))
        worker.start()
        time.sleep(chance.uniform(0, 0.6))
        own_service.kill()
        worker.join()
        own_service.close_clients()
        with contextlib.closing(sqlite3.connect(own_service.home / "state.sqlite3")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        own_service.start()
        statuses = {
            endpoint["EndpointName"]: endpoint["EndpointStatus"]
            for endpoint in own_service.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]
        }
        assert statuses.pop("first") == "InService"
        assert set(statuses.values()) <= {"InService", "Failed"}
        assert own_service.invoke("first") == b"[2, 4]"
        for name, status in statuses.items():
            if status == "InService":
                assert own_service.invoke(name) == b"[2, 4]"
            own_service.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: len(list((own_service.home / "endpoints").iterdir())) == 1, what="the other versions gone")


def _work(home, name: str) -> None:
    """Create, update and delete, until the service is gone."""
    client = Service(home)
    with contextlib.suppress(ClientError, BotoCoreError, OSError, ValueError):
        client.upload(f"{name}.bin", name.encode() * 100_000)
        client.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="first")
        client.settled(name)
        client.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=TRIPLE_MODEL)
        client.settled(name)
        client.sagemaker.update_endpoint(EndpointName="first", EndpointConfigName=TRIPLE_MODEL)
        client.settled("first")
        client.sagemaker.delete_endpoint(EndpointName=name)
        client.upload(f"{name}.bin", b"another")
    client.close_clients()
