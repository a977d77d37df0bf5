"""Whatever goes wrong between here and SageMaker, nothing is lost sight of, and the next run completes the job."""

from __future__ import annotations

import random
import tarfile
import time
import uuid

import pytest
from faulty import Faults, broken, denied, lost, refused, slow

from sm_magics import errors
from sm_magics.hosting import (
    Origin,
    artifacts,
    begun,
    connect,
    connection,
    consistency,
    deploy,
    endpoints,
    removal,
    superseding,
    unfinished,
    uploading,
)
from sm_magics.packaging import Package
from sm_magics.packaging.archive import Member, new_archive
from sm_magics.progress import StatusChanged

MINE = Origin("/home/me/a.ipynb", "/home/me")
SERVER_ERROR = refused("InternalFailure", "", 500)
EXPIRED = refused("ExpiredToken", "The security token included in the request is expired")


def throttled(request, service):
    """Answer as each service does to one request too many."""
    if service == "s3":
        return refused("SlowDown", "Please reduce your request rate.", 503)(request, service)
    return refused("ThrottlingException", "Rate exceeded")(request, service)


CREATING = {
    "GetCallerIdentity": "sts:GetCallerIdentity",
    "DescribeEndpoint": "sagemaker:DescribeEndpoint",
    "HeadBucket": "s3:ListBucket",
    "DescribeModel": "sagemaker:DescribeModel",
    "DescribeEndpointConfig": "sagemaker:DescribeEndpointConfig",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateModel": "sagemaker:CreateModel",
    "CreateEndpointConfig": "sagemaker:CreateEndpointConfig",
    "CreateEndpoint": "sagemaker:CreateEndpoint",
}
"""The requests without which there is no endpoint, in their order, each with the permission that it needs."""

SENDING = [*CREATING][[*CREATING].index("HeadObject") :]
"""Those from which on a deployment has begun."""

UPDATING = {
    "ListTags": "sagemaker:ListTags",
    "UpdateEndpoint": "sagemaker:UpdateEndpoint",
}
"""Those that an update needs besides."""

DELETING = {
    "DescribeEndpoint": "sagemaker:DescribeEndpoint",
    "DescribeEndpointConfig": "sagemaker:DescribeEndpointConfig",
    "DescribeModel": "sagemaker:DescribeModel",
    "ListTags": "sagemaker:ListTags",
    "ListEndpointConfigs": "sagemaker:ListEndpointConfigs",
    "ListModels": "sagemaker:ListModels",
    "DeleteEndpoint": "sagemaker:DeleteEndpoint",
    "DeleteEndpointConfig": "sagemaker:DeleteEndpointConfig",
    "DeleteModel": "sagemaker:DeleteModel",
    "DeleteObject": "s3:DeleteObject",
}


@pytest.fixture
def place(as_aws, monkeypatch):
    """Settings that lead to AWS, with the bucket that the SDK would take."""
    monkeypatch.setattr(endpoints, "POLL_SECONDS", {True: 0.05, False: 0.05})
    monkeypatch.setattr(removal, "POLL_SECONDS", {True: 0.05, False: 0.05})
    monkeypatch.setattr(consistency, "PAUSE", 0.0)
    session = connect(as_aws).session
    bucket = f"b-{uuid.uuid4().hex[:12]}"
    s3 = session.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": as_aws.region})
    yield as_aws.override(bucket=bucket)
    for found in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=found["Key"])
    s3.delete_bucket(Bucket=bucket)


@pytest.fixture
def faults(place):
    return Faults(connect(place).session)


@pytest.fixture
def name(place, faults):
    """An endpoint's name; what was made for it can be found and taken away when the test ends."""
    name = f"f-{uuid.uuid4().hex[:8]}"
    yield name
    faults.none()
    if everything(place, name):
        removal.remove(removal.of(endpoints.Endpoint(name, place.region, settings=place)))
    assert everything(place, name) == set()


def everything(place, stem: str) -> set[str]:
    """Return all endpoints, configurations and models whose name begins like this, and all objects in the bucket."""
    client, at = connect(place).session.client("sagemaker"), connect(place)
    found = {
        row[f"{kind}Name"]
        for kind, operation in (
            ("Endpoint", client.list_endpoints),
            ("EndpointConfig", client.list_endpoint_configs),
            ("Model", client.list_models),
        )
        for row in operation(NameContains=stem)[f"{kind}s"]
    }
    objects = at.session.client("s3").list_objects_v2(Bucket=place.bucket).get("Contents", ())
    return found | ({f"s3://{place.bucket}/{one['Key']}" for one in objects} if found else set())


def broken_off(name: str) -> bool:
    """Return whether ``%sm_endpoints`` names a deployment of that name as one that was not completed."""
    return name in {one.name for one in begun.broken_off()}


def listed(place, name: str) -> set[str]:
    """Return what ``%sm_delete`` would name."""
    try:
        found = removal.of(endpoints.Endpoint(name, place.region, settings=place))
    except errors.EndpointNotFound:
        return set()
    return {name for _, name in found.rows}


def run(package, name, place, **more):
    return deploy(package, name, origin=MINE, settings=place, **more)


def test_every_request_that_is_refused_names_the_permission_and_the_next_run_goes_on(
    place, name, pack, faults, monkeypatch
):
    package = pack()
    for operation, action in CREATING.items():
        monkeypatch.setattr(connection, "_aws", {})
        at = connect(place)
        faults = Faults(at.session)
        faults.always(operation, denied)
        with pytest.raises((errors.AccessDenied, errors.ConfigurationError)) as caught:
            run(package, name, place)
        assert operation in caught.value.message
        assert f'"{action}"' in str(caught.value), operation
        assert '"Effect": "Allow"' in str(caught.value)
        faults.none()
        assert everything(place, name) <= listed(place, name)
        assert broken_off(name) == (operation in SENDING)
        faults.always(operation, EXPIRED)
        with pytest.raises((errors.AccessDenied, errors.ConfigurationError)) as caught:
            run(package, name, place)
        assert "expired" in caught.value.message
        assert "login" in caught.value.hint
        faults.none()
        faults.always(operation, slow)
        with pytest.raises(errors.ServiceUnavailable, match="in time"):
            run(package, name, place)
        faults.none()
        assert everything(place, name) <= listed(place, name)
    assert run(package, name, place).predict(1).value == ["one", 1]
    assert not broken_off(name)


def test_every_request_of_an_update_that_is_refused_names_the_permission_and_the_next_run_goes_on(
    place, name, pack, faults
):
    first = run(pack("one"), name, place)
    for operation, action in UPDATING.items():
        faults.always(operation, denied)
        with pytest.raises(errors.AccessDenied) as caught:
            run(pack("two"), name, place)
        assert operation in caught.value.message
        assert f'"{action}"' in caught.value.hint
        faults.none()
        assert first.fetch().predict(1).value == ["one", 1]
        assert everything(place, name) <= listed(place, name)
    for operation in ("ListModels", "ListEndpointConfigs", "DeleteModel", "DeleteEndpointConfig", "DeleteObject"):
        faults.always(operation, denied)
        assert f":{operation}" in run(pack(operation), name, place).notes[-1]
        faults.none()
        assert broken_off(name)
        assert run(pack(operation), name, place).outcome == "unchanged"
        assert not broken_off(name)
        assert len(connect(place).session.client("sagemaker").list_models(NameContains=name)["Models"]) == 1


def test_an_upload_without_a_model_is_found_by_its_endpoints_name(place, name, pack, faults):
    package = pack()
    faults.always("CreateModel", denied)
    with pytest.raises(errors.AccessDenied):
        run(package, name, place)
    faults.none()
    endpoint = endpoints.Endpoint(name, place.region, settings=place)
    left = removal.of(endpoint)
    assert left.is_half_made
    assert left.rows == [("model data", artifacts.location(package, connect(place)))]
    assert removal.unused(endpoint) == left
    removal.remove(left)
    assert not broken_off(name)
    with pytest.raises(errors.EndpointNotFound):
        removal.of(endpoint)
    s3 = connect(place).session.client("s3")
    assert "Contents" not in s3.list_objects_v2(Bucket=place.bucket)


def test_what_a_failed_update_made_is_listed_and_goes_without_the_endpoint(place, name, pack, faults):
    first = run(pack("one"), name, place)
    faults.always("UpdateEndpoint", denied)
    with pytest.raises(errors.AccessDenied):
        run(pack("two"), name, place)
    faults.none()
    assert broken_off(name)
    left = removal.unused(endpoints.Endpoint(name, place.region, settings=place))
    assert {kind for kind, _ in left.rows} == {"endpoint configuration", "model", "model data"}
    assert first.config_name not in left.configs
    removal.remove(left)
    assert not broken_off(name)
    assert first.fetch().predict(1).value == ["one", 1]
    assert listed(place, name) == everything(place, name)


def test_an_update_that_nobody_waits_for_is_cleared_away_all_the_same(place, name, pack, faults):
    run(pack("one"), name, place)
    endpoint = run(pack("two"), name, place, wait=False)
    assert not broken_off(name)  # somebody is at it
    deadline = time.monotonic() + 60
    while begun.of(place.region, name) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client = connect(place).session.client("sagemaker")
    assert len(client.list_models(NameContains=name)["Models"]) == 1
    assert endpoint.fetch().predict(1).value == ["two", 1]


def test_what_was_asked_for_meanwhile_is_not_cleared_away(place, name, pack, faults, monkeypatch):
    monkeypatch.setattr(superseding, "clear_away_then", lambda *_: None)
    run(pack("one"), name, place)
    run(pack("two"), name, place, wait=False)
    seen = endpoints.Endpoint(name, place.region, settings=place).wait()
    third = run(pack("three"), name, place, wait=False)
    # Who heard of the second being in service comes late: the third is on its way, or in service already.
    assert superseding.clear_away_late(seen) == ""
    assert third.wait().predict(1).value == ["three", 1]
    assert superseding.clear_away_late(third) == ""
    assert not broken_off(name)
    assert len(connect(place).session.client("sagemaker").list_models(NameContains=name)["Models"]) == 1


def test_what_an_interrupted_wait_left_is_cleared_away_by_the_next_run(place, name, pack, faults, monkeypatch):
    monkeypatch.setattr(superseding, "clear_away_then", lambda *_: None)  # the kernel ends, too
    run(pack("one"), name, place)
    package = pack("two")

    def interrupt(_request, _service):
        if "UpdateEndpoint" in faults.calls:
            raise KeyboardInterrupt

    faults.always("DescribeEndpoint", interrupt)
    with pytest.raises(errors.DeploymentInterrupted):
        run(package, name, place)
    faults.none()
    assert broken_off(name)
    endpoints.Endpoint(name, place.region, settings=place).wait()
    assert run(package, name, place).outcome == "unchanged"
    assert not broken_off(name)
    assert len(connect(place).session.client("sagemaker").list_models(NameContains=name)["Models"]) == 1


def test_every_request_of_a_removal_that_is_refused_names_the_permission_and_the_next_run_goes_on(
    place, name, pack, faults
):
    endpoint = run(pack(), name, place)
    for operation, action in DELETING.items():
        for fault, said in ((denied, f'"{action}"'), (EXPIRED, "login"), (slow, "the same again")):
            faults.always(operation, fault)
            with pytest.raises(errors.BackendError) as caught:
                removal.remove(removal.of(endpoints.Endpoint(name, place.region, settings=place)))
            assert said in caught.value.hint, operation
            faults.none()
            assert everything(place, name) <= listed(place, name), operation
    removal.remove(removal.of(endpoint))
    assert everything(place, name) == set()


@pytest.mark.parametrize("fault", [throttled, SERVER_ERROR, broken, slow], ids=["throttled", "500", "reset", "slow"])
@pytest.mark.usefixtures("patient")
def test_what_passes_is_not_noticed(place, name, pack, faults, fault):
    all_of_them = dict.fromkeys((*CREATING, *DELETING, *UPDATING))  # each twice: boto3 tries five times in all
    for package, outcome in ((pack("one"), "created"), (pack("two"), "updated")):
        for operation in all_of_them:
            faults.once(operation, fault, fault)
        assert run(package, name, place).outcome == outcome
        faults.none()
    for operation in all_of_them:
        faults.once(operation, fault, fault)
    removal.remove(removal.of(endpoints.Endpoint(name, place.region, settings=place)))
    faults.none()
    assert everything(place, name) == set()


@pytest.mark.usefixtures("patient")
def test_an_answer_that_was_lost_is_no_failure(place, name, pack, faults):
    """Each request was served, its answer did not get here, and boto3 sends it again."""
    for package, outcome in ((pack("one"), "created"), (pack("two"), "updated")):
        for operation in dict.fromkeys((*CREATING, *DELETING, *UPDATING)):
            faults.once(operation, lost)
        assert run(package, name, place).outcome == outcome
        faults.none()
    for operation in DELETING:
        faults.once(operation, lost)
    removal.remove(removal.of(endpoints.Endpoint(name, place.region, settings=place)))
    assert {*DELETING} <= set(faults.calls)
    assert everything(place, name) == set()


def missing(what: str):
    return refused("ValidationException", f'Could not find {what} "arn:aws:sagemaker:us-west-2:1:{what}/x".')


def test_what_was_just_created_may_not_be_known_everywhere_yet(place, name, pack, faults):
    def unknown_at_first(request, service):
        asked = faults.calls[faults.calls.index("CreateEndpoint") :] if "CreateEndpoint" in faults.calls else []
        return missing("endpoint")(request, service) if 0 < asked.count("DescribeEndpoint") <= 2 else None

    faults.once("CreateEndpointConfig", missing("model"), missing("model"))
    faults.once("CreateEndpoint", missing("endpoint configuration"), missing("endpoint configuration"))
    faults.always("DescribeEndpoint", unknown_at_first)
    assert run(pack("one"), name, place).is_in_service
    faults.none()
    faults.once("CreateEndpointConfig", missing("model"))
    faults.once("UpdateEndpoint", missing("endpoint configuration"), missing("endpoint configuration"))
    assert run(pack("two"), name, place).predict(1).value == ["two", 1]


def test_what_never_comes_to_be_known_is_an_error_in_the_end(place, name, pack, faults, monkeypatch):
    monkeypatch.setattr(consistency, "SECONDS", 0.0)
    faults.always("CreateEndpointConfig", missing("model"))
    with pytest.raises(errors.BackendError, match="Could not find model"):
        run(pack(), name, place)
    faults.none()
    assert everything(place, name) <= listed(place, name)
    assert run(pack(), name, place).is_in_service


def answering(place, instead):
    """Have DescribeEndpoint answered with what `instead` makes of the true answer, while it makes anything of it."""

    def replace_answer(http_response, parsed, **_):
        told = instead(parsed)
        if told:
            parsed.clear()
            parsed.update(told)
            http_response.status_code = 200

    connect(place).client("sagemaker").meta.events.register_first(
        "after-call.sagemaker.DescribeEndpoint", replace_answer
    )


GATED = """
import json
import time
from pathlib import Path

def model_fn(model_dir):
    while not Path({place!r}).exists():
        time.sleep(0.01)
    return "two"

def transform_fn(model, body, content_type, accept):
    return json.dumps([model, json.loads(body)]), "application/json"
"""


@pytest.fixture
def deployed(place, name, pack):
    """The name of an endpoint that is in service."""
    run(pack("one"), name, place)
    return name


@pytest.fixture
def gated(pack, tmp_path):
    """A package, and the file without which it does not load."""
    gate = tmp_path / "may load"
    return pack(code=GATED.format(place=str(gate))), gate


@pytest.mark.parametrize("wait", [True, False])
def test_an_update_that_is_not_known_everywhere_yet_is_no_rollback(place, deployed, gated, faults, wait):
    name, (two, may_load) = deployed, gated
    client = connect(place).session.client("sagemaker")
    former, looks = client.describe_endpoint(EndpointName=name), []

    def stale(answer):
        if "UpdateEndpoint" not in faults.calls:
            return None
        looks.append(answer)
        # A place that does not know yet answers after one that does, and while the update is on its way.
        if len(looks) == 4:
            may_load.touch()
        return former if len(looks) in {1, 2, 4} else None

    answering(place, stale)
    statuses = []
    endpoint = run(two, name, place, wait=wait, listener=statuses.append)
    if not wait:
        assert (endpoint.fetch().status, endpoint.is_rolled_back) == ("Updating", False)
        endpoint.wait(listener=statuses.append)
    assert len(looks) > 4
    assert endpoint.predict(1).value == ["two", 1]
    told = [event.status for event in statuses if isinstance(event, StatusChanged)]
    assert told == ["Updating", "InService"]


def test_an_update_that_is_known_and_rolled_back_is_one_at_once(place, name, pack, faults):
    run(pack("one"), name, place)
    broken_package = pack(code="def model_fn(model_dir):\n    raise OSError('no weights')\n")
    with pytest.raises(errors.EndpointFailed, match="serves what it served before"):
        run(broken_package, name, place)
    updating = endpoints.Endpoint(name, place.region, settings=place)
    updating.asked = endpoints.Asked("another", before=updating.fetch().modified, when=0.0)
    assert updating.fetch().is_rolled_back  # nobody takes half a minute to know


def test_what_was_just_asked_for_is_being_created_though_not_everybody_knows_it(place, name, pack, faults):
    endpoint = run(pack("one"), name, place, wait=False)
    faults.once("DescribeEndpoint", missing("endpoint"), missing("endpoint"))
    heard = []
    with endpoint.watch(heard.append):
        endpoint.wait()
    assert [event.status for event in heard if isinstance(event, StatusChanged)][:1] == ["Creating"]
    assert "Deleted" not in [event.status for event in heard if isinstance(event, StatusChanged)]
    removal.remove(removal.of(endpoint))
    with pytest.raises(errors.EndpointNotFound):
        endpoint.fetch()


def test_what_was_just_deleted_may_be_seen_a_little_longer(place, name, pack, faults):
    endpoint = run(pack(), name, place)
    client = connect(place).session.client("sagemaker")
    former = client.describe_endpoint(EndpointName=name)
    still = iter([former, {**former, "EndpointStatus": "Deleting"}])
    events = connect(place).client("sagemaker").meta.events

    def remember(http_response, parsed, **_):
        if "DeleteEndpoint" in faults.calls and "Error" in parsed and (seen := next(still, None)):
            parsed.pop("Error")
            parsed.update(seen)
            http_response.status_code = 200

    events.register("after-call.sagemaker.DescribeEndpoint", remember)
    removal.remove(removal.of(endpoint))
    assert everything(place, name) == set()


def test_a_name_that_somebody_else_takes_meanwhile_is_theirs(place, name, pack, faults):
    client = connect(place).session.client("sagemaker")

    def take(*_):
        config = next(
            row["EndpointConfigName"] for row in client.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
        )
        variants = client.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        client.create_endpoint_config(EndpointConfigName=f"theirs-{name}", ProductionVariants=variants)
        client.create_endpoint(EndpointName=name, EndpointConfigName=f"theirs-{name}")

    faults.once("CreateEndpoint", take)
    with pytest.raises(errors.EndpointConflictError):
        run(pack(), name, place)
    assert client.describe_endpoint(EndpointName=name)["EndpointConfigName"] == f"theirs-{name}"
    with pytest.raises(errors.EndpointConflictError, match="does not come from this notebook"):
        run(pack(), name, place)
    theirs = endpoints.Endpoint(name, place.region, settings=place).wait()
    assert any(f"theirs-{name}" in line for line in removal.of(theirs).kept)
    removal.delete_endpoint(theirs)
    client.delete_endpoint_config(EndpointConfigName=f"theirs-{name}")
    assert everything(place, name) == listed(place, name)


def test_an_interrupt_anywhere_leaves_nothing_that_is_not_listed(place, name, pack, faults):
    def interrupt(*_):
        raise KeyboardInterrupt

    package = pack()
    for operation in [*CREATING][1:]:
        faults.always(operation, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(package, name, place)
        faults.none()
        assert everything(place, name) <= listed(place, name)
    assert run(package, name, place).is_in_service


def test_a_large_upload_that_broke_off_goes_on_with_the_next_run(place, name, pack, faults, tmp_path):
    small = pack()
    weights = tmp_path / "weights.pth"
    weights.write_bytes(random.Random(0).randbytes(2 * uploading.PART))
    with tarfile.open(small.path) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    members = [Member("model.pth", weights), Member("code/inference.py", tmp_path / "unpacked/code/inference.py")]
    with new_archive(tmp_path / "model.tar.gz", members):
        pass
    package = Package.open(tmp_path / "model.tar.gz")
    faults.once("CompleteMultipartUpload", EXPIRED)
    with pytest.raises(errors.AccessDenied, match="expired"):
        run(package, name, place)
    assert [started.uri for started in unfinished.listed() if started.bucket == place.bucket]
    faults.none()
    assert run(package, name, place).predict(1).value == ["one", 1]
    assert "UploadPart" not in faults.calls
    assert not [started.uri for started in unfinished.listed() if started.bucket == place.bucket]
