"""Packing a model: ours, SageMaker SDK 2's and 3's, MLflow's, ``tar | gzip -1`` and ``cp``, in turns, in one run.

Each runs in a process of its own, the SDKs and MLflow in environments of their own (build/benchmark/packing-*, made
once). The files lie in the page cache. Beside the times stands the most memory that the process had beyond what it
had before it packed. Run: python benchmarks/packing.py [--rounds N] [--sizes MIB ...] [--directory DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.exceptions import EndpointConnectionError
from environments import environment

ENVIRONMENTS = {
    "sdk2": ["sagemaker>=2.237,<3"],
    "sdk3": ["sagemaker-core>=2"],
    "mlflow": ["mlflow-skinny", "numpy", "pandas", "torch"],
}
SLOW = 512  # MiB from which on what takes minutes is run once

SCRIPT = """
import torch
from torch import nn

def model_fn(model_dir):
    net = nn.Module()
    net.load_state_dict(torch.load(f"{model_dir}/model.pth", map_location="cpu", weights_only=True), strict=False)
    return net
"""

# What every subject begins with: `measured` prints the seconds, and MiB of memory beyond those before. What was written
# before is on the disk then, and a virtual machine has the memory from its host that the pages of new files will take:
# otherwise whoever comes first waits for both. A cloud's disk writes at full speed for some gigabytes only: after large
# ones it rests.
MEASURED = """
import json, mmap, os, shutil, sys, time
def at_hand():
    os.sync()
    time.sleep(max(0, os.path.getsize("model.pth") - (1 << 30)) / 5e7)
    size = 3 * os.path.getsize("model.pth") + (1 << 30)
    with mmap.mmap(-1, size) as touched:
        for start in range(0, size, mmap.PAGESIZE):
            touched[start] = 1
def memory(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024
def measured(name, work):
    at_hand()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before, started = memory("VmRSS"), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    print(json.dumps([name, seconds, memory("VmHWM") - before]), flush=True)
    return result
directory = sys.argv[1]
os.chdir(directory)
"""

# A model of the size given, random as trained weights are, and what %sm_package does of it.
OURS = """
import torch, numpy
from torch import nn
from pathlib import Path
import sm_magics.packaging.building, sm_magics.packaging.artifact
from sm_magics import package
from sm_magics.packaging.archive import Member, extract, new_archive
class Weights(nn.Module):
    def __init__(self, mib):
        super().__init__()
        self.layers = nn.ParameterList(torch.empty(4 << 20) for _ in range(mib // 16))
        for layer in self.layers:
            layer.data.normal_()
model = torch.load(sys.argv[3], weights_only=True) if len(sys.argv) > 3 else Weights(int(sys.argv[2])).state_dict()
options = dict(namespace={}, cells=[])
folder = Path("ours"); (folder / "code").mkdir(parents=True, exist_ok=True)
script = folder / "code" / "inference.py"; script.write_text(open("code/inference.py").read())
tiny = Path("tiny"); (tiny / "code").mkdir(parents=True, exist_ok=True)
(tiny / "code/inference.py").write_text(script.read_text())
measured("ours: the first of a session, a few bytes", lambda: package({"w": torch.ones(1)}, model_dir=tiny, **options))
first = measured("ours, from memory: save and pack", lambda: package(model, model_dir=folder, **options))
same = measured("ours, from memory: the same again", lambda: package(model, model_dir=folder, **options))
assert same.digest == first.digest
script.write_text(script.read_text() + "\\n# changed\\n")
other = measured("ours, from memory: other code", lambda: package(model, model_dir=folder, **options))
assert other.digest != first.digest
from sm_magics.packaging import weights
from sm_magics.packaging.tar.hashing import hasher
def hashed():
    found = hasher()
    for piece in weights.records(weights.canonical(model)).pieces():
        found.update(piece)
measured("hashing the weights in memory", hashed)
def pack():
    members = [Member(name, Path(name)) for name in ("model.pth", "code/inference.py")]
    with new_archive(Path("packed.tar.gz"), members):
        pass
measured("ours, from model.pth: pack", pack)
"""

PEER_SDK = """
from {module} import create_tar_file, repack_model
class Session:
    settings = None
os.makedirs("{name}", exist_ok=True)
if len(sys.argv) > 2 and sys.argv[2] == "repack":
    uris = ["file://" + directory + "/" + way + "-{name}.tar.gz" for way in ("packed", "repacked")]
    measured("{title}: repack_model", lambda: repack_model("inference.py", "code", [], *uris, Session()))
else:
    os.makedirs("model-{name}", exist_ok=True)
    target = directory + "/packed-{name}.tar.gz"
    measured("{title}: create_tar_file", lambda: create_tar_file(["model.pth", "code"], target))
"""

MLFLOW = """
import torch, mlflow.pytorch
from mlflow.utils.file_utils import make_tarfile
class Weights(torch.nn.Module):
    pass
module = Weights()
for number, (name, value) in enumerate(torch.load("model.pth", weights_only=True).items()):
    module.register_buffer(f"w{number}", value)
shutil.rmtree("mlflow", ignore_errors=True)
def pack():
    mlflow.pytorch.save_model(module, "mlflow", pip_requirements=["torch"], **options)
    make_tarfile("mlflow.tar.gz", "mlflow", ".")
import inspect
taken = inspect.signature(mlflow.pytorch.save_model).parameters
options = {"serialization_format": "pickle"} if "serialization_format" in taken else {}
measured("MLflow: save_model and make_tarfile", pack)
"""

UPLOAD = """
import boto3
from sm_magics.hosting import artifacts, connect
from sm_magics.packaging import Package
from sm_magics.settings import Settings
connection = connect(Settings(region="us-west-2", bucket="models"))
s3 = boto3.client("s3")
assert connection.account and connection.client("s3").head_bucket(Bucket="models")  # as warm as boto3's is by then
def empty():
    for found in s3.list_objects_v2(Bucket="models").get("Contents", []):
        s3.delete_object(Bucket="models", Key=found["Key"])
empty()
measured("boto3: upload_file", lambda: s3.upload_file("ours/model.tar.gz", "models", "bare"))
empty()
package = Package.open("ours/model.tar.gz")
measured("ours: upload", lambda: artifacts.upload(package, connection))
"""

UNPACK = """
import tarfile
from pathlib import Path
from sm_magics.packaging.archive import extract
for name, path in (("ours", "ours/model.tar.gz"), ("SDK 2", "packed-sdk2.tar.gz")):
    for how in ("tar -xzf", "tarfile"):
        shutil.rmtree("unpacked", ignore_errors=True); os.mkdir("unpacked")
        def unpack():
            if how == "tarfile":
                with tarfile.open(path) as tar: tar.extractall("unpacked", filter="data")
            else:
                assert os.system(f"tar -xzf {path} -C unpacked") == 0
        measured(f"unpacking {name} archive, {how}", unpack)
shutil.rmtree("unpacked")
"""


@dataclass
class Results:
    """Seconds and MiB by what was measured."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float, memory: float | None = None) -> None:
        self.seconds.setdefault(name, []).append(seconds)
        if memory is not None:
            self.memory.setdefault(name, []).append(memory)
        print(f"    {name}: {seconds:.3f} s" + (f", {memory:.0f} MiB" if memory is not None else ""), flush=True)


def interpreter(name: str) -> Path:
    """Return the interpreter of a peer's environment."""
    return environment(f"packing-{name}", ENVIRONMENTS[name]) / "bin" / "python"


def run(results: Results, python: Path | str, code: str, directory: Path, *arguments: str, **environ: str) -> None:
    command = [str(python), "-W", "ignore", "-c", MEASURED + code, str(directory), *arguments]
    done = subprocess.run(command, env={**os.environ, **environ}, check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
    for line in done.stdout.splitlines():
        with suppress(ValueError):
            results.add(*json.loads(line))


def timed(results: Results, name: str, directory: Path, work: Callable[[], object]) -> None:
    subprocess.run([sys.executable, "-c", MEASURED + "at_hand()", str(directory)], check=True)
    started = time.perf_counter()
    work()
    results.add(name, time.perf_counter() - started)


def copied(directory: Path, *, synced: bool) -> None:
    subprocess.run(["cp", "model.pth", "copy.pth"], cwd=directory, check=True)
    if synced:
        with (directory / "copy.pth").open("rb") as file:
            os.fsync(file.fileno())


def settle(directory: Path) -> None:
    """Let the disk finish what others left to it, and the next find the file in memory."""
    for name in (
        "copy.pth",
        "gzip1.tar.gz",
        "packed.tar.gz",
        "mlflow.tar.gz",
        "repacked-sdk2.tar.gz",
        "repacked-sdk3.tar.gz",
    ):
        (directory / name).unlink(missing_ok=True)
    for name in ("mlflow", "ours", "tiny"):
        shutil.rmtree(directory / name, ignore_errors=True)
    os.sync()
    with (directory / "model.pth").open("rb") as file:
        while file.read(16 << 20):
            pass


def one_round(results: Results, directory: Path, size: int, *, slow: bool, trained: bool, moto: str) -> None:
    model = [str(directory / "model.pth")] if trained else []
    for synced in (False, True):
        settle(directory)
        timed(
            results,
            "cp, and fsync" if synced else "cp",
            directory,
            lambda synced=synced: copied(directory, synced=synced),
        )
    settle(directory)
    run(results, sys.executable, OURS, directory, str(size), *model)
    os.sync()
    if moto and slow:
        run(results, sys.executable, UPLOAD, directory, AWS_ENDPOINT_URL=moto, AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b", AWS_DEFAULT_REGION="us-west-2")  # fmt: skip
    if not slow:
        return
    for name, title, module in (
        ("sdk2", "SDK 2", "sagemaker.utils"),
        ("sdk3", "SDK 3", "sagemaker.core.common_utils"),
    ):
        code = PEER_SDK.format(name=name, title=title, module=module)
        run(results, interpreter(name), code, directory)
        run(results, interpreter(name), code, directory, "repack")
    run(results, sys.executable, UNPACK, directory)
    settle(directory)
    run(results, interpreter("mlflow"), MLFLOW, directory)
    settle(directory)
    timed(
        results,
        "tar | gzip -1",
        directory,
        lambda: subprocess.run(
            "tar -cf - model.pth code | gzip -1 > gzip1.tar.gz", shell=True, cwd=directory, check=True
        ),
    )


@contextmanager
def moto(directory: Path) -> Iterator[str]:
    """Run moto's server, whose bucket is there; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (directory / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            client = boto3.client(
                "s3", endpoint_url=address, region_name="us-west-2", aws_access_key_id="a", aws_secret_access_key="b"
            )
            for _ in range(60):
                with suppress(EndpointConnectionError):
                    client.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
                    break
                time.sleep(1)
            yield address
        finally:
            server.terminate()
            server.wait()


def make_model(directory: Path, size: int) -> None:
    import torch

    if size:
        tensors = {f"layers.{number}": torch.empty(4 << 20).normal_() for number in range(size // 16)}
    else:
        tensors = trained()
    torch.save(tensors, directory / "model.pth")
    (directory / "code").mkdir()
    (directory / "code/inference.py").write_text(SCRIPT)


def trained() -> dict[str, object]:
    """Train a network on scikit-learn's handwritten digits; its weights take 66 MiB."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    data, labels = map(torch.tensor, load_digits(return_X_y=True))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for batch in torch.randperm(len(data))[:1500].split(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(data[batch].float() / 16), labels[batch]).backward()
        optimizer.step()
    return dict(net.state_dict())


def table(results: Results) -> str:
    """Return the medians as Markdown, as multiples of cp too."""
    copy = statistics.median(results.seconds["cp"])
    lines = ["| | median, s | lowest – highest | × cp | memory, MiB |", "|---|---|---|---|---|"]
    for name, found in results.seconds.items():
        middle = statistics.median(found)
        spread = f"{min(found):.3f} – {max(found):.3f}" if len(found) > 1 else "once"
        memory = f"{max(results.memory[name]):.0f}" if name in results.memory else ""
        lines.append(f"| {name} | {middle:.3f} | {spread} | {middle / copy:.1f} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 64, 512, 2048], help="MiB; 0 is the trained model")
    parser.add_argument(
        "--peers", type=int, default=4096, help="MiB up to which the peers run; beyond, only cp and ours"
    )
    parser.add_argument("--directory", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sm_magics-packing-", dir=options.directory) as name:
        for size in options.sizes:
            directory = Path(name, str(size))
            directory.mkdir()
            os.environ["SM_MAGICS_HOME"] = str(directory / "home")
            make_model(directory, size)
            results = Results()
            with moto(directory) as address:
                for number in range(options.rounds):
                    print(f"{size or 'trained'}: round {number + 1}", flush=True)
                    slow = size <= options.peers and (number == 0 or size < SLOW)
                    one_round(results, directory, size, slow=slow, trained=not size, moto=address)
            print(
                f"\n### {f'{size} MiB of random fp32 weights' if size else 'Trained network'}\n\n{table(results)}\n",
                flush=True,
            )
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
