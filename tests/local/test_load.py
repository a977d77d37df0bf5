"""Many clients at once while endpoints are updated and workers die: no request is lost, and no memory."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from local_service import DOUBLE, Service, wait_until

REQUESTS = 10_000
CLIENTS = 16
STEADY, UPDATED, DYING = ENDPOINTS = ("steady", "updated", "dying")
#: Answers with its process as well, so that a test can end it.
CODE = DOUBLE.replace("import json", "import json, os").replace(
    "return [factor * value for value in data]", "return [os.getpid(), factor, *(factor * value for value in data)]"
)
#: Busy most of the time, so that it dies at work.
SLOW = CODE.replace("    return [", "    import time\n    time.sleep(0.002)\n    return [")


@dataclass
class Seen:
    """What became of requests."""

    answered: Counter[str] = field(default_factory=Counter)
    factors: Counter[tuple[str, int]] = field(default_factory=Counter)
    died: Counter[str] = field(default_factory=Counter)
    wrong: list[Any] = field(default_factory=list)

    def count(self) -> int:
        return self.answered.total() + self.died.total() + len(self.wrong)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_request_and_no_memory_is_lost_under_load(own_service: Service):
    own_service.start()
    for name in ENDPOINTS:
        own_service.deploy(name, SLOW if name == DYING else CODE)
    for factor in (2, 3):
        own_service.create_config(f"times-{factor}", CODE.replace("return 2", f"return {factor}"))
    process = psutil.Process(own_service.process.pid)
    # What is only made once is made before memory is looked at: connections, caches, and room for all of them.
    disturbed(own_service, REQUESTS // 4)
    before = process.memory_full_info().uss
    seen, kills = disturbed(own_service, REQUESTS)
    after = process.memory_full_info().uss

    assert seen.wrong == []
    assert seen.count() == REQUESTS
    # A worker has one request at a time, which dies with it. Those that wait go to the next.
    assert set(seen.died) <= {DYING}
    assert seen.died.total() <= kills
    assert {factor for name, factor in seen.factors if name == UPDATED} == {2, 3}
    assert {factor for name, factor in seen.factors if name != UPDATED} == {2}
    assert after <= 1.05 * before, f"{before >> 10} KiB before, {after >> 10} KiB after"
    for name in ENDPOINTS:
        own_service.delete_endpoint(name)


def disturbed(service: Service, requests: int) -> tuple[Seen, int]:
    """Send requests from all clients, updating an endpoint and killing a worker of another again and again."""
    seen, lock = Seen(), threading.Lock()
    numbers = iter(range(requests))
    kills = 0
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(call, service, numbers, seen, lock) for _ in range(CLIENTS)]
        for part, factor in zip(range(1, 9), itertools.cycle((3, 2))):
            while seen.count() < requests * part // 10:
                time.sleep(0.01)
            worker = wait_until(lambda: process_of(service, DYING), what="a worker")
            service.sagemaker.update_endpoint(EndpointName=UPDATED, EndpointConfigName=f"times-{factor}")
            os.kill(worker, signal.SIGKILL)
            kills += 1
            assert service.settled(UPDATED)["EndpointStatus"] == "InService"
            # Whoever asks from now on is answered by the new version.
            assert json.loads(service.invoke(UPDATED))[1] == factor
        for client in clients:
            client.result()
    return seen, kills


def process_of(service: Service, name: str) -> int:
    """Return the process that answers for an endpoint, 0 if the one that had the request died."""
    try:
        process: int = json.loads(service.invoke(name))[0]
    except ClientError:
        return 0
    return process


def call(service: Service, numbers: Iterator[int], seen: Seen, lock: threading.Lock) -> None:
    client = Service(service.home)
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            break
        name = ENDPOINTS[number % len(ENDPOINTS)]
        try:
            _process, factor, answer = json.loads(client.invoke(name, f"[{number}]".encode()))
        except ClientError as error:
            with lock:
                if is_death(error):
                    seen.died[name] += 1
                else:
                    seen.wrong.append(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            with lock:
                seen.wrong.append(error)
        else:
            with lock:
                if answer != factor * number:
                    seen.wrong.append((name, number, answer))
                else:
                    seen.answered[name] += 1
                    seen.factors[name, factor] += 1
    client.close_clients()


def is_death(error: ClientError) -> bool:
    """Whether it is what AWS answers when TorchServe's worker dies."""
    response = error.response
    return response["Error"]["Code"] == "ModelError" and "Worker died" in response["OriginalMessage"]
