"""How much memory a worker of the container needs, and on which instance types the container's workers fit.

The container starts one worker for each vCPU (on GPU instances one for each GPU) unless
``SAGEMAKER_MODEL_SERVER_WORKERS`` says otherwise, and each of them loads the model for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
GIB = 1 << 30

SERVER = 450 * MB
"""TorchServe itself, idle: measured with the real stack (TorchServe 0.12.0, torch CPU)."""

WORKER = 265 * MB
"""What each worker adds before it has a model: a Python with torch. Measured in the same way."""

_ROOM = 0.85
"""Share of an instance's memory that is there for the container: the rest is the system's and the agents'."""


@dataclass(frozen=True)
class Instance:
    """An instance type: its vCPUs, its GPUs, and its memory in bytes."""

    name: str
    vcpus: int
    memory: int
    gpus: int = 0

    @property
    def workers(self) -> int:
        """How many workers the container starts there."""
        return self.gpus or self.vcpus


def _family(prefix: str, sizes: str, *, each: float, first: int = 2) -> list[Instance]:
    """Return the sizes of a family, each with twice the vCPUs of the one before and so many GiB a vCPU."""
    counts = [first << index for index in range(len(sizes.split()))]
    return [
        Instance(f"ml.{prefix}.{size}", vcpus, int(vcpus * each * GIB))
        for size, vcpus in zip(sizes.split(), counts, strict=True)
    ]


INSTANCES = (
    Instance("ml.t2.medium", 2, 4 * GIB),
    Instance("ml.t2.large", 2, 8 * GIB),
    Instance("ml.t2.xlarge", 4, 16 * GIB),
    Instance("ml.t2.2xlarge", 8, 32 * GIB),
    *_family("c5", "large xlarge 2xlarge 4xlarge", each=2),
    *_family("c7g", "large xlarge 2xlarge 4xlarge", each=2),
    *_family("m5", "large xlarge 2xlarge 4xlarge", each=4),
    *_family("r5", "large xlarge 2xlarge 4xlarge", each=8),
    Instance("ml.g4dn.xlarge", 4, 16 * GIB, 1),
    Instance("ml.g4dn.2xlarge", 8, 32 * GIB, 1),
    Instance("ml.g5.xlarge", 4, 16 * GIB, 1),
    Instance("ml.g5.2xlarge", 8, 32 * GIB, 1),
    Instance("ml.p3.2xlarge", 8, 61 * GIB, 1),
)
"""Common instance types for inference. Source: the EC2 pages "Instance types", read November 2026."""


def needed(model: int, workers: int) -> int:
    """Return the bytes that a container with so many workers needs, for a model of so many bytes a worker."""
    return SERVER + workers * (WORKER + model)


def fits(model: int, instance: Instance, workers: int = 0) -> bool:
    """Return whether the workers of an instance fit into its memory; by default those that the container starts."""
    return needed(model, workers or instance.workers) <= _ROOM * instance.memory


def workers_that_fit(model: int, instance: Instance) -> int:
    """Return how many workers fit, at most as many as the container starts."""
    room = _ROOM * instance.memory - SERVER
    return max(0, min(instance.workers, int(room // (WORKER + model))))


def advice(model: int) -> tuple[bool, str, str]:
    """Return what a model of so many bytes a worker means for instance types.

    Returns
    -------
    bool
        Whether the container's own number of workers fits on the smallest of the usual ones.
    str
        In words, the same for sizes that mean the same.
    str
        A variable of the container to set, where fewer workers help; empty otherwise.
    """
    usual = [one for one in INSTANCES if re.match(r"ml\.(t2|m5|r5)\.", one.name)]
    usual.sort(key=lambda one: (one.memory, one.vcpus))
    whole = next((one for one in usual if fits(model, one)), None)
    single = next((one for one in usual if fits(model, one, 1)), None)
    if whole is usual[0]:
        return True, f"fits {whole.name} and larger, one worker per vCPU", ""
    if single is None:
        return False, f"fits none of the usual instance types: {usual[-1].name} is too small for one worker", ""
    fewer = max(1, workers_that_fit(model, single))
    setting = f"SAGEMAKER_MODEL_SERVER_WORKERS={fewer}"
    if whole is None:
        return False, f"one worker per vCPU fits nowhere; {single.name} has room for {fewer}", setting
    if single is whole:
        return False, f"needs {whole.name} or larger for one worker per vCPU", ""
    return False, f"needs {whole.name} for one worker per vCPU; {single.name} has room for {fewer}", setting


def own_memory(pid: int) -> int:
    """Return the bytes of a process that it shares with no other (USS); 0 where the system does not tell."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(int(kilobytes) << 10 for kilobytes in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.MULTILINE))
