"""What a user of the SageMaker SDK has and wants: its own objects, each SDK in an environment of its own (matrix)."""

from __future__ import annotations

import contextlib
import importlib.util
import uuid
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sm_magics import sdk
from sm_magics.errors import ConfigurationError, DeploymentError, EndpointNotFound
from sm_magics.hosting import Origin, connect, deploy, endpoints, native, removal

MINE = Origin("/home/me/a.ipynb", "/home/me")
VERSION = sdk.major()
HAS_TRAINER = VERSION == 3 and importlib.util.find_spec("sagemaker.train") is not None

pytestmark = pytest.mark.filterwarnings("ignore")
needs_sdk2 = pytest.mark.skipif(VERSION != 2, reason="needs SDK 2: scripts/matrix.py sdk2")
needs_sdk3 = pytest.mark.skipif(VERSION != 3, reason="needs SDK 3 or its core")


@pytest.fixture
def settings(as_aws, monkeypatch):
    """Settings with a bucket of the test's own, which is there."""
    # What the SDKs make for themselves looks here.
    monkeypatch.setenv("AWS_DEFAULT_REGION", as_aws.region)
    monkeypatch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
    chosen = replace(as_aws, bucket=f"sagemaker-{uuid.uuid4().hex[:10]}")
    location = {"LocationConstraint": chosen.region}
    connect(chosen).client("s3").create_bucket(Bucket=chosen.bucket, CreateBucketConfiguration=location)
    return chosen


@pytest.fixture
def name(settings):
    name = f"n-{uuid.uuid4().hex[:8]}"
    yield name
    with contextlib.suppress(EndpointNotFound):
        removal.remove(removal.of(endpoints.Endpoint(name, settings.region, settings=settings)))


def keys(settings):
    listed = connect(settings).client("s3").list_objects_v2(Bucket=settings.bucket)
    return [row["Key"] for row in listed.get("Contents", ())]


@needs_sdk3
def test_an_endpoint_is_sdk_3s_own_resource(name, pack, settings):
    endpoint = deploy(pack("one"), name, settings=settings, origin=MINE)
    resource = endpoint.to_predictor()
    assert (type(resource).__module__, type(resource).__name__) == ("sagemaker.core.resources", "Endpoint")
    assert resource.endpoint_status == "InService"
    answer = resource.invoke(body=b"[1]", content_type="application/json", accept="application/json")
    assert answer.body.read() == b'["one", [1]]'


@needs_sdk3
def test_without_sdk_2_its_objects_are_refused_with_the_way_out(pack, settings):
    with pytest.raises(ConfigurationError, match="SDK 2") as caught:
        pack().to_pytorch_model(role=settings.role)
    assert "deploy(package" in caught.value.hint
    with pytest.raises(ConfigurationError, match="SDK 2"):
        sdk.attached_estimator("job", connect(settings).session, settings.bucket)


@needs_sdk3
def test_a_training_job_of_sdk_3_is_known_by_its_name():
    from sagemaker.core.resources import TrainingJob

    job = TrainingJob(training_job_name="fit-1")
    assert native.is_job(job)
    assert not native.is_model(job)
    assert sdk.training_job_name(job) == "fit-1"


@pytest.mark.skipif(not HAS_TRAINER, reason="needs SDK 3: scripts/matrix.py sdk3")
def test_a_model_trainer_stands_for_the_job_it_ran(settings):
    from sagemaker.core.resources import TrainingJob
    from sagemaker.train.model_trainer import ModelTrainer

    trainer = ModelTrainer(
        training_image="1.dkr.ecr.us-west-2.amazonaws.com/mine:1",
        role=settings.role,
        sagemaker_session=connect(settings).sdk_session(),
    )
    assert native.is_job(trainer)
    with pytest.raises(DeploymentError, match="has not trained"):
        sdk.training_job_name(trainer)
    trainer._latest_training_job = TrainingJob(training_job_name="fit-2")
    assert sdk.training_job_name(trainer) == "fit-2"


@needs_sdk2
def test_a_package_is_a_pytorch_model_that_deploys_without_repacking(name, pack, settings):
    connection = connect(settings)
    package = pack("one")
    model = package.to_pytorch_model(role=settings.role, sagemaker_session=connection.sdk_session())
    again = package.to_pytorch_model(sagemaker_session=connection.sdk_session())
    assert (type(model).__name__, model.model_data, again.role) == ("PyTorchModel", again.model_data, settings.role)
    model.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name=name, wait=False)
    endpoint = endpoints.Endpoint(name, settings.region, settings=settings).wait()
    predictor = endpoint.to_predictor()
    assert type(predictor).__name__ == "PyTorchPredictor"
    assert predictor.predict([1, 2]) == ["one", [1, 2]]
    assert keys(settings) == [model.model_data.split("/", 3)[3]]
    predictor.delete_model()
    predictor.delete_endpoint()


@needs_sdk2
def test_a_pytorch_model_that_the_user_has_is_deployed(name, pack, settings):
    connection = connect(settings)
    model = pack("mine").to_pytorch_model(role=settings.role, sagemaker_session=connection.sdk_session())
    assert native.is_model(model)
    assert not native.is_job(model)
    data = native.model_data(model, settings)
    endpoint = deploy(data, name, settings=settings, origin=MINE)
    assert endpoint.predict(1).value == ["mine", 1]
    assert deploy(native.model_data(model, settings), name, settings=settings, origin=MINE).outcome == "unchanged"


@needs_sdk2
def test_an_estimator_stands_for_the_job_it_ran(settings):
    from sagemaker.pytorch import PyTorch

    estimator = PyTorch(
        entry_point=Path(__file__).name,
        source_dir=str(Path(__file__).parent),
        role=settings.role,
        framework_version="2.5.1",
        py_version="py311",
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=connect(settings).sdk_session(),
    )
    assert native.is_job(estimator)
    with pytest.raises(DeploymentError, match="has not trained"):
        sdk.training_job_name(estimator)
    estimator.latest_training_job = SimpleNamespace(name="fit-3", job_name="fit-3")
    assert sdk.training_job_name(estimator) == "fit-3"


def test_other_values_are_neither():
    for value in (None, 1, "fit-1", object(), SimpleNamespace(name="x"), dict):
        assert not native.is_model(value)
        assert not native.is_job(value)
