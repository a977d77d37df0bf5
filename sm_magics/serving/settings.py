"""What the container reads from its environment, with the container's own defaults.

Sources: ``sagemaker_inference/environment.py``, ``sagemaker_pytorch_serving_container/ts_environment.py`` and the
configuration of TorchServe 0.12.0 (``TS_…`` variables; it allows them by ``enable_envvars_config``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TORCHSERVE_VARIABLES = (
    "SAGEMAKER_TS_BATCH_SIZE",
    "SAGEMAKER_TS_MAX_BATCH_DELAY",
    "SAGEMAKER_TS_MIN_WORKERS",
    "SAGEMAKER_TS_MAX_WORKERS",
    "SAGEMAKER_TS_RESPONSE_TIMEOUT",
)
_KNOWN = {
    *_TORCHSERVE_VARIABLES,
    "SAGEMAKER_BASE_DIR",
    "SAGEMAKER_BIND_TO_PORT",
    "SAGEMAKER_CONTAINER_LOG_LEVEL",
    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
    "SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT",
    "SAGEMAKER_MODEL_SERVER_WORKERS",
    "SAGEMAKER_MULTI_MODEL",
    "SAGEMAKER_PROGRAM",
    "SAGEMAKER_REGION",  # set by the SDKs, read by nothing
    "SAGEMAKER_SAFE_PORT_RANGE",
    "SAGEMAKER_SUBMIT_DIRECTORY",
}


# What a worker inherits of the environment of who started the server. No credentials, no notebook's PYTHONPATH.
_INHERITED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_NUMERIC",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CUDA_VISIBLE_DEVICES",
)


# boto3 would find a profile in the home directory, or ask the machine that it thinks it runs on.
_NO_CREDENTIALS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Settings:
    """Limits and time-outs of one model's server.

    Attributes
    ----------
    workers
        How many worker processes the container would start.
    response_timeout
        Seconds that a worker may take for one answer.
    waiting_requests
        Requests that may wait for a worker.
    max_request, max_response
        Bytes of a body.
    """

    workers: int
    response_timeout: float = 120.0
    waiting_requests: int = 100
    max_request: int = 6_553_500
    max_response: int = 6_553_500

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the container's environment.

        Raises
        ------
        ValueError
            If a variable that has to be an integer is not one. The container does not start then either.
        """

        def integer(name: str, default: int) -> int:
            text = environ.get(name, "")
            try:
                return int(text) if text else default
            except ValueError:
                raise ValueError(f"{name}={text!r} is not an integer.") from None

        torchserve = any(name in environ for name in _TORCHSERVE_VARIABLES)
        workers = integer("SAGEMAKER_MODEL_SERVER_WORKERS", 0)
        if torchserve:
            workers = integer("SAGEMAKER_TS_MIN_WORKERS", 1)
        return cls(
            workers=workers if workers > 0 else _devices(),
            response_timeout=integer("SAGEMAKER_TS_RESPONSE_TIMEOUT", 60 if torchserve else 120),
            waiting_requests=integer("TS_JOB_QUEUE_SIZE", 100),
            max_request=integer("TS_MAX_REQUEST_SIZE", 6_553_500),
            max_response=integer("TS_MAX_RESPONSE_SIZE", 6_553_500),
        )


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the ``SAGEMAKER_…`` variables that nothing in the container reads: most likely misspelt."""
    return sorted(name for name in environ if name.startswith("SAGEMAKER_") and name not in _KNOWN)


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that workers inherit, with the ways to the user's AWS credentials closed."""
    return {**{name: environ[name] for name in _INHERITED if name in environ}, **_NO_CREDENTIALS}


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices() -> int:
    # Counted without asking CUDA, which this process must not start.
    return len(list(Path("/dev").glob("nvidia[0-9]*"))) or cores()
