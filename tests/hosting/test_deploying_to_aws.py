"""The way to AWS, walked to SageMaker on this machine: what is sent, what is not, and what each refusal says."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
import uuid
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from sm_magics import errors, seen
from sm_magics.hosting import Origin, artifacts, begun, connect, deploy, deploying, endpoints, removal
from sm_magics.hosting.variants import DataCapture, Options, Serverless
from sm_magics.packaging import Package

MINE = Origin("/home/me/a.ipynb", "/home/me")
BROKEN = "def model_fn(model_dir):\n    raise OSError('no disk today')\n"
READS = ("Describe", "List", "Get", "Head")


@pytest.fixture
def settings(as_aws):
    """Settings with a bucket of the test's own, which is there."""
    chosen = replace(as_aws, bucket=f"sagemaker-{uuid.uuid4().hex[:10]}")
    connection = connect(chosen)
    location = {"LocationConstraint": connection.region}
    connection.client("s3").create_bucket(Bucket=chosen.bucket, CreateBucketConfiguration=location)
    return chosen


@pytest.fixture
def name(settings):
    """An endpoint's name; whatever was made for it is gone when the test ends."""
    name = f"a-{uuid.uuid4().hex[:8]}"
    yield name
    with contextlib.suppress(errors.EndpointNotFound):
        removal.remove(removal.of(endpoints.Endpoint(name, settings.region, settings=settings)))
    client = connect(settings).client("sagemaker")
    assert client.list_models(NameContains=name)["Models"] == []
    assert client.list_endpoint_configs(NameContains=name)["EndpointConfigs"] == []


@pytest.fixture
def sent(settings):
    """The operations that are sent from now on, in their order."""
    operations = []

    def note(model, **_):
        operations.append(model.name)

    clients = [connect(settings).client(service) for service in ("sagemaker", "s3")]
    for client in clients:
        client.meta.events.register_first("before-call", note, unique_id="sent")
    yield operations
    for client in clients:
        client.meta.events.unregister("before-call", unique_id="sent")


@pytest.fixture
def refuse(settings):
    """Have one operation refused, always or where its parameters fit."""
    undo = []

    def add(service, operation, code, message, fits=lambda _params: True):
        def raise_it(params, **_):
            if fits(params):
                raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

        events = connect(settings).client(service).meta.events
        events.register(f"provide-client-params.{service}.{operation}", raise_it)
        undo.append(lambda: events.unregister(f"provide-client-params.{service}.{operation}", raise_it))

    yield add
    for take_back in undo:
        take_back()


def changing(operations):
    return [operation for operation in operations if not operation.startswith(READS)]


def put(package, name, settings, **more):
    return deploy(package, name, settings=settings, origin=MINE, **more)


def described(settings, name):
    client = connect(settings).client("sagemaker")
    config = client.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    return client.describe_endpoint_config(EndpointConfigName=config)


# -- what is sent ---------------------------------------------------------------------------------------------------


def test_what_the_plan_shows_is_what_is_sent(name, pack, settings, sent):
    package = pack("one")
    planned = deploying.prepare(package, name, settings=settings, origin=MINE)
    assert changing(sent) == []
    to_send = [request.operation for request in planned.requests if not request.is_done]
    assert to_send == ["PutObject", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"]
    endpoint = put(package, name, settings)
    assert changing(sent) == to_send
    assert (endpoint.outcome, endpoint.predict(1).value) == ("created", ["one", 1])
    client = connect(settings).client("sagemaker")
    model = client.describe_model(ModelName=planned.model_name)
    assert model["PrimaryContainer"]["Environment"] == planned.create_model["PrimaryContainer"]["Environment"]
    assert "SM_MAGICS_PYTHON" not in model["PrimaryContainer"]["Environment"]


def test_what_is_live_already_changes_nothing(name, pack, settings, sent):
    put(pack("one"), name, settings)
    del sent[:]
    assert put(pack("one"), name, settings).outcome == "unchanged"
    assert changing(sent) == []
    planned = deploying.prepare(pack("one"), name, settings=settings, origin=MINE)
    assert planned.is_live
    assert all(request.is_done for request in planned.requests)
    assert changing(sent) == []


def test_a_change_updates_and_the_plan_names_what_goes(name, pack, settings, sent):
    first = put(pack("one"), name, settings)
    planned = deploying.prepare(pack("two"), name, settings=settings, origin=MINE)
    assert planned.requests[-1].operation == "UpdateEndpoint"
    gone = dict(planned.existing.superseded)
    assert gone["endpoint configuration"] == first.config_name
    assert {"endpoint configuration", "model"} <= set(gone)
    del sent[:]
    assert put(pack("two"), name, settings).outcome == "updated"
    made = ["PutObject", "CreateModel", "CreateEndpointConfig", "UpdateEndpoint"]
    assert changing(sent)[:4] == made
    assert set(changing(sent)[4:]) == {"DeleteEndpointConfig", "DeleteModel", "DeleteObject"}


def test_what_is_deployed_and_deleted_is_noted_for_who_loads_the_extension(name, pack, settings):
    endpoint = put(pack("one"), name, settings)
    noted = {one.name: one for one in seen.all_of_them()}[name]
    assert (noted.where, noted.created) == (settings.region, endpoint.created.timestamp())
    removal.remove(removal.of(endpoint))
    assert name not in {one.name for one in seen.all_of_them()}


def test_only_what_changed_is_sent_again(name, pack, settings, sent):
    put(pack("one"), name, settings)
    del sent[:]
    put(pack("one"), name, settings, initial_instance_count=2)
    assert changing(sent) == ["CreateEndpointConfig", "UpdateEndpoint", "DeleteEndpointConfig"]


def test_a_rolled_back_update_takes_nothing_away_and_says_so(name, pack, settings, sent):
    first = put(pack("one"), name, settings)
    del sent[:]
    with pytest.raises(errors.EndpointFailed, match="serves what it served before"):
        put(pack(code=BROKEN), name, settings)
    assert not [operation for operation in sent if operation.startswith("Delete")]
    assert first.fetch().predict(1).value == ["one", 1]
    found = endpoints.get(name, connect(settings))  # as somebody finds it who was not there
    assert found.is_rolled_back
    assert "no disk today" in found.explain().text
    put(pack("two"), name, settings)
    assert not endpoints.get(name, connect(settings)).is_rolled_back


def test_a_failed_endpoint_is_deleted_and_made_anew_as_planned(name, pack, settings, sent):
    with pytest.raises(errors.EndpointFailed):
        put(pack(code=BROKEN), name, settings)
    planned = deploying.prepare(pack("one"), name, settings=settings, origin=MINE)
    assert [request.operation for request in planned.requests][-2:] == ["DeleteEndpoint", "CreateEndpoint"]
    del sent[:]
    assert put(pack("one"), name, settings).outcome == "created"
    assert changing(sent)[:5] == [request.operation for request in planned.requests if not request.is_done]


def test_another_configuration_that_uses_the_former_model_keeps_it(name, pack, settings):
    put(pack("one"), name, settings)
    client = connect(settings).client("sagemaker")
    variants = described(settings, name)["ProductionVariants"]
    client.create_endpoint_config(EndpointConfigName=f"foreign-{name}", ProductionVariants=variants)
    put(pack("two"), name, settings)
    assert client.describe_model(ModelName=variants[0]["ModelName"])
    client.delete_endpoint_config(EndpointConfigName=f"foreign-{name}")


# -- kinds ----------------------------------------------------------------------------------------------------------


def test_a_serverless_endpoint_needs_no_instance_type(name, pack, settings):
    serverless = replace(settings, instance_type="local")
    endpoint = put(pack("one"), name, serverless, serverless=Serverless(1024, 3))
    assert endpoint.predict(1).value == ["one", 1]
    variant = described(settings, name)["ProductionVariants"][0]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 3}
    assert "InstanceType" not in variant


def test_an_endpoint_with_instances_is_not_made_serverless(name, pack, settings, sent):
    put(pack("one"), name, settings)
    del sent[:]
    with pytest.raises(errors.DeploymentError, match="runs on instances") as caught:
        put(pack("one"), name, settings, serverless=Serverless())
    assert f"%sm_delete {name}" in caught.value.hint
    assert changing(sent) == []


def test_traffic_is_captured_to_the_deployments_bucket(name, pack, settings):
    endpoint = put(pack("one"), name, settings, data_capture=DataCapture(sampling_percentage=50))
    capture = described(settings, name)["DataCaptureConfig"]
    assert capture["DestinationS3Uri"] == f"s3://{settings.bucket}/sm_magics/data-capture"
    assert capture["InitialSamplingPercentage"] == 50
    assert endpoint.predict(1).value == ["one", 1]


def test_what_is_chosen_for_the_instances_and_the_network_is_sent(name, pack, settings):
    chosen = replace(settings, subnets="subnet-0a,subnet-0b", security_group_ids="sg-0c", kms_key="alias/mine")
    options = {
        "volume_size": 30,
        "model_data_download_timeout": 600,
        "container_startup_health_check_timeout": 700,
        "tags": {"team": "vision"},
    }
    planned = deploying.prepare(pack("one"), name, settings=chosen, origin=MINE, options=Options(**options))
    variant = planned.variant
    assert (variant["VolumeSizeInGB"], variant["ModelDataDownloadTimeoutInSeconds"]) == (30, 600)
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 700
    assert planned.create_endpoint_config["KmsKeyId"] == "alias/mine"
    assert planned.create_model["VpcConfig"] == {"SecurityGroupIds": ["sg-0c"], "Subnets": ["subnet-0a", "subnet-0b"]}
    assert {"Key": "team", "Value": "vision"} in planned.tags
    put(pack("one"), name, chosen, **options)
    client = connect(settings).client("sagemaker")
    assert client.describe_model(ModelName=planned.model_name)["VpcConfig"] == planned.create_model["VpcConfig"]
    assert described(settings, name)["KmsKeyId"] == "alias/mine"


# -- role and bucket ------------------------------------------------------------------------------------------------


def test_without_a_role_the_sdk_tells_it(settings):
    assert connect(replace(settings, role="")).role == settings.role


def test_without_any_role_all_that_was_tried_is_said(settings, monkeypatch):
    from sm_magics import sdk

    def unknown(_session):
        raise errors.ConfigurationError("the SDK's get_execution_role says: The current AWS identity is not a role")

    monkeypatch.setattr(sdk, "execution_role", unknown)
    with pytest.raises(errors.ConfigurationError, match="execution role") as caught:
        _ = connect(replace(settings, role="")).role
    for tried in ("--role", "%config SmMagics.role", "SM_MAGICS_ROLE", "resource-metadata.json", "not a role"):
        assert tried in caught.value.message
    assert "aws iam create-role" in caught.value.message
    assert connect(settings).account in caught.value.hint


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("MyRole", "arn:aws:iam::{account}:role/MyRole"),
        ("service-role/MyRole", "arn:aws:iam::{account}:role/MyRole"),
        ("arn:aws:iam::123456789012:user/me", "arn:aws:iam::{account}:role/NAME"),
        ("arn:aws-cn:sts::123456789012:assumed-role/Role/me", "arn:aws-cn:iam::123456789012:role/Role"),
        ("not a role", "arn:aws:iam::{account}:role/NAME"),
    ],
)
def test_what_is_no_roles_arn_is_refused_with_the_one_that_was_meant(name, pack, settings, sent, given, meant):  # noqa: PLR0917 - fixtures
    with pytest.raises(errors.ConfigurationError, match="execution role") as caught:
        put(pack("one"), name, replace(settings, role=given))
    assert caught.value.hint == f"--role {meant.format(account=connect(settings).account)}"
    assert changing(sent) == []


def test_a_bucket_that_is_not_there_is_created_only_on_request(name, pack, settings, sent):
    elsewhere = replace(settings, bucket=f"{settings.bucket}-new")
    with pytest.raises(errors.ConfigurationError, match=elsewhere.bucket) as caught:
        put(pack("one"), name, elsewhere)
    assert caught.value.hint.startswith("--create-bucket")
    assert changing(sent) == []
    assert put(pack("one"), name, elsewhere, create_bucket=True).is_in_service
    assert changing(sent)[:2] == ["CreateBucket", "PutObject"]


def test_a_bucket_of_somebody_elses_is_refused_with_the_statement(name, pack, settings, refuse):
    refuse("s3", "HeadBucket", "403", "Forbidden")
    with pytest.raises(errors.ConfigurationError, match="another account") as caught:
        put(pack("one"), name, settings)
    statement = json.loads(caught.value.message.splitlines()[-1])
    assert (statement["Action"], statement["Resource"]) == ("s3:ListBucket", f"arn:aws:s3:::{settings.bucket}")


def test_a_bucket_in_another_region_is_refused(settings, monkeypatch):
    from sm_magics.hosting import buckets

    connection = connect(settings)
    monkeypatch.setattr(connection.client("s3"), "head_bucket", lambda **_: {"BucketRegion": "eu-west-1"})
    with pytest.raises(errors.ConfigurationError, match="eu-west-1"):
        buckets.exists(connection)


def test_a_role_that_may_not_be_passed_is_said_with_the_statement(name, pack, settings, refuse):
    denial = f"User: me is not authorized to perform: iam:PassRole on resource: {settings.role}"
    refuse("sagemaker", "CreateModel", "AccessDeniedException", denial)
    with pytest.raises(errors.AccessDenied, match="iam:PassRole") as caught:
        put(pack("one"), name, settings)
    statement = json.loads(caught.value.hint.partition("    #")[0])
    assert statement["Resource"] == settings.role
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


# -- whose it is ----------------------------------------------------------------------------------------------------


def test_without_the_permission_to_tag_a_record_says_whose_it_is(name, pack, settings, refuse):
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
        denial = f"User: me is not authorized to perform: sagemaker:AddTags on resource: {name}"
        refuse("sagemaker", operation, "AccessDeniedException", denial, lambda params: "Tags" in params)
    first = put(pack("one"), name, settings)
    client = connect(settings).client("sagemaker")
    assert client.list_tags(ResourceArn=first.fetch().arn)["Tags"] == []
    assert put(pack("two"), name, settings).outcome == "updated"
    assert len(client.list_models(NameContains=name)["Models"]) == 1
    with pytest.raises(errors.EndpointConflictError):
        deploy(pack("three"), name, settings=settings, origin=Origin("/home/you/b.ipynb", "/home/you"))
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    config = client.list_endpoint_configs(NameContains=name)["EndpointConfigs"][0]["EndpointConfigName"]
    client.create_endpoint(EndpointName=name, EndpointConfigName=config)
    with pytest.raises(errors.EndpointConflictError):  # another one, made later under the same name
        put(pack("four"), name, settings)
    client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})


def test_of_two_deployments_at_once_the_second_says_so(name, pack, settings, sent):
    with begun.alone(settings.region, name), pytest.raises(errors.EndpointConflictError, match="being deployed"):
        put(pack("one"), name, settings)
    assert changing(sent) == []
    assert put(pack("one"), name, settings).is_in_service


def test_an_endpoint_that_somebody_else_creates_meanwhile_is_left_alone(name, pack, settings, refuse):
    client = connect(settings).session.client("sagemaker")  # another one: what it sends is not looked at
    foreign = f"foreign-{name}"

    def create_before(params):
        config = client.describe_endpoint_config(EndpointConfigName=params["EndpointConfigName"])
        client.create_endpoint_config(EndpointConfigName=foreign, ProductionVariants=config["ProductionVariants"])
        client.create_endpoint(EndpointName=name, EndpointConfigName=foreign)
        return False

    refuse("sagemaker", "CreateEndpoint", "", "", create_before)
    with pytest.raises(errors.EndpointConflictError, match="begun meanwhile"):
        put(pack("one"), name, settings)
    assert client.describe_endpoint(EndpointName=name)["EndpointConfigName"] == foreign
    client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    client.delete_endpoint_config(EndpointConfigName=foreign)


def test_threads_that_deploy_one_name_end_with_one_endpoint(name, pack, settings):
    packages, raised = [pack("one"), pack("two"), pack("three")], []

    def go(package):
        try:
            put(package, name, settings)
        except errors.SmMagicsError as error:
            raised.append(error)

    threads = [threading.Thread(target=go, args=(package,)) for package in packages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(error, errors.EndpointConflictError) for error in raised)
    put(packages[0], name, settings)
    assert len(connect(settings).client("sagemaker").list_models(NameContains=name)["Models"]) == 1


# -- network isolation ----------------------------------------------------------------------------------------------


def test_network_isolation_with_requirements_is_refused(name, tmp_path, settings, sent):
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        contents = {"model.pth": "x", "code/inference.py": "x = 1", "code/requirements.txt": "einops==0.8.0\n"}
        for file, content in contents.items():
            member = tarfile.TarInfo(file)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    isolated = replace(settings, enable_network_isolation=True)
    with pytest.raises(errors.DeploymentError, match="einops"):
        put(Package.open(path), name, isolated)
    assert changing(sent) == []


def test_network_isolation_without_requirements_is_sent(name, pack, settings):
    isolated = replace(settings, enable_network_isolation=True)
    planned = deploying.prepare(pack("one"), name, settings=isolated, origin=MINE)
    assert planned.create_model["EnableNetworkIsolation"] is True


def test_the_upload_is_one_object_named_by_its_digest(name, pack, settings):
    package = pack("one")
    put(package, name, settings)
    bucket, key = artifacts.split(artifacts.location(package, connect(settings)))
    assert bucket == settings.bucket
    assert package.digest in key
