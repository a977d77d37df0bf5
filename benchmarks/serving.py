"""The model server against the real stack: TorchServe with AWS's toolkit, as the container sets it up.

Both serve the same traced nn.Linear(10, 2) with the toolkit's default handlers, in turn, in the same run, and are
asked by the same client, a process of its own. The real stack is installed once, into build/benchmark/; it needs
Java 11 or later. Run: python benchmarks/serving.py [--seconds S] [--rounds N]

What else runs on the machine slows both down, but not evenly: look at the ratios, and at how far the rounds agree.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
from environments import environment

TORCH = "2.13.0"
INSTALLED = [
    f"torch=={TORCH}",
    "torchserve==0.12.0",
    "torch-model-archiver",
    "sagemaker-pytorch-inference==2.0.25",
    "setuptools<81",  # pkg_resources, which the toolkit's server imports
    "psutil",
    "pyyaml",
    "packaging",
]
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
NPY = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
BODY = b"[[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]"
FLOOR = "the toolkit's own work, p50, ms"
COOLED = "the same after a pause of 0.2 ms, ms"

# "same" sends an array back: the default handlers would turn it into a Python list on the way.
MODELS = """
import sys
from pathlib import Path
import torch
SAME = '''
import io
import numpy as np
def transform_fn(model, body, content_type, accept):
    if content_type != "application/x-npy":
        return body
    array, buffer = np.load(io.BytesIO(body)), io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
'''
for name, handlers in ("linear", ""), ("same", SAME):
    code = Path(sys.argv[1], name, "model", "code")
    code.mkdir(parents=True)
    torch.jit.trace(torch.nn.Linear(10, 2), torch.zeros(1, 10)).save(code.parent / "model.pth")
    if handlers:
        (code / "inference.py").write_text(handlers)
"""

IMPORT = "import time; started = time.perf_counter()\nimport torch\nprint(time.perf_counter() - started)"

# What the toolkit itself takes for a request, in a process without a server: the floor for any server that uses it.
# A server waits between requests, and what comes after a wait takes longer: the processor's caches have cooled down.
TOOLKIT = """
import os, sys, time
from types import SimpleNamespace
from sagemaker_inference.transformer import Transformer
from sagemaker_pytorch_serving_container.default_pytorch_inference_handler import DefaultPytorchInferenceHandler
os.chdir(sys.argv[1])
headers = {"Content-Type": "application/json", "Accept": "application/json"}
context = SimpleNamespace(
    system_properties={"model_dir": sys.argv[1]}, model_name="model",
    request_processor=[SimpleNamespace(get_request_properties=lambda: headers)],
    set_response_content_type=lambda *_: None, set_response_status=print,
)
transformer = Transformer(DefaultPytorchInferenceHandler())
body, times = sys.argv[2].encode(), []
for _ in range(500):
    transformer.transform([{"body": bytearray(body)}], context)
pause, end = float(sys.argv[4]), time.perf_counter() + float(sys.argv[3])
while time.perf_counter() < end:
    if pause:
        time.sleep(pause)
    started = time.perf_counter()
    transformer.transform([{"body": bytearray(body)}], context)
    times.append(time.perf_counter() - started)
times.sort()
print(times[len(times) // 2])
"""

# Keep-alive connections, each with one request under way, served by one thread.
CLIENT = """
import json, select, socket, sys, time
port, clients, seconds, request = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4].encode("latin-1")
poll, connections, sent, received, times = select.epoll(), {}, {}, {}, []
now = time.perf_counter
started = now()
end = started + seconds
for _ in range(clients):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    number = connection.fileno()
    connections[number], received[number], sent[number] = connection, b"", now()
    poll.register(connection, select.EPOLLIN)
    connection.sendall(request)
while connections:
    for number, _ in poll.poll():
        connection = connections[number]
        answer = received[number] = received[number] + connection.recv(1 << 16)
        head, separator, body = answer.partition(b"\\r\\n\\r\\n")
        if not separator or len(body) < int(head.lower().partition(b"content-length:")[2].split(None, 1)[0]):
            continue
        assert answer.startswith(b"HTTP/1.1 200"), answer
        received[number] = b""
        times.append(now() - sent[number])
        if now() < end:
            sent[number] = now()
            connection.sendall(request)
        else:
            poll.unregister(connection)
            del connections[number]
times.sort()
print(json.dumps([len(times) / (now() - started), times[len(times) // 2], times[len(times) * 99 // 100]]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement of speed")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the middle is shown")
    options = parser.parse_args()
    container = environment("container", [*INSTALLED])
    with tempfile.TemporaryDirectory(prefix="sm-bench-") as directory:
        subprocess.run([sys.executable, "-c", MODELS, directory], check=True)
        bench = Bench(Path(directory), container, options.seconds)
        for _ in range(options.rounds):
            bench.round()
    bench.show()


class Bench:
    """What was measured so far."""

    def __init__(self, directory: Path, container: Path, seconds: float) -> None:
        self.directory = directory
        self.container = container
        self.seconds = seconds
        self.measured: dict[str, dict[str, list[float]]] = {}

    def add(self, what: str, who: str, value: float) -> None:
        self.measured.setdefault(what, {}).setdefault(who, []).append(value)
        print(f"  {what}, {who}: {value:.4g}", file=sys.stderr)

    def round(self) -> None:
        self.add("import torch, s", "floor", float(output(IMPORT)))
        servers: dict[str, Callable[..., object]] = {"ours": self.ours, "real": self.real}
        for workers in (1, 2):
            for who, serve in servers.items():
                with serve("linear", workers) as (port, process, start):
                    if workers == 1:
                        self.add("cold start to first prediction, s", who, start)
                    client(port, 1, 1.0)
                    for clients in (1, 4):
                        name = f"{workers} worker{'s' * (workers > 1)}, {clients} client{'s' * (clients > 1)}"
                        rate, middle, slow = client(port, clients, self.seconds)
                        self.add(f"requests/s, {name}", who, rate)
                        self.add(f"p50, {name}, ms", who, middle * 1000)
                        self.add(f"p99, {name}, ms", who, slow * 1000)
                    self.add(f"memory after that, {workers} worker{'s' * (workers > 1)}, MiB", who, memory(process))
            for what, pause in ((FLOOR, "0"), (COOLED, "0.0002")):
                arguments = (str(self.directory / "linear" / "model"), BODY.decode(), str(self.seconds), pause)
                self.add(what, "floor", float(output(TOOLKIT, *arguments)) * 1000)
        for who, serve in servers.items():
            with serve("same", 1) as (port, _process, _start):
                self.add("5 MB NPY in and out, ms", who, large(port) * 1000)
        self.add("warm start to first prediction, s", "ours", float(output(WARM, str(self.directory / "linear/model"))))

    @contextmanager
    def ours(self, model: str, workers: int) -> Iterator[tuple[int, psutil.Process, float]]:
        command = [sys.executable, "-m", "sm_magics.serving", str(self.directory / model / "model")]
        port = free_port()
        with served([*command, "--port", str(port), "--workers", str(workers)], port, self.directory, {}) as running:
            yield running

    @contextmanager
    def real(self, model: str, workers: int) -> Iterator[tuple[int, psutil.Process, float]]:
        """TorchServe with the properties that sagemaker_pytorch_serving_container/torchserve.py writes."""
        bin_, toolkit = self.container / "bin", next(self.container.glob("lib/*/site-packages/sagemaker_pytorch_*er"))
        base = self.directory / model
        port = free_port()
        properties = base / "sagemaker-ts.properties"
        settings = {
            "default_workers_per_model": workers,
            "inference_address": f"http://127.0.0.1:{port}",
            "default_service_handler": f"{toolkit}/handler_service.py:handle",
            "management_address": f"http://127.0.0.1:{free_port()}",
            # These have fixed numbers in the container, where nothing else runs.
            "metrics_address": f"http://127.0.0.1:{free_port()}",
            "grpc_inference_port": free_port(),
            "grpc_management_port": free_port(),
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        properties.write_text((toolkit / "etc" / "default-ts.properties").read_text() + "\n" + "".join(lines))
        (base / "store").mkdir(exist_ok=True)
        command = [
            *(str(bin_ / "torchserve"), "--start", "--foreground", "--model-store", str(base / "store")),
            *("--ts-config", str(properties), "--log-config", str(toolkit / "etc" / "log4j2.xml")),
            *("--models", f"model={base / 'model'}"),
        ]
        environ = {
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "SAGEMAKER_BASE_DIR": str(base),
            "PYTHONPATH": str(base / "model" / "code"),
            "TMPDIR": str(base),
        }
        with served(command, port, base, environ) as running:
            yield running

    def show(self) -> None:
        print(f"{'':40}{'ours':>10}{'real':>10}{'ratio':>8}   rounds of ours / of the real stack")
        for what, by in self.measured.items():
            middle = {who: statistics.median(values) for who, values in by.items()}
            cells = "".join(f"{middle[who]:10.4g}" if who in middle else " " * 10 for who in ("ours", "real"))
            if "floor" in middle:
                print(f"{what:40}{middle['floor']:10.4g}")
                continue
            larger, smaller = ("ours", "real") if what.startswith("requests") else ("real", "ours")
            ratio = f"{middle[larger] / middle[smaller]:7.1f}×" if len(middle) > 1 else " " * 8
            rounds = " / ".join(" ".join(f"{value:.3g}" for value in by[who]) for who in ("ours", "real") if who in by)
            print(f"{what:40}{cells}{ratio}   {rounds}")
        ours = statistics.median(self.measured["p50, 1 worker, 1 client, ms"]["ours"])
        floor, cooled = (statistics.median(self.measured[what]["floor"]) for what in (FLOOR, COOLED))
        print(f"p50 with 1 worker and 1 client: {ours / floor:.2f} times the toolkit's own work in a loop")
        print(f"and {ours / cooled:.2f} times that after a pause, which is how a server does it")


# A second server of the same warm parent: fork, load, predict.
WARM = """
import asyncio, sys, tempfile, time
from pathlib import Path
from sm_magics.serving.messages import Request
from sm_magics.serving.parent import WarmParent
from sm_magics.serving.pool import WorkerPool
async def main(model, directory):
    parent = await WarmParent.start(sys.executable, directory)
    for _ in range(2):
        started = time.perf_counter()
        pool = WorkerPool(model, parent=parent, log=lambda line: None)
        await pool.start()
        body = b"[[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]"
        answer = await pool.invoke(Request("POST", "/invocations", (("Content-Type", "application/json"),), body))
        took = time.perf_counter() - started
        assert answer.status == 200
        await pool.close()
    print(took)
    await parent.close()
with tempfile.TemporaryDirectory() as directory:
    asyncio.run(main(Path(sys.argv[1]), Path(directory)))
"""


@contextmanager
def served(
    command: list[str], port: int, directory: Path, environ: dict[str, str]
) -> Iterator[tuple[int, psutil.Process, float]]:
    """Start a server; yield its port, its process, and the seconds to its first prediction. Stop it."""
    with (directory / "log").open("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=directory, stdout=log, stderr=log, env={**os.environ, **environ}, start_new_session=True
        )
        try:
            while True:
                try:
                    ask(port, BODY, JSON)
                    break
                except (OSError, http.client.HTTPException):
                    if process.poll() is not None or time.perf_counter() - started > 120:
                        raise SystemExit((directory / "log").read_text()[-3000:]) from None
                    time.sleep(0.005)
            yield port, psutil.Process(process.pid), time.perf_counter() - started
        finally:
            tree = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait()
            for child in tree:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


def ask(port: int, body: bytes, headers: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/invocations", body, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise http.client.HTTPException(content)
    return content


def client(port: int, clients: int, seconds: float) -> list[float]:
    head = {"Host": "127.0.0.1", **JSON, "Content-Length": str(len(BODY))}
    lines = [f"{name}: {value}\r\n" for name, value in head.items()]
    request = "POST /invocations HTTP/1.1\r\n" + "".join(lines) + "\r\n" + BODY.decode()
    result: list[float] = json.loads(output(CLIENT, str(port), str(clients), str(seconds), request))
    return result


def large(port: int) -> float:
    """Return the median time for an array of 5 MB that comes back as it went."""
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).random(625_000))
    times = []
    for _ in range(20):
        started = time.perf_counter()
        answer = ask(port, buffer.getvalue(), NPY)
        times.append(time.perf_counter() - started)
        assert answer == buffer.getvalue()
    return statistics.median(times)


def memory(process: psutil.Process) -> float:
    """Return the MiB of a process and all below it, pages that several share counted once.

    Files, such as torch's libraries, count with what is mapped of them, whatever other processes map them too.
    """
    own, files = 0, dict[str, int]()
    for one in (process, *process.children(recursive=True)):
        for mapped in one.memory_maps():
            if mapped.path.startswith("/"):
                files[mapped.path] = max(files.get(mapped.path, 0), mapped.rss)
            else:
                own += mapped.pss
    return (own + sum(files.values())) / 2**20


def output(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
