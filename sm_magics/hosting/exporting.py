"""A plan as a script that needs neither the notebook nor sm_magics: boto3 alone, or the SageMaker SDK 2 or 3.

Each sends what the plan says, skips what is there already and waits for the endpoint. The values of the container's
own variables do not stand in it: the script reads them from the environment of whoever runs it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm_magics.errors import ConfigurationError, PackagingError

from . import artifacts
from .plan import DeploymentPlan

TARGETS = {"boto3": "boto3", "sdk2": "SageMaker SDK 2", "sdk3": "SageMaker SDK 3"}
"""What a script can be written for."""

_HERE = {"SM_MAGICS_PYTHON"}  # means something on this machine only

# The shape of each member that is one, as sagemaker.core.shapes calls it.
_SHAPES = {
    "PrimaryContainer": "ContainerDefinition",
    "ProductionVariants": "ProductionVariant",
    "ServerlessConfig": "ProductionVariantServerlessConfig",
    "DataCaptureConfig": "DataCaptureConfig",
    "CaptureOptions": "CaptureOption",
    "CaptureContentTypeHeader": "CaptureContentTypeHeader",
    "VpcConfig": "VpcConfig",
    "Tags": "Tag",
}


@dataclass(frozen=True)
class _Code:
    """An expression in the script."""

    text: str


@dataclass(frozen=True)
class _Call:
    """A call in the script, with keyword arguments."""

    name: str
    arguments: Mapping[str, Any]


_WIDTH = 110


def _written(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return a value as Python writes it, over several lines where one is too long.

    Parameters
    ----------
    indent
        Spaces that its lines begin with.
    before
        How much stands before it on its first line.
    """
    if isinstance(value, _Code):
        return value.text
    if isinstance(value, str):
        plain = repr(value)
        return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in plain else plain
    if isinstance(value, Mapping):
        opened, closed = "{", "}"
        items = [(f"{_written(name)}: ", item) for name, item in value.items()]
    elif isinstance(value, list):
        opened, closed, items = "[", "]", [("", item) for item in value]
    elif isinstance(value, _Call):
        opened, closed = f"{value.name}(", ")"
        items = [(f"{name}=", item) for name, item in value.arguments.items()]
    else:
        return repr(value)
    line = opened + ", ".join(name + _written(item, -1) for name, item in items) + closed
    if indent < 0 or indent + before + len(line) <= _WIDTH:
        return line
    inner = indent + 4
    lines = [f"{' ' * inner}{name}{_written(item, inner, len(name) + 1)},\n" for name, item in items]
    return f"{opened}\n{''.join(lines)}{' ' * indent}{closed}"


def script(plan: DeploymentPlan, target: str = "boto3", *, directory: Path | None = None) -> str:
    """Return the script.

    Parameters
    ----------
    target
        ``boto3``, ``sdk2`` or ``sdk3``.
    directory
        Where the script will lie: it names the archive relative to itself. Default: beside the archive.

    Raises
    ------
    ConfigurationError
        If there is no such target.
    PackagingError
        If the archive is gone.
    """
    writers = {"boto3": _boto3, "sdk2": _sdk2, "sdk3": _sdk3}
    if target not in writers:
        raise ConfigurationError(
            f"A script is written for {', '.join(writers)}, not for {target}.", hint="--export-for boto3"
        )
    return writers[target](plan, directory)


_IMPORTS = """import hashlib
{os}import sys
from pathlib import Path

import boto3
"""

_BEGINNING = '''

def is_there(ask, **request):
    """Whether what a request asks for exists."""
    try:
        ask(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404" or "Could not find" in str(error):
            return False
        raise
    return True

'''

_END = """
sagemaker_client.get_waiter("endpoint_in_service").wait(
    EndpointName=NAME, WaiterConfig={"Delay": 5, "MaxAttempts": 720}
)
if sagemaker_client.describe_endpoint(EndpointName=NAME)["EndpointConfigName"] != config_name:
    sys.exit(f"The update of {NAME} failed, and it serves what it served before.")
print(f"{NAME} is in service.")
"""


def _opening(plan: DeploymentPlan, target: str, directory: Path | None, imports: str) -> str:
    """Return what all scripts begin with: what they are, their imports, the archive and how it gets to its place."""
    bucket, key = artifacts.split(plan.upload)
    said = [f"Deploys the SageMaker endpoint {plan.endpoint_name} in {plan.region}. Needs {TARGETS[target]}."]
    if plan.env:
        said.append(f"Values that it reads from the environment: {', '.join(plan.env)}.")
    if plan.is_local:
        said.append('Made for SageMaker on this machine; first: eval "$(python -m sm_magics.local env)"')
    text = "\n\n".join(said)
    profile = {"profile_name": plan.profile} if plan.profile else {}
    session = _Call("boto3.Session", {"region_name": _Code("REGION"), **profile})
    constants = {"NAME": plan.endpoint_name, "REGION": plan.region, "ACCOUNT": plan.account}
    constants |= {"BUCKET": bucket, "KEY": key}
    needed = _IMPORTS.format(os="import os\n" if plan.env else "") + imports
    return (
        f'"""{text}{chr(10) if len(said) > 1 else ""}"""\n\n{needed}\n'
        + "".join(f"{name} = {_written(value)}\n" for name, value in constants.items())
        + f"\nsession = {_written(session)}\n"
        + 's3, sagemaker_client = session.client("s3"), session.client("sagemaker")\n'
        + _BEGINNING
        + (_upload(plan, directory) if plan.archive is not None else "")
    )


def _upload(plan: DeploymentPlan, directory: Path | None) -> str:
    assert plan.archive is not None  # noqa: S101 - who calls has looked
    relative = os.path.relpath(plan.archive, directory or plan.archive.parent)
    extra: dict[str, Any] = {"ExpectedBucketOwner": _Code("ACCOUNT")}
    if plan.kms_key:
        extra |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": plan.kms_key}
    create = next(request for request in plan.requests if request.operation == "CreateBucket")
    bucket = f"""    if not is_there(s3.head_bucket, Bucket=BUCKET, ExpectedBucketOwner=ACCOUNT):
        s3.create_bucket({_inside({**create.arguments, "Bucket": _Code("BUCKET")})})
"""
    return f"""
archive = Path(__file__).resolve().parent / {_written(relative)}
SHA256 = {_written(_sha256(plan.archive))}
if not is_there(s3.head_object, Bucket=BUCKET, Key=KEY, ExpectedBucketOwner=ACCOUNT):
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{{archive}} is not the archive that this script was written for.")
{"" if create.is_done else bucket}    s3.upload_file(str(archive), BUCKET, KEY, ExtraArgs={_written(extra)})

"""


def _sha256(archive: Path) -> str:
    """Return the digest of the file itself; the one in the key is of what it unpacks to."""
    digest = hashlib.sha256()
    try:
        with archive.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise PackagingError(f"The archive {archive} is gone.", hint="%sm_package MODEL") from error
    return digest.hexdigest()


def _inside(arguments: Mapping[str, Any]) -> str:
    return _written(_Call("", arguments), -1)[1:-1]


def _requests(plan: DeploymentPlan) -> dict[str, dict[str, Any]]:
    """Return the three requests with expressions in the place of what is not to be written down."""
    model = dict(plan.create_model)
    container = dict(model["PrimaryContainer"])
    environment = {name: value for name, value in container.get("Environment", {}).items() if name not in _HERE}
    environment |= {name: _Code(f"os.environ[{_written(name)}]") for name in plan.env}
    model["PrimaryContainer"] = {**container, "Environment": environment}
    return {"MODEL": model, "CONFIG": plan.create_endpoint_config, "ENDPOINT": plan.create_endpoint}


def _boto3(plan: DeploymentPlan, directory: Path | None) -> str:
    opening = _opening(plan, "boto3", directory, "from botocore.exceptions import ClientError\n")
    literals = "".join(f"{name} = {_written(request)}\n" for name, request in _requests(plan).items())
    return f"""{opening}{literals}
config_name = CONFIG["EndpointConfigName"]
if not is_there(sagemaker_client.describe_model, ModelName=MODEL["ModelName"]):
    sagemaker_client.create_model(**MODEL)
if not is_there(sagemaker_client.describe_endpoint_config, EndpointConfigName=config_name):
    sagemaker_client.create_endpoint_config(**CONFIG)
if not is_there(sagemaker_client.describe_endpoint, EndpointName=NAME):
    sagemaker_client.create_endpoint(**ENDPOINT)
elif sagemaker_client.describe_endpoint(EndpointName=NAME)["EndpointConfigName"] != config_name:
    sagemaker_client.update_endpoint(EndpointName=NAME, EndpointConfigName=config_name)
{_END}"""


def _sdk2(plan: DeploymentPlan, directory: Path | None) -> str:
    model = _requests(plan)["MODEL"]
    container, vpc = model["PrimaryContainer"], model.get("VpcConfig")
    made = {
        "name": plan.config_name,  # the SDK calls the configuration of an update after the model
        "model_data": _Code('f"s3://{BUCKET}/{KEY}"'),
        "role": model["ExecutionRoleArn"],
        "image_uri": container["Image"],
        "framework_version": plan.image.torch or "2.6.0",
        "py_version": f"py{plan.image.python.replace('.', '')}" if plan.image.python else "py312",
        "env": container["Environment"],
        **({"vpc_config": vpc} if vpc else {}),
        **({"enable_network_isolation": True} if model.get("EnableNetworkIsolation") else {}),
        "sagemaker_session": _Code("sagemaker_session"),
    }
    placed = {
        "endpoint_name": _Code("NAME"),
        **_sdk2_place(plan),
        "tags": plan.tags,
        "wait": False,
        "update_endpoint": _Code("exists"),
    }
    names = {call.name for call in placed.values() if isinstance(call, _Call)}
    imports = "import sagemaker\nfrom botocore.exceptions import ClientError\n" + "".join(
        f"from {module} import {name}\n"
        for module, name in (
            ("sagemaker.model_monitor", "DataCaptureConfig"),
            ("sagemaker.pytorch", "PyTorchModel"),
            ("sagemaker.serverless", "ServerlessInferenceConfig"),
        )
        if name in {*names, "PyTorchModel"}
    )
    return f"""{_opening(plan, "sdk2", directory, imports)}
sagemaker_session = sagemaker.Session(boto_session=session, default_bucket=BUCKET)
# Without an entry point: the archive holds its code, and is deployed as it is.
model = {_written(_Call("PyTorchModel", made))}
exists = is_there(sagemaker_client.describe_endpoint, EndpointName=NAME)
if exists:
    config_name = sagemaker_client.describe_endpoint(EndpointName=NAME)["EndpointConfigName"]
    config = sagemaker_client.describe_endpoint_config(EndpointConfigName=config_name)
if not exists or config["ProductionVariants"][0]["ModelName"] != model.name:
    config_name = model.name if exists else NAME  # as the SDK calls it
    {_written(_Call("model.deploy", placed), 4)}
{_END}"""


def _sdk2_place(plan: DeploymentPlan) -> dict[str, Any]:
    """Return what SDK 2's deploy takes of a configuration."""
    variant, config = plan.variant, plan.create_endpoint_config
    serverless, capture = variant.get("ServerlessConfig"), config.get("DataCaptureConfig")
    if serverless:
        chosen = {
            "memory_size_in_mb": serverless["MemorySizeInMB"],
            "max_concurrency": serverless["MaxConcurrency"],
        }
        return {"serverless_inference_config": _Call("ServerlessInferenceConfig", chosen)}
    placed: dict[str, Any] = {
        "initial_instance_count": variant["InitialInstanceCount"],
        "instance_type": variant["InstanceType"],
        "kms_key": config.get("KmsKeyId"),
        "volume_size": variant.get("VolumeSizeInGB"),
        "model_data_download_timeout": variant.get("ModelDataDownloadTimeoutInSeconds"),
        "container_startup_health_check_timeout": variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
    }
    if capture:
        modes = {"Input": "REQUEST", "Output": "RESPONSE"}
        chosen = {
            "enable_capture": True,
            "sampling_percentage": capture["InitialSamplingPercentage"],
            "destination_s3_uri": capture["DestinationS3Uri"],
            "kms_key_id": capture.get("KmsKeyId"),
            "capture_options": [modes[option["CaptureMode"]] for option in capture["CaptureOptions"]],
            "json_content_types": capture["CaptureContentTypeHeader"]["JsonContentTypes"],
            "csv_content_types": capture["CaptureContentTypeHeader"]["CsvContentTypes"],
            "sagemaker_session": _Code("sagemaker_session"),
        }
        placed["data_capture_config"] = _Call("DataCaptureConfig", chosen)
    return {name: value for name, value in placed.items() if value is not None}


def _sdk3(plan: DeploymentPlan, directory: Path | None) -> str:
    requests = _requests(plan)
    imported = "".join(f"    {shape},\n" for shape in sorted(_used_shapes(requests)))
    imports = (
        "from botocore.exceptions import ClientError\n"
        "from sagemaker.core.resources import Endpoint, EndpointConfig, Model\n"
        f"from sagemaker.core.shapes import (\n{imported})\n"
    )

    def create(resource: str, request: str) -> str:
        arguments = {"session": _Code("session"), **_snaked(requests[request])}
        return _written(_Call(f"{resource}.create", arguments), 4)

    return f"""{_opening(plan, "sdk3", directory, imports)}
model_name, config_name = {_written(plan.model_name)}, {_written(plan.config_name)}
if not is_there(sagemaker_client.describe_model, ModelName=model_name):
    {create("Model", "MODEL")}
if not is_there(sagemaker_client.describe_endpoint_config, EndpointConfigName=config_name):
    {create("EndpointConfig", "CONFIG")}
if not is_there(sagemaker_client.describe_endpoint, EndpointName=NAME):
    {create("Endpoint", "ENDPOINT")}
else:
    endpoint = Endpoint.get(endpoint_name=NAME, session=session)
    if endpoint.endpoint_config_name != config_name:
        endpoint.endpoint_config_name = config_name
        endpoint.update(retain_all_variant_properties=False)
{_END}"""


def _snaked(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's members under SDK 3's names, with its shapes as their constructors."""
    return {_snake(name): _shaped(name, value) for name, value in request.items()}


def _shaped(name: str, value: Any) -> Any:
    if isinstance(value, list) and name in _SHAPES:
        return [_shaped(name, item) for item in value]
    if isinstance(value, Mapping) and name in _SHAPES:
        return _Call(_SHAPES[name], _snaked(value))
    return value


def _used_shapes(value: Any) -> set[str]:
    """Return the shapes that requests consist of."""
    if isinstance(value, list):
        return {shape for item in value for shape in _used_shapes(item)}
    if not isinstance(value, Mapping):
        return set()
    used = {_SHAPES[name] for name in value if name in _SHAPES}
    return used | {shape for item in value.values() for shape in _used_shapes(item)}


def _snake(name: str) -> str:
    """Return a member's name as ``sagemaker.core`` has it: ``VolumeSizeInGB`` becomes ``volume_size_in_gb``."""
    parted = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", parted).lower()
