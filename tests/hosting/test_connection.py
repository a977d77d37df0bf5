"""Where a connection leads, and what it needs to get there. Nothing here reaches AWS."""

from __future__ import annotations

import pytest

from sm_magics.errors import ConfigurationError
from sm_magics.hosting import connect, connection
from sm_magics.settings import Settings

AWS = Settings(instance_type="ml.m5.large", region="us-west-2")


@pytest.fixture(autouse=True)
def no_aws(monkeypatch, tmp_path):
    """No credentials, no region and no configuration of the user's; nothing that asks the network for them."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr(connection, "_aws", {})
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-1\n")


def test_an_aws_region_is_where_it_says():
    found = connect(AWS)
    assert (found.where, found.region, found.place, found.is_local) == ("us-west-2", "us-west-2", "us-west-2", False)


def test_the_region_comes_from_the_profile_or_the_environment_where_it_is_not_given(monkeypatch):
    assert connect(Settings(instance_type="ml.m5.large", profile="work")).where == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    assert connect(Settings(instance_type="ml.m5.large")).where == "ap-south-1"


def test_aws_without_a_region_is_refused_with_the_option_to_give_one():
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="No AWS region") as caught:
            connect(Settings(instance_type="ml.m5.large"))
        assert caught.value.hint == "--region us-west-2"


def test_a_profile_that_does_not_exist_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="nobody"):
        connect(Settings(instance_type="ml.m5.large", region="us-west-2", profile="nobody"))


def test_without_credentials_nothing_is_sent_and_the_way_out_is_named():
    with pytest.raises(ConfigurationError, match="credentials") as caught:
        _ = connect(AWS).account
    assert "--instance-type local" in caught.value.hint


def test_the_role_and_the_bucket_are_those_of_the_settings():
    settings = AWS.override(role="arn:aws:iam::123456789012:role/R", bucket="mine")
    assert (connect(settings).role, connect(settings).bucket) == (settings.role, "mine")


def test_clients_are_made_once_for_a_region_whatever_else_is_set(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    first = connect(AWS).client("sagemaker")
    assert connect(AWS).client("sagemaker") is first
    assert connect(AWS.override(bucket="mine")).client("sagemaker") is first
    assert connect(AWS.override(region="eu-west-1")).client("sagemaker") is not first


def test_a_prediction_is_never_sent_twice_by_itself(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    config = connect(AWS).client("sagemaker-runtime").meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.read_timeout > 60
