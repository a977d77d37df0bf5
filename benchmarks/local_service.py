"""SageMaker on this machine: how fast it deploys, what it adds to a request, how many endpoints it carries.

Everything goes through boto3, unmodified, and stands beside something measured in the same run and in turn: a server
that answers every InvokeEndpoint at once, without looking at it, and SDK 3's ModelBuilder, which serves a model in the
caller's own process. The model is a traced nn.Linear(10, 2) with the toolkit's default handlers. SDK 3 is installed
once, into build/benchmark/. Run: python benchmarks/local_service.py [--rounds N] [--endpoints N] [--listed N]

What else runs on the machine slows all of it down, but not evenly: look at the differences, and at how far the rounds
agree.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config
from environments import environment

from sm_magics.home import ServiceAddress

SDK = ("sagemaker==3.27.0", "torch==2.13.0", "fastapi", "uvicorn")
BUCKET = "sagemaker-benchmark"
REPOSITORY = "763104351884.dkr.ecr.us-west-2.amazonaws.com"
IMAGE = f"{REPOSITORY}/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
#: Cannot run here: an endpoint of it is Failed at once, and takes no process.
OTHER_IMAGE = f"{REPOSITORY}/huggingface-pytorch-tgi-inference:2.4.0"
BODY = json.dumps([[0.1] * 10]).encode()
#: Answers without doing anything: what is left is the service, and the model server around the handlers.
NOTHING = (
    "def model_fn(model_dir):\n    return None\ndef transform_fn(model, body, content_type, accept):\n    return body"
)

MODEL = """
import sys, torch
torch.jit.trace(torch.nn.Linear(10, 2), torch.zeros(1, 10)).save(sys.argv[1])
"""

# Answers every request at once, as short as the service's own answer is.
STUB = """
import asyncio, httptools
HEADERS = ("content-type: application/json", "x-Amzn-Invoked-Production-Variant: AllTraffic", "content-length: 43",
           "x-amzn-requestid: 00000000-0000-0000-0000-000000000000")
ANSWER = "\\r\\n".join(("HTTP/1.1 200 OK", *HEADERS, "", "[" + "0" * 41 + "]")).encode()
class Stub(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)
    def data_received(self, data):
        self.parser.feed_data(data)
    def on_message_complete(self):
        self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
import uvloop
uvloop.run(main())
"""

# SDK 3 in a process of its own: from the builder to the first answer, a second one, and requests after that.
MODEL_BUILDER = """
import json, os, sys, time
import torch
from sagemaker.core.helper.session_helper import Session
from sagemaker.serve import ModelBuilder
from sagemaker.serve.builder.schema_builder import SchemaBuilder
from sagemaker.serve.mode.function_pointers import Mode
from sagemaker.serve.spec.inference_spec import InferenceSpec
class Linear(InferenceSpec):
    def load(self, model_dir):
        return torch.jit.load(os.path.join(directory, "model.pth")).eval()  # model_dir is None in this mode
    def invoke(self, rows, model):
        with torch.inference_mode():
            return model(torch.tensor(rows, dtype=torch.float32)).tolist()
    def get_model(self):
        return None
directory, bucket, role, body, count = *sys.argv[1:5], int(sys.argv[5])
sample = json.loads(body)
starts, times = [], []
for number in range(2):
    started = time.perf_counter()
    builder = ModelBuilder(
        inference_spec=Linear(), model_path=directory, schema_builder=SchemaBuilder(sample, [[0.0, 0.0]]),
        mode=Mode.IN_PROCESS, role_arn=role, sagemaker_session=Session(default_bucket=bucket))
    builder.build()
    endpoint = builder.deploy_local(endpoint_name=f"builder-{number}")
    assert endpoint.invoke(body=sample).body
    starts.append(time.perf_counter() - started)
for _ in range(count):
    started = time.perf_counter()
    endpoint.invoke(body=sample)
    times.append(time.perf_counter() - started)
times.sort()
print(json.dumps([*starts, times[len(times) // 2]]), flush=True)
os._exit(0)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured; the middle is shown")
    parser.add_argument("--requests", type=int, default=500, help="requests of each kind in a round")
    parser.add_argument("--endpoints", type=int, default=100, help="endpoints at once")
    parser.add_argument("--listed", type=int, default=1000, help="endpoints in the list")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sm-") as directory, ExitStack() as stack:
        model = Path(directory, "model.pth")
        subprocess.run([sys.executable, "-W", "ignore", "-c", MODEL, str(model)], check=True)
        client = Client(stack.enter_context(service(Path(directory, "home"))))
        bench = Bench(client, model, stack.enter_context(stub(client)), install())
        for number in range(options.rounds):
            bench.deployments(number)
            bench.requests(options.requests)
            bench.model_builder(options.requests)
        bench.crowd(options.endpoints)
        bench.lists(options.listed, options.rounds)
    bench.show()


def install() -> Path:
    """Return the interpreter of an environment with SDK 3."""
    return environment("sdk3", [SDK[1]], [*SDK]) / "bin" / "python"


@contextmanager
def service(home: Path) -> Iterator[ServiceAddress]:
    """Run a service in a state directory of its own."""
    home.mkdir(mode=0o700)
    os.environ["SM_MAGICS_HOME"] = str(home)
    with Path(home, "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sm_magics.local", "start", "--warm", sys.executable], stdout=log, stderr=log
        )
        try:
            while not ((address := ServiceAddress.read()) and address.pid == process.pid):
                if process.poll() is not None:
                    sys.exit(Path(home, "service.log").read_text())
                time.sleep(0.01)
            yield address
        finally:
            process.terminate()
            process.wait()


@contextmanager
def stub(client: Client) -> Iterator[Any]:
    """Run the server that answers at once; yield a runtime client of it."""
    with subprocess.Popen([sys.executable, "-c", STUB], stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            yield client.of("sagemaker-runtime", f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


class Client:
    """boto3 for one service."""

    def __init__(self, address: ServiceAddress) -> None:
        self.address = address
        self.sagemaker, self.runtime, self.s3 = map(self.of, ("sagemaker", "sagemaker-runtime", "s3"))
        self.role = f"arn:aws:iam::{address.account}:role/sm-magics"

    def of(self, name: str, url: str = "") -> Any:
        return boto3.client(
            name,
            endpoint_url=url or self.address.url,
            region_name=self.address.region,
            aws_access_key_id=self.address.access_key,
            aws_secret_access_key=self.address.secret_key,
            config=Config(proxies={}, max_pool_connections=32),
        )

    def create_config(self, name: str, url: str, image: str = IMAGE) -> None:
        container = {"Image": image, "ModelDataUrl": url}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.role)
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])

    def deploy(self, name: str, url: str) -> None:
        """Go all the way, from model to endpoint in service."""
        self.create_config(name, url)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name)

    def invoke(self, name: str, runtime: Any = None) -> bytes:
        answer = (runtime or self.runtime).invoke_endpoint(
            EndpointName=name, Body=BODY, ContentType="application/json", Accept="application/json"
        )
        body: bytes = answer["Body"].read()
        return body


class Bench:
    """What was measured so far."""

    def __init__(self, client: Client, model: Path, stub: Any, sdk: Path) -> None:
        self.client = client
        self.model = model
        self.stub = stub
        self.sdk = sdk
        self.measured: dict[str, list[float]] = {}
        location = {"LocationConstraint": client.address.region}
        client.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        self.linear = self.upload("linear", {"model.pth": model.read_bytes()})
        self.nothing = self.upload("nothing", {"code/inference.py": NOTHING.encode()})
        # The first endpoint pays for what all others use: benchmarks/first_prediction.py measures that.
        for name, url in (("linear", self.linear), ("nothing", self.nothing)):
            client.deploy(name, url)
            client.invoke(name)

    def upload(self, name: str, files: dict[str, bytes]) -> str:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        self.client.s3.put_object(Bucket=BUCKET, Key=f"{name}/model.tar.gz", Body=buffer.getvalue())
        return f"s3://{BUCKET}/{name}/model.tar.gz"

    def add(self, what: str, value: float) -> None:
        self.measured.setdefault(what, []).append(value)
        print(f"  {what}: {value:.4g}", file=sys.stderr)

    def deployments(self, number: int) -> None:
        """Measure from the first request about a new endpoint to its first answer."""
        times = []
        for turn in range(10):
            name = f"deployed-{number}-{turn}"
            times.append(measured(lambda name=name: (self.client.deploy(name, self.linear), self.client.invoke(name))))
            self.client.sagemaker.delete_endpoint(EndpointName=name)
        self.add("create → first prediction, s", statistics.median(times))

    def requests(self, count: int) -> None:
        """Measure requests to the stub, to a model that does nothing and to one that computes, in turn."""
        kinds: dict[str, Callable[[], bytes]] = {
            "boto3 → stub, ms": lambda: self.client.invoke("linear", self.stub),
            "boto3 → service → handler that does nothing, ms": lambda: self.client.invoke("nothing"),
            "boto3 → service → nn.Linear, ms": lambda: self.client.invoke("linear"),
        }
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(count):
            for name, call in kinds.items():
                times[name].append(measured(call))
        floor, nothing, linear = (statistics.median(values) * 1000 for values in times.values())
        for name, value in zip(kinds, (floor, nothing, linear), strict=True):
            self.add(name, value)
        self.add("beyond the stub, handler that does nothing, ms", nothing - floor)
        self.add("beyond the stub, nn.Linear, ms", linear - floor)

    def model_builder(self, count: int) -> None:
        """Measure SDK 3 in a process that has imported all that it needs."""
        config = self.model.with_name("config.yaml")
        # The SDK would report its use to an address on the internet.
        config.write_text("SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n")
        environ = {
            **os.environ,
            "AWS_ENDPOINT_URL": self.client.address.url,
            "AWS_ACCESS_KEY_ID": self.client.address.access_key,
            "AWS_SECRET_ACCESS_KEY": self.client.address.secret_key,
            "AWS_DEFAULT_REGION": self.client.address.region,
            "NO_PROXY": "127.0.0.1",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config),
        }
        environ.pop("PYTHONPATH", None)
        command = [str(self.sdk), "-c", MODEL_BUILDER, str(self.model.parent), BUCKET, self.client.role]
        done = subprocess.run(
            [*command, BODY.decode(), str(count)], env=environ, check=False, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(done.stderr)
        _first, second, middle = json.loads(done.stdout.splitlines()[-1])
        self.add("ModelBuilder, in process: create → first prediction, s", second)
        self.add("ModelBuilder, in process: p50, ms", middle * 1000)

    def crowd(self, count: int) -> None:
        """Measure many endpoints of one tiny model, all in service at once."""
        for number in range(count):
            self.client.create_config(f"crowd-{number}", self.linear)
        before = memory(self.client.address.pid)
        names = [f"crowd-{number}" for number in range(count)]
        waiter = self.client.sagemaker.get_waiter("endpoint_in_service")

        def create_all() -> None:
            for name in names:
                self.client.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda name: waiter.wait(EndpointName=name), names))
                answers = set(pool.map(self.client.invoke, names))
            if len(answers) != 1:
                sys.exit(f"{len(answers)} different answers")

        self.add(f"{count} endpoints created at once → every one has answered, s", measured(create_all))
        self.add(
            f"memory of the service and all its processes, {count} endpoints more, MiB", memory(self.client.address.pid)
        )
        self.add("… of these before, MiB", before)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: self.client.sagemaker.delete_endpoint(EndpointName=name), names))

    def lists(self, count: int, rounds: int) -> None:
        """Measure a walk through all pages of a long list."""
        self.client.create_config("listed", self.linear, OTHER_IMAGE)
        for number in range(count):
            name = f"listed-{number:05d}"
            self.client.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="listed")
        paginator = self.client.sagemaker.get_paginator("list_endpoints")

        def walk() -> int:
            pages = paginator.paginate(NameContains="listed-", PaginationConfig={"PageSize": 100})
            return sum(len(page["Endpoints"]) for page in pages)

        while self.client.sagemaker.list_endpoints(StatusEquals="Creating")["Endpoints"]:
            time.sleep(0.1)
        if walk() != count:
            sys.exit("not all endpoints are in the list")
        for _ in range(rounds):
            self.add(f"{count} endpoints listed, all pages of 100, ms", measured(walk) * 1000)

    def show(self) -> None:
        """Print the middle of each and how far the rounds lie apart."""
        print("| | median | lowest – highest |\n|---|---|---|")
        for what, values in self.measured.items():
            spread = f"{shown(min(values))} – {shown(max(values))}" if len(values) > 1 else "once"
            print(f"| {what} | {shown(statistics.median(values))} | {spread} |")


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def measured(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def memory(pid: int) -> float:
    """Return the MiB that a process and its descendants take together, what is shared once where that is known."""
    total = 0
    service = psutil.Process(pid)
    for process in (service, *service.children(recursive=True)):
        used = process.memory_full_info()
        total += getattr(used, "pss", used.uss)
    return total / (1 << 20)


if __name__ == "__main__":
    main()
