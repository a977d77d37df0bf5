"""The exact requests of a deployment, and the names in them."""

from __future__ import annotations

import copy
import string
import sys
from dataclasses import replace
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import example, given
from hypothesis import strategies as st

from sm_magics.errors import ConfigurationError, DeploymentError
from sm_magics.hosting import Origin, names, plan
from sm_magics.hosting.connection import Connection
from sm_magics.hosting.variants import Options
from sm_magics.packaging import Package
from sm_magics.settings import Settings

PACKAGE = Package(
    name="digits",
    path=Path("/work/model.tar.gz"),
    digest="0123456789abcdef" * 4,
    size=10,
    files=(),
    model_dir=Path("/work"),
    python="3.11",
    torch="2.5.1",
    saved_as="state_dict",
    source="net",
)
ORIGIN = Origin("/work/a.ipynb", "/work")
ROLE = "arn:aws:iam::123456789012:role/R"
NAMES = st.from_regex(r"\A[a-zA-Z0-9](-?[a-zA-Z0-9]){0,30}\Z")


def connection(where="local", **settings) -> Connection:
    """Return a connection that cannot send anything."""
    return Connection(
        where,
        "us-west-2",
        None,
        Settings(**settings),
        _identity={"Account": "123456789012", "Arn": "arn:aws:sts::123456789012:assumed-role/r/me"},
    )


def make(package=PACKAGE, name="digits", at=None, **more):
    return plan.make(package, name, at or connection(), origin=ORIGIN, options=Options(**more))


def aws(**settings):
    return connection("us-west-2", **{"role": ROLE, "instance_type": "ml.m5.large", "region": "us-west-2", **settings})


@pytest.mark.parametrize("at", [connection(), aws(), aws(instance_type="ml.g5.xlarge")])
def test_the_requests_are_ones_that_sagemaker_takes(at):
    planned = make(at=at, env={"MODEL_SIZE": "small"})
    service = botocore.session.get_session().get_service_model("sagemaker")
    requests = {
        "CreateModel": planned.create_model,
        "CreateEndpointConfig": planned.create_endpoint_config,
        "CreateEndpoint": planned.create_endpoint,
        "UpdateEndpoint": planned.update_endpoint,
    }
    for operation, request in requests.items():
        report = ParamValidator().validate(request, service.operation_model(operation).input_shape)
        assert not report.has_errors(), report.generate_report()


def test_a_plan_refers_to_itself_throughout():
    planned = make()
    assert planned.create_model["ModelName"] == planned.model_name
    variant = planned.create_endpoint_config["ProductionVariants"][0]
    assert variant["ModelName"] == planned.model_name
    assert planned.create_endpoint_config["EndpointConfigName"] == planned.config_name
    assert planned.create_endpoint == {
        "EndpointName": "digits",
        "EndpointConfigName": planned.config_name,
        "Tags": planned.tags,
    }
    assert planned.create_model["PrimaryContainer"]["ModelDataUrl"] == planned.upload
    assert planned.upload == f"s3://sagemaker-us-west-2-123456789012/sm_magics/{PACKAGE.digest}/model.tar.gz"
    assert {tag["Key"] for tag in planned.tags} == {
        "sm-magics:created-by",
        "sm-magics:endpoint",
        "sm-magics:notebook",
        "sm-magics:model-dir",
    }


def test_the_container_is_told_where_its_code_is():
    environment = make(env={"A": "1"}).create_model["PrimaryContainer"]["Environment"]
    assert environment["SAGEMAKER_PROGRAM"] == "inference.py"
    assert environment["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert environment["A"] == "1"


def test_only_this_machine_is_told_which_python_to_use():
    local = make().create_model["PrimaryContainer"]["Environment"]
    assert local["SM_MAGICS_PYTHON"] == sys.executable
    assert "SM_MAGICS_PYTHON" not in make(at=aws()).create_model["PrimaryContainer"]["Environment"]


def test_the_same_package_and_settings_give_the_same_plan():
    assert make() == make()


@pytest.mark.parametrize(
    "changed",
    [
        {"package": replace(PACKAGE, digest="f" * 64)},
        {"package": replace(PACKAGE, torch="2.4.0")},
        {"env": {"A": "1"}},
        {"initial_instance_count": 2},
        {"name": "letters"},
        {"at": aws()},
        {"at": aws(instance_type="ml.m5.xlarge")},
    ],
)
def test_whatever_changes_gives_another_configuration(changed):
    assert make(**changed).config_name != make().config_name
    model = make(**changed).create_model["PrimaryContainer"]
    if model != make().create_model["PrimaryContainer"]:
        assert make(**changed).model_name != make().model_name


@pytest.mark.parametrize("name", ["a" * 63, "a" * 44 + "-" + "b" * 18, "a-" * 31 + "a"])
def test_long_names_stay_within_what_sagemaker_takes(name):
    planned = make(name=name)
    for made in (planned.model_name, planned.config_name):
        assert names.check_name(made) == made


@given(NAMES, NAMES)
@example("a" * 62 + "1", "a" * 62 + "2")
def test_two_endpoints_never_share_a_model_or_a_configuration(one, other):
    first, second = make(name=one), make(name=other)
    assert (first.model_name == second.model_name) == (one == other)
    assert (first.config_name == second.config_name) == (one == other)


def test_a_plan_takes_nothing_away_from_what_it_was_made_of():
    env = {"A": "1"}
    before = copy.deepcopy(env)
    make(env=env).create_model["PrimaryContainer"]["Environment"]["B"] = "2"
    assert env == before


def test_an_aws_endpoint_without_a_role_is_refused_with_the_option_to_give_one():
    with pytest.raises(ConfigurationError, match="role") as caught:
        make(at=connection("us-west-2", instance_type="ml.m5.large"))
    assert "--role" in caught.value.hint


def test_an_aws_endpoint_needs_an_instance_type():
    with pytest.raises(ConfigurationError, match="instance type") as caught:
        make(at=connection("us-west-2", role=ROLE, region="us-west-2"))
    assert "--instance-type ml." in caught.value.hint


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A1", "a-b", "0", "a" * 63, "a--b"])
def test_a_name_that_sagemaker_takes_is_returned(name):
    assert names.check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "a_b", "a b", "a.b", "ä", "a" * 64, "a\n", "digits/1", "\N{FULLWIDTH DIGIT ONE}"]
)
def test_a_name_that_sagemaker_refuses_is_refused_with_one_that_it_takes(name):
    with pytest.raises(DeploymentError) as caught:
        names.check_name(name)
    suggested = caught.value.hint.removeprefix("--endpoint-name ")
    assert names.check_name(suggested) == suggested


@given(st.lists(st.text()))
@example(["a" * 62 + "-b"])
@example(["ä", "-", "_"])
def test_a_suggested_name_is_one_that_sagemaker_takes_or_nothing(words):
    suggested = names.suggest_name(*words)
    assert suggested == "" or names.check_name(suggested) == suggested
    if any(letter in string.ascii_letters + string.digits for word in words for letter in word):
        assert suggested


@given(NAMES)
def test_the_suggestion_for_a_good_name_is_that_name(name):
    assert names.suggest_name(name) == name


# -- whose endpoint it is -------------------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_tags_are_ones_that_sagemaker_takes_and_are_recognised(notebook, directory):
    origin = Origin(notebook, directory)
    for key, value in origin.tags().items():
        assert len(key) <= 128
        assert 0 < len(value) <= 256
        assert all(letter.isalnum() or letter in "_ .:/=+-@" for letter in value)
    assert origin.owns(origin.tags()) is bool(notebook or directory)


@pytest.mark.parametrize(
    ("origin", "other", "owns"),
    [
        (Origin("a.ipynb", "/work"), Origin("a.ipynb", "/work"), True),
        (Origin("a.ipynb", "/work"), Origin("a.ipynb", "/work/elsewhere"), True),
        (Origin("a.ipynb", "/work"), Origin("b.ipynb", "/work"), False),
        (Origin("", "/work"), Origin("a.ipynb", "/work"), True),
        (Origin("a.ipynb", "/work"), Origin("", "/work"), True),
        (Origin("", "/work"), Origin("", "/elsewhere"), False),
        (Origin("a.ipynb", ""), Origin("", "/work"), False),
        (Origin("", ""), Origin("", ""), False),
    ],
)
def test_an_endpoint_is_its_notebooks(origin, other, owns):
    assert origin.owns(other.tags()) is owns


def test_an_endpoint_without_our_tag_is_nobodys():
    assert not ORIGIN.owns({})
    assert not ORIGIN.owns({key: value for key, value in ORIGIN.tags().items() if "created-by" not in key})


def test_another_role_is_another_model():
    names = {make(at=connection(role=f"arn:aws:iam::123456789012:role/{role}")).model_name for role in ("a", "b")}
    assert len(names) == 2
