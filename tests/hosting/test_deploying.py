"""Deploying through boto3 alone, on SageMaker on this machine."""

from __future__ import annotations

import contextlib
import threading
import uuid

import pytest

from sm_magics import errors
from sm_magics.hosting import Origin, artifacts, connect, deploy, endpoints, removal
from sm_magics.progress import Progress, StatusChanged
from sm_magics.settings import Settings

MINE = Origin("/home/me/a.ipynb", "/home/me")
BROKEN = "def model_fn(model_dir):\n    raise OSError('no disk today')\n"


@pytest.fixture
def name(machine):
    """An endpoint's name; whatever was made for it is gone when the test ends."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    yield name
    for found in (name, f"{name}-2"):
        with contextlib.suppress(errors.EndpointNotFound):
            removal.remove(removal.of(endpoints.Endpoint(found)))
    assert everything(name) == {}


@pytest.fixture
def slow(tmp_path):
    """A script whose model loads once a file is there."""
    go = tmp_path / "go"
    loads = f"def model_fn(d):\n    while not os.path.exists({str(go)!r}):\n        time.sleep(0.01)\n    return 1\n"
    yield f"import os, time\n\n{loads}", go
    go.touch()


def everything(stem: str) -> dict[str, str]:
    """Return every endpoint, configuration and model whose name begins like this, with its kind."""
    client, found = connect().client("sagemaker"), {}
    for kind, operation in (
        ("Endpoint", client.list_endpoints),
        ("EndpointConfig", client.list_endpoint_configs),
        ("Model", client.list_models),
    ):
        for row in operation(NameContains=stem)[f"{kind}s"]:
            found[row[f"{kind}Name"]] = kind
    return found


def is_stored(package) -> bool:
    connection = connect()
    bucket, key = artifacts.split(artifacts.location(package, connection))
    listed = connection.client("s3").list_objects_v2(Bucket=bucket, Prefix=key)
    return bool(listed.get("KeyCount"))


def test_a_package_is_deployed_called_and_deleted(name, pack):
    events = []
    package = pack("one")
    endpoint = deploy(package, name, origin=MINE, listener=events.append)
    assert (endpoint.status, endpoint.outcome, endpoint.where) == ("InService", "created", "local")
    assert endpoint.predict([1, 2]).value == ["one", [1, 2]]
    assert endpoint.tags() == {**MINE.tags(), "sm-magics:endpoint": name, "sm-magics:user": connect().user}
    phases = [event.phase for event in events if isinstance(event, Progress)]
    assert phases[0] == "Upload"
    assert phases[-1] == "Create"
    assert [event.status for event in events if isinstance(event, StatusChanged)][-1] == "InService"
    planned = removal.of(endpoint)
    assert [kind for kind, _ in planned.rows] == ["endpoint", "endpoint configuration", "model data", "model"]
    assert planned.kept == ()
    removal.remove(planned)
    assert everything(name) == {}
    assert not is_stored(package)
    with pytest.raises(errors.EndpointNotFound, match=name):
        endpoint.fetch()
    with pytest.raises(errors.EndpointNotFound):
        removal.of(endpoint)


def test_the_same_again_sends_nothing(name, pack):
    first = deploy(pack("one"), name, origin=MINE)
    events = []
    again = deploy(pack("one"), name, origin=MINE, listener=events.append)
    assert (again.outcome, again.config_name, again.modified) == ("unchanged", first.config_name, first.modified)
    assert events == []


@pytest.mark.parametrize("change", [{"env": {"A": "1"}}, {"initial_instance_count": 2}, {"answer": "two"}])
def test_a_change_updates_in_place_and_takes_the_former_version_away(name, pack, change):
    first = deploy(pack("one"), name, origin=MINE)
    change = dict(change)
    package = pack(change.pop("answer", "one"))
    second = deploy(package, name, origin=MINE, **change)
    assert (second.outcome, second.created) == ("updated", first.created)
    assert second.config_name != first.config_name
    assert sorted(everything(name).values()) == ["Endpoint", "EndpointConfig", "Model"]
    assert second.predict(1).value[1] == 1
    assert is_stored(package)


def test_it_answers_all_the_while_it_is_updated(name, pack):
    endpoint = deploy(pack("one"), name, origin=MINE)
    answers, failures, done = set(), [], threading.Event()

    def ask():
        try:
            while not done.is_set():
                answers.add(endpoint.predict(1).value[0])
        except errors.SmMagicsError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        deploy(pack("two"), name, origin=MINE)
        while "two" not in answers and not failures:
            done.wait(0.01)
    finally:
        done.set()
        thread.join()
    assert failures == []
    assert answers == {"one", "two"}


def test_a_failed_update_serves_what_it_served_and_goes_with_the_next(name, pack):
    first = deploy(pack("one"), name, origin=MINE)
    with pytest.raises(errors.EndpointFailed, match="serves what it served before") as caught:
        deploy(pack(code=BROKEN), name, origin=MINE)
    assert "no disk today" in caught.value.message
    assert first.fetch().status == "InService"
    assert first.predict(1).value == ["one", 1]
    assert len(everything(name)) == 5
    deploy(pack("three"), name, origin=MINE)
    assert len(everything(name)) == 3


def test_a_failed_endpoint_says_why_and_is_made_anew(name, pack):
    with pytest.raises(errors.EndpointFailed, match="OSError: no disk today") as caught:
        deploy(pack(code=BROKEN), name, origin=MINE)
    assert "ping health check" in caught.value.reason
    assert "OSError: no disk today" in caught.value.log
    assert f"%sm_delete {name}" in caught.value.hint
    endpoint = deploy(pack("one"), name, origin=MINE)
    assert endpoint.outcome == "created"
    assert endpoint.predict(1).value == ["one", 1]
    assert len(everything(name)) == 3


@pytest.mark.parametrize(
    "other", [Origin("/home/me/b.ipynb", "/home/me"), Origin("", "/elsewhere"), Origin("/home/you/a.ipynb", "/home/me")]
)
def test_somebody_elses_endpoint_is_refused_with_a_free_name(name, pack, other):
    first = deploy(pack("one"), name, origin=MINE)
    with pytest.raises(errors.EndpointConflictError) as caught:
        deploy(pack("two"), name, origin=other)
    assert f"--endpoint-name {name}-2 " in caught.value.hint
    assert "--update" in caught.value.hint
    assert first.fetch().predict(1).value == ["one", 1]
    assert len(everything(name)) == 3
    assert deploy(pack("two"), name, origin=other, update=True).predict(1).value == ["two", 1]


def test_an_endpoint_that_is_not_ours_is_never_ours_to_update(name, pack):
    deploy(pack("one"), name, origin=MINE)
    client = connect().client("sagemaker")
    arn = client.describe_endpoint(EndpointName=name)["EndpointArn"]
    client.delete_tags(ResourceArn=arn, TagKeys=["sm-magics:created-by"])
    with pytest.raises(errors.EndpointConflictError):
        deploy(pack("two"), name, origin=MINE)


def test_two_endpoints_share_model_data_and_it_goes_with_the_last(name, pack):
    package = pack("one")
    deploy(package, name, origin=MINE)
    deploy(package, f"{name}-2", origin=MINE)
    planned = removal.of(endpoints.Endpoint(name))
    assert planned.objects == ()
    assert "uses it too" in planned.kept[0]
    removal.remove(planned)
    assert is_stored(package)
    last = removal.of(endpoints.Endpoint(f"{name}-2"))
    assert len(last.objects) == 1
    removal.remove(last)
    assert not is_stored(package)


def test_what_sm_magics_did_not_make_stays(name, pack):
    deploy(pack("one"), name, origin=MINE)
    client = connect().client("sagemaker")
    config = client.describe_endpoint_config(
        EndpointConfigName=client.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    )
    foreign = f"foreign-{name}"
    client.create_endpoint_config(EndpointConfigName=foreign, ProductionVariants=config["ProductionVariants"])
    client.update_endpoint(EndpointName=name, EndpointConfigName=foreign)
    endpoint = endpoints.Endpoint(name).wait()
    planned = removal.of(endpoint)
    assert any(foreign in line for line in planned.kept)
    assert foreign not in planned.configs
    model = config["ProductionVariants"][0]["ModelName"]
    assert any(model in line and foreign in line for line in planned.kept)  # the foreign configuration uses it
    assert not planned.objects
    removal.remove(planned)
    assert everything(name) == {foreign: "EndpointConfig", model: "Model"}
    client.delete_endpoint_config(EndpointConfigName=foreign)
    removal.remove(removal.of(endpoint))
    assert everything(name) == {}


def test_model_data_that_another_model_uses_stays(name, pack):
    package = pack("one")
    endpoint = deploy(package, name, origin=MINE)
    client = connect().client("sagemaker")
    made = next(kind for kind, what in everything(name).items() if what == "Model")
    container = client.describe_model(ModelName=made)["PrimaryContainer"]
    client.create_model(ModelName="users-own", PrimaryContainer=container, ExecutionRoleArn=connect().role)
    try:
        planned = removal.of(endpoint)
        assert any("users-own" in line for line in planned.kept)
        removal.remove(planned)
        assert is_stored(package)
    finally:
        client.delete_model(ModelName="users-own")


def test_a_name_in_another_case_is_refused(name, pack):
    deploy(pack("one"), name, origin=MINE)
    with pytest.raises(errors.EndpointConflictError, match=name):
        deploy(pack("one"), name.upper(), origin=MINE)


def test_an_archive_that_changed_since_it_was_packaged_is_not_sent(name, pack):
    package = pack("one")
    data = bytearray(package.path.read_bytes())
    data[-1] ^= 1
    package.path.write_bytes(data)
    with pytest.raises(errors.PackagingError, match="not the one that was packaged"):
        deploy(package, name, origin=MINE)


def test_another_user_with_the_same_paths_is_somebody_else(name, pack):
    deploy(pack("one"), name, origin=MINE, settings=Settings(user="d-1/ann"))
    with pytest.raises(errors.EndpointConflictError):
        deploy(pack("two"), name, origin=MINE, settings=Settings(user="d-1/bob"))


def test_what_is_there_already_is_not_sent_again(name, pack):
    package = pack("one")
    connection = connect()
    assert artifacts.upload(package, connection)
    assert not artifacts.upload(package, connection)
    bucket, key = artifacts.split(artifacts.location(package, connection))
    stored = connection.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert stored == package.path.read_bytes()
    package.path.unlink()
    assert deploy(package, name, origin=MINE).is_in_service


def test_an_archive_that_is_gone_or_another_one_is_refused(name, pack):
    package = pack("gone")
    content = package.path.read_bytes()
    package.path.unlink()
    with pytest.raises(errors.PackagingError, match="is gone") as caught:
        deploy(package, name, origin=MINE)
    assert "%sm_package" in caught.value.hint
    package.path.write_bytes(content + b"more")
    with pytest.raises(errors.PackagingError, match="not the one"):
        deploy(package, name, origin=MINE)
    package.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(errors.SmMagicsError):
        deploy(package, name, origin=MINE)
    assert everything(name) == {}


def test_without_waiting_it_returns_at_once_and_can_be_followed(name, pack, slow):
    code, go = slow
    endpoint = deploy(pack(code=code), name, origin=MINE, wait=False)
    assert endpoint.status == "Creating"
    with pytest.raises(errors.EndpointTimeout, match="still Creating"):
        endpoint.wait(timeout=0)
    go.touch()
    assert endpoint.wait().status == "InService"


def test_endpoint_that_goes_while_it_is_looked_at_is_made_anew(name, pack, monkeypatch):
    found = deploy(pack(), name, origin=MINE)
    client = connect().client("sagemaker")
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    monkeypatch.setattr("sm_magics.hosting.endpoints.get", lambda *_: found)
    assert deploy(pack("two"), name, origin=MINE).predict(1).value == ["two", 1]


def test_deploying_onto_one_that_is_being_created_or_deleted_waits_for_it(name, pack, slow):
    code, go = slow
    deploy(pack(code=code), name, origin=MINE, wait=False)
    threading.Timer(0.2, go.touch).start()
    updated = deploy(pack("two"), name, origin=MINE)
    assert (updated.outcome, updated.predict(1).value) == ("updated", ["two", 1])
    connect().client("sagemaker").delete_endpoint(EndpointName=name)
    assert deploy(pack("three"), name, origin=MINE).predict(1).value == ["three", 1]


def test_an_image_that_this_machine_cannot_run_fails_and_says_so(name, pack):
    with pytest.raises(errors.EndpointFailed, match="image"):
        deploy(pack("one"), name, origin=MINE, settings=Settings(image_uri="1.dkr.ecr.us-west-2.amazonaws.com/mine:1"))


@pytest.mark.parametrize("bad", ["", "a_b", "-a", "a" * 64])
def test_a_name_that_sagemaker_refuses_is_refused_before_anything_is_sent(machine, pack, bad):
    package = pack("never sent")
    with pytest.raises(errors.DeploymentError, match="takes no endpoint name"):
        deploy(package, bad, origin=MINE)
    assert not is_stored(package)


def test_what_the_handlers_print_is_in_the_log(name, pack):
    talking = "def model_fn(d):\n    print('loading ü')\n    return 1\n"
    endpoint = deploy(pack(code=talking), name, origin=MINE)
    assert "loading ü" in endpoint.logs()
    assert endpoints.Endpoint(f"{name}-never-was").logs() == []


def test_all_endpoints_are_listed_newest_first(name, pack):
    package = pack("one")
    deploy(package, name, origin=MINE)
    deploy(package, f"{name}-2", origin=MINE)
    found = [endpoint.name for endpoint in endpoints.listed(connect()) if endpoint.name.startswith(name)]
    assert found == [f"{name}-2", name]
    assert endpoints.get(name, connect()).status == "InService"
    assert endpoints.get(f"{name}-never-was", connect()) is None


def test_a_package_without_a_directory_of_its_own_is_known_by_its_archive(name, pack):
    package = pack("one")
    deploy(package, name)
    again = deploy(package, name, env={"A": "1"})
    assert again.outcome == "updated"
