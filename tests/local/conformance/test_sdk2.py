"""SageMaker SDK 2, given a bucket and a role, as its own documentation uses it. Run by scripts/matrix.py."""

from __future__ import annotations

import importlib.metadata
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from local_service import Service


def _version() -> str:
    try:
        return importlib.metadata.version("sagemaker")
    except importlib.metadata.PackageNotFoundError:
        return ""


pytestmark = [
    pytest.mark.skipif(not _version().startswith("2."), reason="needs SageMaker SDK 2: scripts/matrix.py sdk2"),
    pytest.mark.filterwarnings("ignore"),
]

VERSIONS = {"framework_version": "2.6", "py_version": "py312"}
INSTANCES = {"initial_instance_count": 1, "instance_type": "ml.m5.large"}

#: What the user has beside the weights.
INFERENCE = """
import os
import torch
from scale import FACTOR

def model_fn(model_dir):
    print("weights from", sorted(os.listdir(model_dir)))
    model = torch.nn.Linear(3, 2)
    model.load_state_dict(torch.load(os.path.join(model_dir, "model.pth"), map_location="cpu"))
    return model.eval()

def predict_fn(data, model):
    with torch.no_grad():
        return FACTOR * model(torch.as_tensor(data, dtype=torch.float32))
"""

TRAINING = """
import argparse, json, os
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--learning-rate", type=float, default=0.1)
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAINING"])
arguments = parser.parse_args()
assert json.loads(os.environ["SM_HPS"])["epochs"] == arguments.epochs

x, y = torch.load(os.path.join(arguments.train, "data.pt"))
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=arguments.learning_rate)
for epoch in range(arguments.epochs):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.4f}")
torch.save(model.state_dict(), os.path.join(arguments.model_dir, "model.pth"))
"""


@pytest.fixture(scope="module")
def session(service: Service, variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session of the SDK in an environment in which it would find nothing else than this machine."""
    config = tmp_path_factory.mktemp("sdk2") / "config.yaml"
    # The SDK would report its use to an address on the internet, and wait for it where there is none.
    config.write_text("SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        patched.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patched.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(config))
        patched.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
        import boto3
        import sagemaker

        location = {"LocationConstraint": variables["AWS_DEFAULT_REGION"]}
        # Not boto3's own session: what was tested before may have made it, with other variables.
        boto_session = boto3.Session()
        boto_session.client("s3").create_bucket(Bucket="sagemaker-sdk2", CreateBucketConfiguration=location)
        yield sagemaker.Session(boto_session=boto_session, default_bucket="sagemaker-sdk2")


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("code")
    for name, content in {"inference.py": INFERENCE, "scale.py": "FACTOR = 1\n", "train.py": TRAINING}.items():
        (directory / name).write_text(content)
    return str(directory)


@pytest.fixture(scope="module")
def weights(session: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """A Linear(3, 2), and where its weights are."""
    import torch

    model, saved = torch.nn.Linear(3, 2), io.BytesIO()
    torch.save(model.state_dict(), saved)
    path = tmp_path_factory.mktemp("weights") / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("model.pth")
        member.size = len(saved.getvalue())
        archive.addfile(member, io.BytesIO(saved.getvalue()))
    return model, session.upload_data(str(path), key_prefix="weights")


@pytest.fixture
def model(session: Any, service: Service, code: str, weights: tuple[Any, str]) -> Any:
    from sagemaker.pytorch import PyTorchModel

    return PyTorchModel(
        model_data=weights[1],
        role=service.role,
        entry_point="inference.py",
        source_dir=code,
        sagemaker_session=session,
        **VERSIONS,
    )


def expected(weights: tuple[Any, str], rows: Any) -> Any:
    import torch

    with torch.no_grad():
        return weights[0](torch.tensor(rows))


ROWS = [[1.0, 2.0, 3.0], [-4.0, 5.0, 0.5]]


def in_service(session: Any, name: str) -> None:
    """Wait as boto3 does: the SDK itself sleeps half a minute before it looks."""
    session.sagemaker_client.get_waiter("endpoint_in_service").wait(EndpointName=name)


def test_a_pytorch_model_is_deployed_called_updated_and_deleted(session, service, model, weights):
    import numpy as np

    predictor = model.deploy(**INSTANCES, endpoint_name="sdk2")  # with the SDK's own waiting
    answer = predictor.predict(np.array(ROWS, dtype="float32"))
    assert isinstance(answer, np.ndarray)
    np.testing.assert_allclose(answer, expected(weights, ROWS), rtol=1e-5)
    assert "weights from ['code', 'model.pth']" in service.log("sdk2")

    before = session.sagemaker_client.describe_endpoint(EndpointName="sdk2")["EndpointConfigName"]
    predictor.update_endpoint(initial_instance_count=2, instance_type="ml.m5.large", wait=False)
    in_service(session, "sdk2")
    described = session.sagemaker_client.describe_endpoint(EndpointName="sdk2")
    assert described["EndpointConfigName"] != before
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    np.testing.assert_allclose(predictor.predict(np.array(ROWS)), expected(weights, ROWS), rtol=1e-5)

    predictor.delete_model()
    predictor.delete_endpoint()
    session.sagemaker_client.get_waiter("endpoint_deleted").wait(EndpointName="sdk2")
    assert session.sagemaker_client.list_models(NameContains=model.name)["Models"] == []


def test_a_predictor_attaches_to_an_endpoint_by_name_with_serializers_of_its_own(session, model, weights):
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.pytorch import PyTorchPredictor
    from sagemaker.serializers import CSVSerializer, JSONSerializer

    model.deploy(**INSTANCES, endpoint_name="sdk2-predictor", wait=False)
    in_service(session, "sdk2-predictor")
    for serializer in (JSONSerializer(), CSVSerializer()):
        predictor = PyTorchPredictor(
            "sdk2-predictor", sagemaker_session=session, serializer=serializer, deserializer=JSONDeserializer()
        )
        answer = predictor.predict(ROWS)
        for given, wanted in zip(answer, expected(weights, ROWS).tolist(), strict=True):
            assert given == pytest.approx(wanted, rel=1e-5)
    predictor.delete_endpoint()


def test_what_a_handler_raises_reaches_the_caller_of_predict(session, model):
    from botocore.exceptions import ClientError
    from sagemaker.pytorch import PyTorchPredictor

    model.deploy(**INSTANCES, endpoint_name="sdk2-raising", wait=False)
    in_service(session, "sdk2-raising")
    predictor = PyTorchPredictor("sdk2-raising", sagemaker_session=session)
    with pytest.raises(ClientError, match=r"\(ModelError\).*cannot be multiplied"):
        predictor.predict([[1.0, 2.0]])
    predictor.delete_endpoint()


def test_a_serverless_endpoint_is_deployed_and_called(session, model, weights):
    import numpy as np
    from sagemaker.serverless import ServerlessInferenceConfig

    predictor = model.deploy(
        serverless_inference_config=ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=3),
        endpoint_name="sdk2-serverless",
        wait=False,
    )
    in_service(session, "sdk2-serverless")
    np.testing.assert_allclose(predictor.predict(np.array(ROWS)), expected(weights, ROWS), rtol=1e-5)
    predictor.delete_endpoint()


def test_an_answer_is_streamed(session, model):
    from sagemaker.iterators import ByteIterator
    from sagemaker.pytorch import PyTorchPredictor
    from sagemaker.serializers import JSONSerializer

    model.deploy(**INSTANCES, endpoint_name="sdk2-stream", wait=False)
    in_service(session, "sdk2-stream")
    predictor = PyTorchPredictor("sdk2-stream", sagemaker_session=session, serializer=JSONSerializer())
    predictor.accept = ("application/json",)
    whole = b"".join(predictor.predict_stream(ROWS, iterator=ByteIterator))
    assert len(json.loads(whole)) == 2
    predictor.delete_endpoint()


def test_a_model_is_trained_deployed_and_attached_to(session, service, code, tmp_path):
    import numpy as np
    import torch
    from sagemaker.pytorch import PyTorch

    torch.manual_seed(0)
    x = torch.randn(64, 3)
    true = torch.nn.Linear(3, 2)
    with torch.no_grad():
        torch.save((x, true(x)), tmp_path / "data.pt")
    data = session.upload_data(str(tmp_path / "data.pt"), key_prefix="training")
    estimator = PyTorch(
        entry_point="train.py",
        source_dir=code,
        role=service.role,
        instance_count=1,
        instance_type="ml.m5.large",
        hyperparameters={"epochs": 200, "learning-rate": 0.1},
        sagemaker_session=session,
        **VERSIONS,
    )
    estimator.fit({"training": data.rpartition("/")[0]})
    name = estimator.latest_training_job.name
    described = session.sagemaker_client.describe_training_job(TrainingJobName=name)
    assert described["TrainingJobStatus"] == "Completed"
    assert described["ModelArtifacts"]["S3ModelArtifacts"] == estimator.model_data

    attached = PyTorch.attach(name, sagemaker_session=session)
    assert attached.model_data == estimator.model_data
    assert attached.hyperparameters()["epochs"] == "200"
    predictor = attached.deploy(
        **INSTANCES, entry_point="inference.py", source_dir=code, endpoint_name="sdk2-trained", wait=False
    )
    in_service(session, "sdk2-trained")
    with torch.no_grad():
        np.testing.assert_allclose(predictor.predict(x.numpy()), true(x), atol=0.05)
    predictor.delete_endpoint()


def test_a_script_that_fails_ends_the_job_with_its_own_error(session, service, code, tmp_path, capsys):
    from sagemaker.exceptions import UnexpectedStatusException
    from sagemaker.pytorch import PyTorch

    (tmp_path / "broken.py").write_text("print('about to fail')\nraise KeyError('no such column')\n")
    estimator = PyTorch(
        entry_point=str(tmp_path / "broken.py"),
        role=service.role,
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
        **VERSIONS,
    )
    with pytest.raises(UnexpectedStatusException, match="no such column"):
        estimator.fit()
    assert "about to fail" in capsys.readouterr().out
