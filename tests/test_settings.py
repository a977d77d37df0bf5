"""Where a setting comes from: a flag, else %config, else the environment, else Studio, else a default."""

from __future__ import annotations

import itertools
import json
from dataclasses import fields

import pytest

from sm_magics.errors import ConfigurationError
from sm_magics.settings import Settings, resolve

NAMES = [field.name for field in fields(Settings) if field.type == "str"]


@pytest.fixture
def studio(tmp_path):
    path = tmp_path / "resource-metadata.json"
    path.write_text(json.dumps({"ExecutionRoleArn": "arn:aws:iam::123456789012:role/Studio"}))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_flag_beats_config_beats_the_environment(name, tmp_path):
    absent = tmp_path / "none.json"
    layers = {"flags": "eu-1", "configured": "eu-2", "environ": "eu-3"}
    for left_out in range(len(layers)):
        said = dict(itertools.islice(layers.items(), left_out, None))
        settings = resolve(
            {name: said["flags"]} if "flags" in said else {},
            {name: said["configured"]} if "configured" in said else {},
            {f"SM_MAGICS_{name.upper()}": said["environ"]},
            studio=absent,
        )
        assert getattr(settings, name) == next(iter(said.values()))
    assert getattr(resolve({}, {}, {}, studio=absent), name) == getattr(Settings(), name)


def test_the_role_comes_from_studio_unless_something_else_says_one(studio):
    assert resolve({}, {}, {}, studio=studio).role.endswith("role/Studio")
    assert resolve({}, {}, {"SM_MAGICS_ROLE": "arn:mine"}, studio=studio).role == "arn:mine"


@pytest.mark.parametrize("text", ["", "not json", "[]", "7", '{"ExecutionRoleArn": 7}', "{}", "\ud83d"])
def test_studio_metadata_that_says_nothing_is_passed_over(tmp_path, text):
    path = tmp_path / "resource-metadata.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert resolve({}, {}, {}, studio=path) == Settings()


def test_everything_is_on_this_machine_by_default(tmp_path):
    settings = resolve({}, {}, {}, studio=tmp_path / "none")
    assert (settings.instance_type, settings.where) == ("local", "local")


@pytest.mark.parametrize(
    ("flags", "configured", "where"),
    [
        ({"instance_type": "ml.m5.large"}, {}, ""),
        ({"instance_type": "ml.m5.large", "region": "us-west-2"}, {}, "us-west-2"),
        ({"instance_type": "ml.m5.large"}, {"region": "us-west-2"}, "us-west-2"),
        ({"instance_type": "ml.m5.large"}, {"region": "local"}, ""),
        ({"instance_type": "local"}, {"region": "us-west-2"}, "local"),
        ({"instance_type": "local"}, {"instance_type": "ml.m5.large", "region": "us-west-2"}, "local"),
        ({"region": "local"}, {"instance_type": "ml.m5.large", "region": "us-west-2"}, "local"),
        ({}, {"instance_type": "ml.m5.large"}, ""),
        ({}, {"region": "us-west-2"}, "us-west-2"),
        ({"region": "eu-west-1"}, {"region": "us-west-2"}, "eu-west-1"),
    ],
)
def test_where_a_command_goes(flags, configured, where, tmp_path):
    assert resolve(flags, configured, {}, studio=tmp_path / "none").where == where


def test_names_that_are_no_setting_are_passed_over(tmp_path):
    assert resolve({"out": "x", "name": "digits"}, {"notebook": "a"}, {}, studio=tmp_path / "none") == Settings()


def test_nothing_overrides_with_none_or_nothing():
    settings = Settings(region="us-west-2")
    assert settings.override(region=None, role="") == settings
    assert settings.override(region="local").region == "local"


def test_a_vpc_is_both_halves_or_none():
    assert Settings().vpc_config == {}
    both = Settings(subnets="subnet-1, subnet-2", security_group_ids="sg-1")
    assert both.vpc_config == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    for half in (Settings(subnets="subnet-1"), Settings(security_group_ids="sg-1")):
        with pytest.raises(ConfigurationError, match="given alone") as caught:
            _ = half.vpc_config
        assert caught.value.hint.startswith("--")


@pytest.mark.parametrize(("said", "holds"), [("1", True), ("true", True), ("Yes", True), ("0", False), ("", False)])
def test_network_isolation_is_read_from_the_environment(said, holds, tmp_path):
    environ = {"SM_MAGICS_ENABLE_NETWORK_ISOLATION": said}
    absent = tmp_path / "none"
    assert resolve({}, {}, environ, studio=absent).enable_network_isolation is holds
    assert resolve({}, {"enable_network_isolation": False}, environ, studio=absent).enable_network_isolation is holds
    assert resolve({"enable_network_isolation": True}, {}, environ, studio=absent).enable_network_isolation
