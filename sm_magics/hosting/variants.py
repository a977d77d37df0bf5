"""What an endpoint runs as: on instances, or serverless; with its data captured or not.

Each value gives its part of CreateEndpointConfig. Asynchronous inference is to be one more of them: its
``AsyncInferenceConfig`` stands beside ``DataCaptureConfig`` in that request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sm_magics.errors import DeploymentError

VARIANT = "AllTraffic"
"""The production variant's name, as the SageMaker SDK has it."""

_MEMORY = range(1024, 6145, 1024)
_CONCURRENCY = range(1, 201)
_LONGEST = range(60, 3601)
_VOLUME = range(1, 513)
_CAPTURE_MODES = {"REQUEST": "Input", "RESPONSE": "Output"}

# Instance types with NVMe storage of their own: no EBS volume whose size or key could be chosen (API reference of
# CreateEndpointConfig, KmsKeyId). Beside these families all whose name ends in "d" or "dn".
_OWN_STORAGE = re.compile(r"ml\.(\w*dn?|g[5-7]e?|p4de|p5\w*|p6\S*|trn\w+|dl1)\.")


@dataclass(frozen=True)
class Serverless:
    """An endpoint without instances: it costs while it answers (``ServerlessConfig``).

    Attributes
    ----------
    memory_size_in_mb
        1024 to 6144, in steps of 1024.
    max_concurrency
        How many requests it answers at a time, 1 to 200.
    """

    memory_size_in_mb: int = 2048
    max_concurrency: int = 5

    def check(self) -> None:
        """Raise DeploymentError if SageMaker would refuse it."""
        if self.memory_size_in_mb not in _MEMORY:
            nearest = min(_MEMORY, key=lambda size: (size < self.memory_size_in_mb, abs(size - self.memory_size_in_mb)))
            raise DeploymentError(
                f"A serverless endpoint has 1024, 2048, 3072, 4096, 5120 or 6144 MB, not {self.memory_size_in_mb}.",
                hint=f"--serverless-memory {nearest}",
            )
        _within("--max-concurrency", self.max_concurrency, _CONCURRENCY)

    def request(self) -> dict[str, int]:
        """Return it as CreateEndpointConfig takes it."""
        return {"MemorySizeInMB": self.memory_size_in_mb, "MaxConcurrency": self.max_concurrency}


@dataclass(frozen=True)
class DataCapture:
    """What is sent to an endpoint and what it answers, kept in S3 (``DataCaptureConfig``).

    Attributes
    ----------
    destination_s3_uri
        A folder in S3. Empty: ``sm_magics/data-capture`` in the deployment's own bucket; SageMaker adds the endpoint's
        name.
    sampling_percentage
        How many of a hundred requests are kept.
    capture_options
        ``REQUEST``, ``RESPONSE`` or both.
    """

    destination_s3_uri: str = ""
    sampling_percentage: int = 100
    capture_options: tuple[str, ...] = ("REQUEST", "RESPONSE")

    def check(self) -> None:
        """Raise DeploymentError if SageMaker would refuse it."""
        _within("--capture-sampling", self.sampling_percentage, range(101))
        if self.destination_s3_uri and not re.fullmatch(
            r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?", self.destination_s3_uri
        ):
            raise DeploymentError(
                f"Data is captured to S3, and {self.destination_s3_uri!r} is no place there.",
                hint="--data-capture s3://BUCKET/FOLDER",
            )
        if not self.capture_options or not {*self.capture_options} <= {"REQUEST", "RESPONSE"}:
            raise DeploymentError(
                f"What can be captured is REQUEST and RESPONSE, not {', '.join(self.capture_options) or 'nothing'}.",
                hint="--capture REQUEST,RESPONSE",
            )

    def request(self, bucket: str, kms_key: str = "") -> dict[str, Any]:
        """Return it as CreateEndpointConfig takes it."""
        return {
            "EnableCapture": True,
            "InitialSamplingPercentage": self.sampling_percentage,
            "DestinationS3Uri": self.destination_s3_uri or f"s3://{bucket}/sm_magics/data-capture",
            **({"KmsKeyId": kms_key} if kms_key else {}),
            "CaptureOptions": [{"CaptureMode": _CAPTURE_MODES[option]} for option in self.capture_options],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"]},
        }


@dataclass(frozen=True)
class Options:
    """What is asked of one deployment, beside the settings that hold for all.

    Attributes
    ----------
    initial_instance_count
        How many instances; on this machine, workers.
    env
        Environment variables of the container.
    serverless
        Without instances, if given.
    data_capture
        What is kept of the traffic, if given.
    volume_size
        GB of each instance's volume, 1 to 512.
    model_data_download_timeout, container_startup_health_check_timeout
        Seconds, 60 to 3600.
    tags
        Further tags of everything that is created.
    create_bucket
        Whether the bucket may be created if it is not there.
    """

    initial_instance_count: int = 1
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    serverless: Serverless | None = None
    data_capture: DataCapture | None = None
    volume_size: int | None = None
    model_data_download_timeout: int | None = None
    container_startup_health_check_timeout: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    create_bucket: bool = False

    def check(self, instance_type: str, *, has_vpc: bool, is_isolated: bool) -> None:
        """Refuse what SageMaker would refuse, before anything is sent.

        Raises
        ------
        DeploymentError
            With the option that is out of range, or the two that exclude each other.
        """
        if self.serverless:
            self.serverless.check()
            self._check_exclusions(has_vpc=has_vpc, is_isolated=is_isolated)
        if self.data_capture:
            self.data_capture.check()
        _within("--initial-instance-count", self.initial_instance_count, range(1, 10_001))
        for option, value, allowed in (
            ("--volume-size", self.volume_size, _VOLUME),
            ("--model-data-download-timeout", self.model_data_download_timeout, _LONGEST),
            ("--container-startup-health-check-timeout", self.container_startup_health_check_timeout, _LONGEST),
        ):
            if value is not None:
                _within(option, value, allowed)
        if self.volume_size is not None and has_own_storage(instance_type):
            raise DeploymentError(
                f"{instance_type} has storage of its own, whose size is not chosen.",
                hint="%sm_deploy …    # without --volume-size",
            )
        _check_tags(self.tags)

    def _check_exclusions(self, *, has_vpc: bool, is_isolated: bool) -> None:
        # "Serverless Inference: feature exclusions", in the SageMaker developer guide.
        excluded = {
            "--data-capture": self.data_capture is not None,
            "--subnets and --security-group-ids": has_vpc,
            "--enable-network-isolation": is_isolated,
            "--initial-instance-count": self.initial_instance_count != 1,
            "--volume-size": self.volume_size is not None,
            "--model-data-download-timeout": self.model_data_download_timeout is not None,
            "--container-startup-health-check-timeout": self.container_startup_health_check_timeout is not None,
        }
        given = [option for option, is_given in excluded.items() if is_given]
        if given:
            raise DeploymentError(
                f"A serverless endpoint takes no {', no '.join(given)}.",
                hint=f"%sm_deploy --instance-type ml.m5.large …    # or without {', '.join(given)}",
            )

    def variant(self, model_name: str, instance_type: str) -> dict[str, Any]:
        """Return the production variant as CreateEndpointConfig takes it."""
        variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": model_name, "InitialVariantWeight": 1.0}
        if self.serverless:
            return {**variant, "ServerlessConfig": self.serverless.request()}
        chosen = {
            "VolumeSizeInGB": self.volume_size,
            "ModelDataDownloadTimeoutInSeconds": self.model_data_download_timeout,
            "ContainerStartupHealthCheckTimeoutInSeconds": self.container_startup_health_check_timeout,
        }
        return {
            **variant,
            "InstanceType": instance_type,
            "InitialInstanceCount": self.initial_instance_count,
            **{name: value for name, value in chosen.items() if value is not None},
        }


def has_own_storage(instance_type: str) -> bool:
    """Return whether instances of a type come with local storage, encrypted by the hardware."""
    return _OWN_STORAGE.match(f"{instance_type}.") is not None


def _within(option: str, value: int, allowed: range) -> None:
    if value not in allowed:
        nearest = min(max(value, allowed[0]), allowed[-1])
        raise DeploymentError(f"{option} is {allowed[0]} to {allowed[-1]}, not {value}.", hint=f"{option} {nearest}")


def _check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that the Tag type of the SageMaker API reference does not allow."""
    for key, value in tags.items():
        if not re.fullmatch(r"[\w .:/=+\-@]{1,128}", key) or not re.fullmatch(r"[\w .:/=+\-@]{0,256}", value):
            raise DeploymentError(
                f"{key}={value} is no tag that AWS takes: letters, digits, spaces and _ . : / = + - @, "
                "up to 128 for the name and 256 for the value.",
                hint="--tags team=vision",
            )
        if key.lower().startswith(("aws:", "sm-magics:")):
            raise DeploymentError(
                f"Tags that begin with {key.split(':')[0]}: are not for you to set.", hint="--tags team=vision"
            )
