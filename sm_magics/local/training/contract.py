"""What a training script is started with: its environment variables and its command line.

As ``sagemaker-training`` 5.1 has them (``environment.py``, ``mapping.py``, ``process.py``), with two differences: the
command does not go through a shell, so that a hyperparameter with a space stays one argument; and ``MASTER_ADDR`` is
the loopback address, since nothing resolves ``algo-1`` here.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .layout import HOST, Layout

#: Hyperparameters that are the toolkit's own; all others that start with ``sagemaker_`` are the framework's.
_TOOLKITS = {
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "default_user_module_name",
    "_tuning_objective_metric",
    "sagemaker_s3_output",
}
_PREFIX = "sagemaker_"
_TORCH_DISTRIBUTED = "sagemaker_torch_distributed_enabled"
#: Ways to distribute that need what is in AWS's images alone.
_UNAVAILABLE = (
    "sagemaker_mpi_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
)
_LOG_LEVEL = 20


class UnavailableError(Exception):
    """The job asks for what does not run here. The message is a sentence."""


@dataclass(frozen=True)
class Program:
    """What a job runs when it names a script, rather than a command.

    Attributes
    ----------
    entry_point
        The script, relative to the source directory.
    source
        Where the source directory is: an URL of S3, a path in the container, or empty.
    arguments
        Hyperparameters as command line arguments.
    """

    entry_point: str
    source: str
    arguments: tuple[str, ...]
    hyperparameters: Mapping[str, Any]
    framework: Mapping[str, Any]

    @classmethod
    def of(cls, hyperparameters: Mapping[str, str], environ: Mapping[str, str]) -> Program:
        """Return the program of a job.

        Parameters
        ----------
        hyperparameters
            As in the request: SDK 2 encodes each as JSON, others may not.
        environ
            The container's environment, which names the script where no hyperparameter does.
        """
        decoded = {name: _decoded(value) for name, value in hyperparameters.items()}
        own = {name for name in decoded if name in _TOOLKITS or name.startswith(_PREFIX)}
        users = {name: value for name, value in decoded.items() if name not in own}
        return cls(
            entry_point=environ.get("SAGEMAKER_PROGRAM") or str(decoded.get("sagemaker_program") or ""),
            source=str(decoded.get("sagemaker_submit_directory") or environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or ""),
            arguments=tuple(_arguments(users)),
            hyperparameters=users,
            framework={name: decoded[name] for name in own - _TOOLKITS},
        )

    def command(self, python: str, code: Path) -> list[str]:
        """Return the command line.

        Raises
        ------
        UnavailableError
            If the job asks to be distributed in a way that is not available here.
        """
        for name in _UNAVAILABLE:
            if self.framework.get(name):
                raise UnavailableError(f"Distributed training with {name} is not available on this machine.")
        if self.entry_point.endswith(".sh"):
            return self._shell()
        script = self.entry_point.endswith(".py")
        if self.framework.get(_TORCH_DISTRIBUTED):
            processes = str(max(num_gpus(), 1))
            torchrun = [python, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc_per_node", processes]
            return [*torchrun, self.entry_point, *self.arguments]
        if (code / "setup.py").exists():
            # The container installs the package first; here the folder is on the path.
            return [python, "-m", self.entry_point.removesuffix(".py").replace("/", "."), *self.arguments]
        return [python, self.entry_point, *self.arguments] if script else self._shell()

    def _shell(self) -> list[str]:
        return ["/bin/sh", "-c", 'chmod +x "./$0" && exec "./$0" "$@"', self.entry_point, *self.arguments]

    def environ(self, layout: Layout, job: str) -> dict[str, str]:
        """Return the variables ``SM_…`` and those that the PyTorch toolkit sets."""
        resources, inputs = layout.configuration("resourceconfig"), layout.configuration("inputdataconfig")
        [group] = resources["instance_groups"]
        name = group["instance_group_name"]
        distributed = [name] if self.framework.get(_TORCH_DISTRIBUTED) else []
        channels = {channel: str(layout.data / channel) for channel in inputs}
        common = {
            "hosts": resources["hosts"],
            "network_interface_name": resources["network_interface_name"],
            "user_entry_point": self.entry_point,
            "resource_config": resources,
            "input_data_config": inputs,
            "output_data_dir": str(layout.output_data),
            "current_host": HOST,
            "current_instance_type": resources["current_instance_type"],
            "current_instance_group": name,
            "current_instance_group_hosts": resources["hosts"],
            "instance_groups": [name],
            "instance_groups_dict": {name: group},
            "distribution_instance_groups": distributed,
            "is_hetero": False,
            "module_name": self.entry_point.removesuffix(".py"),
            "log_level": _LOG_LEVEL,
            "framework_module": "sagemaker_pytorch_container.training:main",
            "input_dir": str(layout.root / "input"),
            "input_config_dir": str(layout.config),
            "output_dir": str(layout.output),
            "num_cpus": os.cpu_count() or 1,
            "num_gpus": num_gpus(),
            "num_neurons": 0,
            "model_dir": str(layout.model),
            "module_dir": self.source or str(layout.code),
            "output_intermediate_dir": str(layout.output / "intermediate"),
        }
        training = {
            **common,
            "additional_framework_parameters": self.framework,
            "channel_input_dirs": channels,
            "distribution_hosts": resources["hosts"] if distributed else [],
            "hyperparameters": self.hyperparameters,
            "is_master": True,
            "master_hostname": HOST,
            "job_name": job,
            "topology": None,
        }
        variables = {
            **common,
            "hps": self.hyperparameters,
            "framework_params": self.framework,
            "channels": sorted(channels),
            "training_env": training,
            "user_args": list(self.arguments),
            **{f"channel_{channel}": path for channel, path in channels.items()},
            **{f"hp_{key}": value for key, value in self.hyperparameters.items()},
        }
        return {
            # Not all names of hyperparameters can be names of variables.
            **{f"SM_{key.upper()}": _encoded(value) for key, value in variables.items() if not {"=", "\0"} & set(key)},
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }


def num_gpus() -> int:
    """Return how many GPUs there are, without asking CUDA."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _encoded(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    arguments = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        if isinstance(value, dict):
            text = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
        else:
            text = "" if value is None else str(value)
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", text]
    return arguments


def _free_port() -> int:
    # The container's own 7777 would be taken by the second job.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
