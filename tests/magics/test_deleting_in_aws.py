"""``%sm_delete``, ``%sm_endpoints``, ``%sm_attach`` and ``%sm_doctor`` where a region of AWS is asked."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import uuid
from decimal import Decimal

import pytest
from IPython.core.error import UsageError

from sm_magics import errors, seen
from sm_magics.hosting import artifacts, begun, connect, connection, cost, endpoints, removal, unfinished
from sm_magics.hosting.machine import ensure_running
from sm_magics.magics import reminder
from sm_magics.settings import Settings

IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker"

SCRIPT = b"""
def model_fn(model_dir):
    return 1

def transform_fn(model, body, content_type, accept):
    return body, accept
"""


@pytest.fixture
def region(notebook, machine, monkeypatch, tmp_path):
    """A region of AWS, by boto3's own variables; it is SageMaker on this machine that answers."""
    address = ensure_running()
    for name, value in {
        "AWS_ENDPOINT_URL": address.url,
        "AWS_ACCESS_KEY_ID": address.access_key,
        "AWS_SECRET_ACCESS_KEY": address.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(connection, "_aws", {})
    monkeypatch.setitem(endpoints.POLL_SECONDS, False, endpoints.POLL_SECONDS[True])
    monkeypatch.setattr(cost, "_refused", {})
    monkeypatch.setattr(cost, "rate", lambda kind, _: (Decimal("0.115"), ""))
    for module in (seen, begun, unfinished):
        monkeypatch.setattr(module, "home", lambda: tmp_path)
    return address.region


@pytest.fixture
def endpoint(region):
    """An endpoint in the region, with the tags of one that was deployed; whatever becomes of it, it goes."""
    settings = Settings(region=region, instance_type="ml.m5.large")
    aws = connect(settings)
    client, name = aws.client("sagemaker"), f"t-{uuid.uuid4().hex[:8]}"
    bucket, key = aws.bucket, f"{artifacts.PREFIX}/{name}/model.tar.gz"
    with_region = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3 = aws.client("s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **with_region)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("model.pth"))
        script = tarfile.TarInfo("code/inference.py")
        script.size = len(SCRIPT)
        tar.addfile(script, io.BytesIO(SCRIPT))
    s3.put_object(Bucket=bucket, Key=key, Body=buffer.getvalue())
    role = f"arn:aws:iam::{aws.account}:role/sm-magics"
    tags = [{"Key": "sm-magics:endpoint", "Value": name}, {"Key": "sm-magics:created-by", "Value": "sm_magics"}]
    program = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{key}", "Environment": program}
    parts = f"{name}-12345678-12345678"
    client.create_model(ModelName=parts, PrimaryContainer=container, ExecutionRoleArn=role, Tags=tags)
    variant = {"VariantName": "AllTraffic", "ModelName": parts, "InstanceType": "ml.m5.large"}
    client.create_endpoint_config(
        EndpointConfigName=parts, ProductionVariants=[{**variant, "InitialInstanceCount": 2}], Tags=tags
    )
    client.create_endpoint(EndpointName=name, EndpointConfigName=parts, Tags=tags)
    yield endpoints.Endpoint(name, region, settings=settings)
    removal.delete_endpoint(endpoints.Endpoint(name, region, settings=settings))
    for kind in ("EndpointConfig", "Model"):
        for row in getattr(client, f"list_{'endpoint_configs' if kind == 'EndpointConfig' else 'models'}")(
            NameContains=name
        )[f"{kind}s"]:
            delete = client.delete_endpoint_config if kind == "EndpointConfig" else client.delete_model
            delete(**{f"{kind}Name": row[f"{kind}Name"]})


def is_stored(endpoint) -> bool:
    aws = endpoint.connection
    found = aws.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix=f"{artifacts.PREFIX}/{endpoint.name}/")
    return bool(found.get("KeyCount"))


def is_there(endpoint) -> bool:
    return endpoints.get(endpoint.name, endpoint.connection) is not None


@pytest.fixture
def answers(notebook, monkeypatch):
    """What a person answers when asked; nothing: there is nobody."""

    given = []

    def ask(_prompt, **_):
        if not given:
            raise EOFError
        return given.pop(0)

    monkeypatch.setattr(notebook.shell, "ask_yes_no", ask, raising=False)
    return given


def test_nothing_in_aws_goes_unless_somebody_agrees(notebook, endpoint, answers):
    line = f"%sm_delete {endpoint.name} --region {endpoint.where}"
    answers.append(False)
    error = notebook.raised(line)
    assert isinstance(error, errors.DeploymentError)
    assert "--yes" in error.hint
    assert endpoint.name in notebook.text  # it was listed before it was asked
    assert is_there(endpoint)
    assert isinstance(notebook.raised(line), errors.DeploymentError)  # nobody answers
    assert is_there(endpoint)
    answers.append(True)
    notebook.succeed(line)
    assert not is_there(endpoint)


def test_where_nobody_can_answer_it_is_refused_without_asking(notebook, endpoint, answers, monkeypatch):
    monkeypatch.setattr(type(notebook.session), "is_watched", False)
    answers.append(True)
    error = notebook.raised(f"%sm_delete {endpoint.name} --region {endpoint.where}")
    assert "nobody can be asked" in error.message
    assert error.hint.startswith(f"%sm_delete {endpoint.name} --region {endpoint.where} --yes")
    assert answers == [True]
    assert is_there(endpoint)


@pytest.mark.parametrize("goes", [False, True])
def test_the_model_data_goes_only_when_that_is_said(notebook, endpoint, goes):
    seen.note(endpoint.where, endpoint.name, 1.0)
    notebook.succeed(f"%sm_delete {endpoint.name} --region {endpoint.where} --yes {'--artifacts' if goes else ''}")
    assert not is_there(endpoint)
    assert is_stored(endpoint) is not goes
    assert ("--artifacts deletes" in notebook.text) is not goes
    assert seen.all_of_them() == ()
    listed = endpoint.connection.client("sagemaker").list_models(NameContains=endpoint.name)
    assert listed["Models"] == []


def test_what_an_interrupted_deployment_left_goes_by_its_name(notebook, endpoint):
    client = endpoint.connection.client("sagemaker")
    removal.delete_endpoint(endpoint)
    assert client.list_models(NameContains=endpoint.name)["Models"]
    notebook.succeed(f"%sm_delete {endpoint.name} --region {endpoint.where} --yes --artifacts")
    assert client.list_models(NameContains=endpoint.name)["Models"] == []
    assert not is_stored(endpoint)


def test_a_table_says_what_is_in_service_and_what_it_costs(notebook, endpoint):
    pytest.importorskip("torch")  # what cannot start costs nothing
    found = notebook.succeed(f"%sm_endpoints --region {endpoint.where}")
    assert endpoint.name in {one.name for one in found}
    assert "2 × ml.m5.large" in notebook.text
    assert "0.230" in notebook.text
    assert {one.name: one.per_hour for one in seen.all_of_them()}[endpoint.name] == "0.230"
    said = reminder.line(seen.all_of_them(), 9e9)
    assert said.startswith("In service when last looked at")
    assert "%sm_endpoints" in said


def test_a_region_that_does_not_answer_hides_no_other(notebook, endpoint, monkeypatch):
    notebook.session.regions.add("eu-north-1")
    listed = endpoints.listed

    def refusing(where):
        if where.where == "eu-north-1":
            raise errors.AccessDenied("ListEndpoints was refused: no")
        return listed(where)

    monkeypatch.setattr(endpoints, "listed", refusing)
    notebook.succeed("%sm_endpoints")
    assert "ListEndpoints was refused" in notebook.text
    assert isinstance(notebook.raised("%sm_endpoints --region eu-north-1"), errors.AccessDenied)


def test_loading_says_nothing_where_nothing_is_in_service():
    assert reminder.line((), 0.0) == ""


@pytest.mark.parametrize(("hours", "when"), [(0.5, ""), (3, " 3 h ago"), (72, " 3 d ago")])
def test_loading_says_when_it_was_seen_and_what_it_costs(hours, when):
    known = seen.Seen("us-west-2", "digits", 0.0 + 1, 1.0, "0.5")
    other = seen.Seen("us-west-2", "cats", 1.0, 1.0)
    said = reminder.line((known, other), 1 + hours * 3600)
    assert said.startswith(f"In service when last looked at{when}: digits in us-west-2, cats in us-west-2, $0.50")
    assert f"${hours * 0.5:.2f} so far" in said
    assert "where the price is known" in said


@pytest.fixture
def broken_off(notebook, endpoint):
    """A deployment of the endpoint's name that got as far as its model, and an upload that got as far as its start."""
    aws = endpoint.connection
    removal.delete_endpoint(endpoint)
    with begun.alone(endpoint.where, endpoint.name) as attempt:
        attempt.begin(begun.Begun(endpoint.where, endpoint.name))
    key = f"{artifacts.PREFIX}/{uuid.uuid4().hex}/model.tar.gz"
    made = aws.client("s3").create_multipart_upload(Bucket=aws.bucket, Key=key, ChecksumAlgorithm="SHA256")
    unfinished.Record.new(unfinished.Started(endpoint.where, aws.bucket, key, made["UploadId"], 8 << 20)).close()
    return key


def test_what_was_broken_off_is_listed_and_goes_with_one_command(notebook, endpoint, broken_off, answers):
    aws = endpoint.connection

    def uploads():
        found = aws.client("s3").list_multipart_uploads(Bucket=aws.bucket).get("Uploads", ())
        return [one["Key"] for one in found if one["Key"] == broken_off]

    notebook.succeed(f"%sm_endpoints --region {endpoint.where}")
    for said in (endpoint.name, "broken off", "its parts lie in S3", "%sm_delete --unfinished"):
        assert said in notebook.text
    check = {one.name: one for one in notebook.succeed("%sm_doctor")}["unfinished"]
    assert (check.status, check.fix) == ("warning", "%sm_delete --unfinished")
    assert endpoint.name in check.what
    notebook.succeed("%sm_delete --unfinished --dry-run")
    assert "what was left of it · would be deleted" in notebook.text
    answers.append(False)
    refused = notebook.raised("%sm_delete --unfinished")
    assert refused.hint.startswith("%sm_delete --unfinished --yes")
    assert uploads()
    answers.append(True)
    notebook.succeed("%sm_delete --unfinished")
    assert "what was left of it deleted" in notebook.text
    assert "1 ended" in notebook.text
    assert not uploads()
    assert aws.client("sagemaker").list_models(NameContains=endpoint.name)["Models"] == []
    assert is_stored(endpoint)  # without --artifacts the model data stays
    notebook.succeed("%sm_delete --unfinished")
    assert "nothing known" in notebook.text
    assert isinstance(notebook.raised("%sm_delete --unfinished digits"), UsageError)


def test_a_status_in_aws_notes_what_it_costs(notebook, endpoint):
    pytest.importorskip("torch")  # what cannot start costs nothing
    notebook.succeed(f"%sm_status {endpoint.name} --region {endpoint.where} --wait")
    assert [(one.name, one.per_hour) for one in seen.all_of_them()] == [(endpoint.name, "0.230")]


def test_an_endpoint_that_failed_costs_nothing(notebook, endpoint, monkeypatch):
    fetch = endpoints.Endpoint.fetch

    def failed(one):
        fetch(one)
        one.status = "Failed"
        return one

    with monkeypatch.context() as patched:  # over before the endpoint is deleted
        patched.setattr(endpoints.Endpoint, "fetch", failed)
        assert cost.note(endpoint.fetch()).per_hour
        assert seen.all_of_them() == ()


def test_the_doctor_says_what_works_and_what_to_do_about_what_does_not(notebook, region):
    found = {one.name: one for one in notebook.succeed(f"%sm_doctor --region {region}")}
    assert (found["region"].status, found["region"].what) == ("ok", region)
    assert found["credentials"].status == "ok"
    assert found["SageMaker"].status == "ok"
    assert found["versions"].what.startswith("Python 3.")
    assert "credentials" in notebook.text
    for one in found.values():
        assert one.status in {"ok", "warning", "failed", "skipped"}
        assert one.fix or one.status != "failed"


def test_the_doctor_without_credentials_says_how_to_get_some(notebook, region, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = {one.name: one for one in notebook.succeed(f"%sm_doctor --region {region}")}
    assert found["credentials"].status == "failed"
    assert "aws configure" in found["credentials"].fix
    assert found["bucket"].status == "skipped"
    assert "credentials" in notebook.text


def test_the_doctor_without_a_region_says_so(notebook, region):
    found = {one.name: one for one in notebook.succeed("%sm_doctor")}
    assert found["region"].status == "warning"
    assert "--region" in found["region"].fix


def test_a_job_is_attached_to_shown_and_returned(notebook, region):
    aws = connect(Settings(region=region, instance_type="ml.m5.large"))
    name = f"j-{uuid.uuid4().hex[:8]}"
    s3 = aws.client("s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="sagemaker-attached", CreateBucketConfiguration={"LocationConstraint": region})
    script = b"import os\nopen(os.environ['SM_MODEL_DIR'] + '/model.pth', 'w').write('no model')\nprint('loss=0.5')\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("train.py")
        member.size = len(script)
        tar.addfile(member, io.BytesIO(script))
    s3.put_object(Bucket="sagemaker-attached", Key="source.tar.gz", Body=buffer.getvalue())
    aws.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={
            "TrainingImage": IMAGE.replace("inference", "training"),
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=(\S+)"}],
        },
        RoleArn=f"arn:aws:iam::{aws.account}:role/sm-magics",
        HyperParameters={
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": json.dumps("s3://sagemaker-attached/source.tar.gz"),
            "epochs": "3",
            "api_token": '"abcdef"',
        },
        OutputDataConfig={"S3OutputPath": "s3://sagemaker-attached/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    job = notebook.succeed(f"%sm_attach {name} --region {region} --wait --artifacts --logs -o job")
    assert notebook.namespace["job"] is job
    assert job.status == "Completed"
    assert "loss = 0.5" in notebook.text
    assert "epochs = 3" in notebook.text
    assert "abcdef" not in json.dumps(notebook.shown[0])  # the log is the container's own
    assert "model.pth" in notebook.text
    assert "loss=0.5" in notebook.text
    assert f"%sm_deploy {name}" in notebook.text
    notebook.run("job")
    missing = notebook.raised("%sm_attach no-such-job")
    assert isinstance(missing, errors.TrainingJobNotFound)
