"""SageMaker SDK 3: its resources, and what builds on them. Run by scripts/matrix.py."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from typing import Any

import pytest
from local_service import DOUBLE, IMAGE, Service, model_archive


def _version() -> str:
    try:
        return importlib.metadata.version("sagemaker")
    except importlib.metadata.PackageNotFoundError:
        return ""


pytestmark = [
    pytest.mark.skipif(not _version().startswith("3."), reason="needs SageMaker SDK 3: scripts/matrix.py sdk3"),
    pytest.mark.filterwarnings("ignore"),
]

BUCKET = "sagemaker-sdk3"
TRIPLE = DOUBLE.replace("return 2", "return 3")
TRAINING = """
import json, os, sys
print("arguments", sys.argv[1:])
factor = json.loads(os.environ["SM_HPS"])["factor"]
with open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "numbers.json")) as file:
    numbers = json.load(file)
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"), "w") as file:
    json.dump([factor * number for number in numbers], file)
"""


@pytest.fixture(scope="module")
def boto(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A boto3 session in an environment in which the SDK would find nothing else than this machine."""
    config = tmp_path_factory.mktemp("sdk3") / "config.yaml"
    # The SDK would report its use to an address on the internet.
    config.write_text("SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        patched.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patched.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(config))
        import boto3

        session = boto3.Session()
        location = {"LocationConstraint": variables["AWS_DEFAULT_REGION"]}
        session.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        yield session


def make(boto: Any, role: str, name: str, code: str = DOUBLE) -> Any:
    """Make a model and a configuration of that name, as the SDK's resources do; return the configuration."""
    from sagemaker.core.resources import EndpointConfig, Model
    from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

    boto.client("s3").put_object(Bucket=BUCKET, Key=f"{name}.tar.gz", Body=model_archive(code))
    container = ContainerDefinition(image=IMAGE, model_data_url=f"s3://{BUCKET}/{name}.tar.gz")
    model = Model.create(model_name=name, primary_container=container, execution_role_arn=role, session=boto)
    assert model.primary_container.image == IMAGE
    variant = ProductionVariant(
        variant_name="AllTraffic", model_name=name, initial_instance_count=1, instance_type="ml.m5.large"
    )
    return EndpointConfig.create(endpoint_config_name=name, production_variants=[variant], session=boto)


def answer(endpoint: Any, body: bytes) -> Any:
    result = endpoint.invoke(body=body, content_type="application/json", accept="application/json")
    assert result.invoked_production_variant == "AllTraffic"
    return json.loads(result.body.read())


def test_resources_are_created_waited_for_invoked_updated_and_deleted(service: Service, boto: Any):
    from sagemaker.core.resources import Endpoint, EndpointConfig, Model

    config = make(boto, service.role, "sdk3")
    endpoint = Endpoint.create(endpoint_name="sdk3", endpoint_config_name=config, session=boto)
    endpoint.wait_for_status("InService")
    assert endpoint.endpoint_status == "InService"
    assert answer(endpoint, b"[1, 2]") == [2, 4]

    make(boto, service.role, "sdk3-second", TRIPLE)
    endpoint.endpoint_config_name = "sdk3-second"
    endpoint.update(retain_all_variant_properties=False)
    endpoint.wait_for_status("InService")
    assert answer(endpoint, b"[1, 2]") == [3, 6]
    assert [found.endpoint_name for found in Endpoint.get_all(name_contains="sdk3", session=boto)] == ["sdk3"]

    endpoint.delete()
    endpoint.wait_for_delete()
    for name in ("sdk3", "sdk3-second"):
        EndpointConfig.get(endpoint_config_name=name, session=boto).delete()
        Model.get(model_name=name, session=boto).delete()
    assert list(Model.get_all(name_contains="sdk3", session=boto)) == []


def test_an_endpoint_that_fails_raises_with_the_reason(service: Service, boto: Any):
    from sagemaker.core.resources import Endpoint
    from sagemaker.core.utils.exceptions import FailedStatusError

    raising = "def model_fn(model_dir):\n    raise RuntimeError('the weights are missing')\n"
    config = make(boto, service.role, "sdk3-fails", raising)
    endpoint = Endpoint.create(endpoint_name="sdk3-fails", endpoint_config_name=config, session=boto)
    with pytest.raises(FailedStatusError, match="did not pass the ping health check"):
        endpoint.wait_for_status("InService")
    endpoint.delete()


def test_weights_and_capacities_are_changed(service: Service, boto: Any):
    from sagemaker.core.resources import Endpoint
    from sagemaker.core.shapes import DesiredWeightAndCapacity

    config = make(boto, service.role, "sdk3-weights")
    endpoint = Endpoint.create(endpoint_name="sdk3-weights", endpoint_config_name=config, session=boto)
    endpoint.wait_for_status("InService")
    desired = DesiredWeightAndCapacity(variant_name="AllTraffic", desired_weight=0.5, desired_instance_count=2)
    endpoint.update_weights_and_capacities(desired_weights_and_capacities=[desired])
    endpoint.wait_for_status("InService")
    variant = endpoint.production_variants[0]
    assert (variant.current_weight, variant.current_instance_count) == (0.5, 2)
    assert answer(endpoint, b"[1, 2]") == [2, 4]
    endpoint.delete()


def test_a_model_is_trained_by_a_model_trainer(service: Service, boto: Any, tmp_path):
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.resources import TrainingJob
    from sagemaker.core.training.configs import Compute, InputData, SourceCode
    from sagemaker.train import ModelTrainer

    source, data = tmp_path / "source", tmp_path / "data"
    source.mkdir()
    data.mkdir()
    (source / "train.py").write_text(TRAINING)
    (data / "numbers.json").write_text("[1, 2, 3]")
    trainer = ModelTrainer(
        sagemaker_session=Session(boto_session=boto, default_bucket=BUCKET),
        role=service.role,
        training_image=IMAGE.replace("pytorch-inference", "pytorch-training"),
        source_code=SourceCode(source_dir=str(source), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        hyperparameters={"factor": 7},
        base_job_name="sdk3",
    )
    trainer.train(input_data_config=[InputData(channel_name="train", data_source=str(data))], wait=True, logs=False)
    job = TrainingJob.get(trainer._latest_training_job.training_job_name, session=boto)
    assert job.training_job_status == "Completed"
    artifact = job.model_artifacts.s3_model_artifacts
    assert artifact.endswith("/output/model.tar.gz")
