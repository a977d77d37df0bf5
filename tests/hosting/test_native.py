"""What a user of the SageMaker SDK has and wants: its own objects, each SDK in an environment of its own (matrix)."""

from __future__ import annotations

import contextlib
import importlib.util
import tarfile
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sm_magics import sdk
from sm_magics.errors import ConfigurationError, DeploymentError, EndpointNotFound
from sm_magics.hosting import Origin, connect, deploy, endpoints, native, removal, training

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


TRAINING = """
import os, torch
model = torch.nn.Linear(2, 2, bias=False)
with torch.no_grad():
    model.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
torch.jit.script(model).save(os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
"""
"""Leaves a model that is known by what it is: [x, y] becomes [x + 2 y, 3 x + 4 y]."""

TRAINED = [5.0, 11.0]
"""Its answer to [1, 2]."""


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text(TRAINING)
    (folder / "inference.py").write_text(
        "import torch\n\ndef model_fn(model_dir):\n    return torch.jit.load(model_dir + '/model.pth').eval()\n"
    )
    return folder


@pytest.fixture
def notebook(tmp_path, monkeypatch, settings):
    """A shell with the extension, as the SDKs' users have one; settings are what %config says there."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    shell.display_pub = CapturingDisplayPublisher()
    shell.run_line_magic("load_ext", "sm_magics")
    for trait in ("region", "instance_type", "role", "bucket"):
        setattr(shell.sm_magics_session, trait, getattr(settings, trait))
    yield shell
    shell.run_line_magic("unload_ext", "sm_magics")
    shell.user_ns.clear()


def cell(shell, line):
    """Run a cell; return its value, raise what it raised."""
    result = shell.run_cell(line)
    result.raise_error()
    return result.result


@pytest.fixture
def estimator(settings, source):
    """An Estimator of SDK 2 that has not trained yet."""
    from sagemaker.pytorch import PyTorch

    return PyTorch(
        entry_point="train.py",
        source_dir=str(source),
        role=settings.role,
        framework_version="2.5.1",
        py_version="py311",
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=connect(settings).sdk_session(),
    )


@needs_sdk2
def test_an_estimator_that_has_trained_is_deployed_by_its_variable(name, settings, estimator, notebook):
    assert native.is_job(estimator)
    with pytest.raises(DeploymentError, match="has not trained"):
        sdk.training_job_name(estimator)
    estimator.fit(wait=False, logs=False)
    training.attach(sdk.training_job_name(estimator), settings).wait()
    notebook.user_ns["estimator"] = estimator
    endpoint = cell(notebook, f'%sm_deploy estimator -e {name} --wait --sample "[[1.0, 2.0]]"')
    assert cell(notebook, "%sm_predict [[1.0, 2.0]]") == [TRAINED]
    assert endpoint.verified is True


@needs_sdk2
def test_the_estimator_of_a_job_is_the_sdks_own_and_deploys(name, settings, estimator, source):
    estimator.fit(wait=False, logs=False)
    job = training.attach(sdk.training_job_name(estimator), settings).wait()
    attached = job.estimator
    assert (type(attached).__module__, type(attached).__name__) == ("sagemaker.pytorch.estimator", "PyTorch")
    assert attached.latest_training_job.name == job.name
    attached.deploy(
        initial_instance_count=1,
        instance_type="ml.m5.large",
        entry_point="inference.py",
        source_dir=str(source),
        endpoint_name=name,
        wait=False,
    )
    endpoint = endpoints.Endpoint(name, settings.region, settings=settings).wait()
    assert endpoint.to_predictor().predict([[1.0, 2.0]]) == [TRAINED]
    client = connect(settings).client("sagemaker")
    described = client.describe_endpoint_config(EndpointConfigName=endpoint.config_name)
    for variant in described["ProductionVariants"]:  # the SDK's own: nobody else knows of them
        client.delete_model(ModelName=variant["ModelName"])
    client.delete_endpoint_config(EndpointConfigName=endpoint.config_name)


@needs_sdk2
def test_a_pytorch_model_with_an_entry_point_is_deployed_by_its_variable(name, settings, source, notebook, tmp_path):
    """The SDK packs it anew for that; what it makes of it is deployed, and updated in place."""
    from sagemaker.pytorch import PyTorchModel

    torch = pytest.importorskip("torch")
    torch.jit.script(torch.nn.Flatten(0)).save(str(tmp_path / "model.pth"))
    with tarfile.open(tmp_path / "weights.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "model.pth", "model.pth")
    session = connect(settings).sdk_session()
    notebook.user_ns["model"] = PyTorchModel(
        model_data=session.upload_data(str(tmp_path / "weights.tar.gz"), key_prefix="mine"),
        role=settings.role,
        entry_point="inference.py",
        source_dir=str(source),
        framework_version="2.6",
        py_version="py312",
        sagemaker_session=session,
    )
    cell(notebook, f"%sm_deploy model -e {name} --wait")
    assert cell(notebook, "%sm_predict [[1.0, 2.0]]") == [1.0, 2.0]
    cell(notebook, f"%sm_deploy model -e {name} --wait --initial-instance-count 2")
    assert cell(notebook, "%sm_predict [[3.0]]") == [3.0]


@pytest.mark.skipif(not HAS_TRAINER, reason="needs SDK 3: scripts/matrix.py sdk3")
def test_a_model_trainer_that_has_trained_is_deployed_by_its_variable(name, settings, source, notebook):
    from sagemaker.core.training.configs import Compute, SourceCode
    from sagemaker.train import ModelTrainer

    image = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.5.1-cpu-py311-ubuntu22.04-sagemaker"
    trainer = ModelTrainer(
        training_image=image,
        role=settings.role,
        source_code=SourceCode(source_dir=str(source), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        sagemaker_session=connect(settings).sdk_session(),
        base_job_name="native",
    )
    trainer.train(wait=False, logs=False)
    training.attach(sdk.training_job_name(trainer), settings).wait()
    notebook.user_ns["trainer"] = trainer
    cell(notebook, f"%sm_deploy trainer -e {name} --wait")
    assert cell(notebook, "%sm_predict [[1.0, 2.0]]") == [TRAINED]
    # Its TrainingJob resource stands for the same.
    notebook.user_ns["job"] = trainer._latest_training_job
    assert cell(notebook, f"%sm_deploy job -e {name} --wait").outcome == "unchanged"


def test_other_values_are_neither():
    for value in (None, 1, "fit-1", object(), SimpleNamespace(name="x"), dict):
        assert not native.is_model(value)
        assert not native.is_job(value)
