"""The one seam to the SageMaker SDK, version 2 or 3 or its core alone, whichever is there.

Its tables are read without importing it, which takes seconds. What it makes, or already made, for the user is told by
the names of the classes for the same reason.
"""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import importlib.util
import json
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, DeploymentError

if TYPE_CHECKING:
    import boto3

# Where each SDK keeps the same table: version 3 (and sagemaker-core 2.x alone), then version 2.
_TABLES = ("core/image_uri_config/pytorch.json", "image_uri_config/pytorch.json")

# Where each SDK has its session and get_execution_role: version 3 and its core, version 2, the core of version 1.
_SESSIONS = {3: "sagemaker.core.helper.session_helper", 2: "sagemaker.session"}

# The SDKs would otherwise report each use to an address on the internet, and wait for it where there is none.
_NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}

_MODELS = {("sagemaker.model", "Model")}
_JOBS = {
    ("sagemaker.estimator", "EstimatorBase"),
    ("sagemaker.train.model_trainer", "ModelTrainer"),
    ("sagemaker.core.resources", "TrainingJob"),
    ("sagemaker_core.main.resources", "TrainingJob"),
}


@lru_cache(maxsize=1)
def pytorch_images() -> dict[str, Any]:
    """Return the SDK's table of PyTorch images: ``{"inference": {"versions": {"2.6.0": {…}}}, …}``.

    The SDK's module for image URIs takes seconds to import; the table it reads is a JSON file beside it.

    Raises
    ------
    ConfigurationError
        If no SageMaker SDK that carries the table is installed.
    """
    spec = importlib.util.find_spec("sagemaker")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        for table in _TABLES:
            path = Path(location) / table
            if path.is_file():
                loaded: dict[str, Any] = json.loads(path.read_text())
                return loaded
    raise ConfigurationError(
        "No table of SageMaker's PyTorch images is installed, so the container image cannot be chosen.",
        hint="%pip install sagemaker-core    # or name an image: %sm_deploy --image-uri …",
    )


def nearest_version(versions: Mapping[str, Mapping[str, Any]], torch: str, py_version: str = "") -> str:
    """Return the version of an image for a package.

    Parameters
    ----------
    versions
        The part ``versions`` of a table of images.
    torch
        The notebook's torch. Its very version is taken if there is one, else the newest of the same minor version.
    py_version
        Such as ``py311``: where neither is there, the newest with this Python is taken if any has it, else the newest.
    """
    exact = torch.split("+", maxsplit=1)[0]
    if exact in versions:
        return exact
    same = [version for version in versions if torch and version.split(".")[:2] == exact.split(".")[:2]]
    fitting = [version for version in versions if py_version in versions[version]["py_versions"]]
    return max(same or fitting or versions, key=version_key)


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions such as ``2.10.0`` are ordered by."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def major() -> int:
    """Return the installed SDK's major version, 3 for its core alone, 0 without any."""
    try:
        return int(importlib.metadata.version("sagemaker").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return 3 if importlib.util.find_spec("sagemaker") is not None else 0


def execution_role(session: boto3.Session) -> str:
    """Return the ARN of the execution role that the SDK's ``get_execution_role`` tells.

    Raises
    ------
    ConfigurationError
        If there is no SDK, or it cannot tell; its own words are in the message.
    """
    module = _sessions()
    try:
        made = module.Session(boto_session=_configured(session), sagemaker_config=_NO_TELEMETRY)
        return str(module.get_execution_role(made))
    except Exception as error:
        said = str(error).strip() or type(error).__name__
        raise ConfigurationError(f"the SDK's get_execution_role says: {said}") from error


def session(boto_session: boto3.Session, bucket: str) -> Any:
    """Return the SDK's session for a boto3 session: ``sagemaker.Session``, or that of ``sagemaker.core``.

    Parameters
    ----------
    bucket
        The default bucket. Without it the SDK would ask STS for the account.
    """
    kwargs = {"boto_session": _configured(boto_session), "sagemaker_config": _NO_TELEMETRY}
    return _sessions().Session(default_bucket=bucket, **kwargs)


def predictor(endpoint_name: str, boto_session: boto3.Session, bucket: str) -> Any:
    """Return the SDK's own object for an endpoint.

    Version 2: a ``sagemaker.pytorch.PyTorchPredictor`` that sends and takes JSON, as our handlers' defaults do.
    Version 3: a ``sagemaker.core.resources.Endpoint``.
    """
    if major() == 2:  # noqa: PLR2004 - the SDK's own number
        pytorch = importlib.import_module("sagemaker.pytorch")
        return pytorch.PyTorchPredictor(
            endpoint_name,
            sagemaker_session=session(boto_session, bucket),
            serializer=importlib.import_module("sagemaker.serializers").JSONSerializer(),
            deserializer=importlib.import_module("sagemaker.deserializers").JSONDeserializer(),
        )
    _sessions()
    resources = importlib.import_module("sagemaker.core.resources")
    return resources.Endpoint.get(endpoint_name=endpoint_name, session=_configured(boto_session))


def pytorch_model(
    archive: Path,
    digest: str,
    versions: Mapping[str, str],
    *,
    role: str | None = None,
    sagemaker_session: Any = None,
    **kwargs: Any,
) -> Any:
    """Return a ``sagemaker.pytorch.PyTorchModel`` of SDK 2 for a finished archive, which deploys without repacking.

    The archive is uploaded to the session's default bucket now, unless it lies there already.

    Parameters
    ----------
    digest
        SHA-256 of the archive: the object's key carries it.
    versions
        ``torch``, ``python`` and ``saved_as`` of the package; they decide the image.
    role
        Execution role. Default: what the SDK's ``get_execution_role`` tells.
    sagemaker_session
        Default: ``sagemaker.Session()``.
    kwargs
        Whatever else PyTorchModel takes.

    Raises
    ------
    ConfigurationError
        Without SDK 2.
    """
    if major() != 2:  # noqa: PLR2004 - the SDK's own number
        raise ConfigurationError(
            f"PyTorchModel is SageMaker SDK 2's, and {_installed()} is installed.",
            hint="deploy(package, 'NAME')    # needs no SDK; or %pip install 'sagemaker<3'",
        )
    pytorch = importlib.import_module("sagemaker.pytorch")
    made = sagemaker_session or _sessions().Session()
    bucket, key = made.default_bucket(), f"sm_magics/{digest}/model.tar.gz"
    s3 = made.boto_session.client("s3")
    if not s3.list_objects_v2(Bucket=bucket, Prefix=key).get("KeyCount"):
        s3.upload_file(str(archive), bucket, key)
    table = pytorch_images()["inference"]["versions"]
    python = f"py{versions.get('python', '').replace('.', '')}"
    version = nearest_version(table, versions.get("torch", ""), python if versions.get("saved_as") == "module" else "")
    chosen = {"framework_version": version, "py_version": table[version]["py_versions"][-1], **kwargs}
    # No entry point: with one the SDK fetches, unpacks, packs and uploads the archive again. These two take its place.
    chosen["env"] = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        **(kwargs.get("env") or {}),
    }
    return pytorch.PyTorchModel(
        model_data=f"s3://{bucket}/{key}",
        role=role or _sessions().get_execution_role(made),
        sagemaker_session=made,
        **chosen,
    )


def is_model(value: Any) -> bool:
    """Return whether a value is a model of SDK 2, such as a PyTorchModel."""
    return _is(value, _MODELS)


def is_job(value: Any) -> bool:
    """Return whether a value is what trains with an SDK: an Estimator, a ModelTrainer or a TrainingJob."""
    return _is(value, _JOBS)


def container(model: Any, instance_type: str, boto_session: boto3.Session, bucket: str) -> dict[str, Any]:
    """Return the container definition of a model of SDK 2; the SDK uploads what it has to for it.

    Raises
    ------
    DeploymentError
        If the SDK refuses; its own words are in the message.
    """
    if model.sagemaker_session is None:
        model.sagemaker_session = session(boto_session, bucket)
    try:
        made: dict[str, Any] = model.prepare_container_def(instance_type=instance_type)
    except Exception as error:
        raise DeploymentError(
            f"The SDK makes no container definition of this {type(model).__name__}: {error}",
            hint="%sm_deploy MODEL    # the model itself, packaged here",
        ) from error
    return {name: value for name, value in made.items() if value}


def role(model: Any) -> str:
    """Return the ARN of the role of a model of SDK 2, which may be called by its name; empty if it has none."""
    given = str(getattr(model, "role", None) or "")
    return str(model.sagemaker_session.expand_role(given)) if given and not given.startswith("arn:") else given


def training_job_name(value: Any) -> str:
    """Return the name of the training job that an SDK's object ran last.

    Raises
    ------
    DeploymentError
        If it has not run any.
    """
    job = value
    for attribute in ("latest_training_job", "_latest_training_job"):
        if hasattr(value, attribute):
            job = getattr(value, attribute)
    name = getattr(job, "training_job_name", "") or getattr(job, "name", "") if job is not None else ""
    if not isinstance(name, str) or not name:
        raise DeploymentError(
            f"This {type(value).__name__} has not trained anything yet.",
            hint="estimator.fit(…)    # or trainer.train(…); or %sm_attach JOB",
        )
    return name


def attached_estimator(job_name: str, boto_session: boto3.Session, bucket: str) -> Any:
    """Return version 2's ``sagemaker.pytorch.PyTorch``, attached to a training job. It waits until the job has ended.

    Raises
    ------
    ConfigurationError
        If version 2 is not installed: version 3 attaches to nothing.
    """
    if major() != 2:  # noqa: PLR2004 - the SDK's own number
        raise ConfigurationError(
            f"Only the SageMaker SDK 2 attaches an estimator to a training job ({_installed()} is installed).",
            hint='%pip install "sagemaker<3"    # or, without any SDK: %sm_deploy JOB',
        )
    pytorch = importlib.import_module("sagemaker.pytorch")
    return pytorch.PyTorch.attach(job_name, sagemaker_session=session(boto_session, bucket))


def _is(value: Any, names: set[tuple[str, str]]) -> bool:
    return any((kind.__module__, kind.__qualname__) in names for kind in type(value).__mro__)


def _sessions() -> Any:
    """Return the SDK's module with ``Session`` and ``get_execution_role``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SDK 2 says at each import that it is on its way out
            return importlib.import_module(_SESSIONS[major()])
    except (KeyError, ImportError) as error:
        raise ConfigurationError(
            f"No SageMaker SDK is installed that can be asked ({_installed()}).", hint="%pip install sagemaker-core"
        ) from error


def _installed() -> str:
    installed = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    found = next((name for name in ("sagemaker", "sagemaker-core") if name in installed), "")
    return f"{found} {installed[found]}" if found else "none"


def _configured(boto_session: boto3.Session) -> boto3.Session:
    """Return the same session, for the SDK: it asks STS at an address of its own, whatever the configuration says."""
    import boto3

    class Configured(boto3.Session):  # type: ignore[misc] # boto3 ships no types
        def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
            if service_name == "sts":
                kwargs.pop("endpoint_url", None)
            return super().client(service_name, *args, **kwargs)

    # Not made anew: boto3 can't make two sessions of one botocore session.
    made = copy.copy(boto_session)
    made.__class__ = Configured
    return made
