"""Which places there are, how long this process waits for them, and what was printed there last."""

from __future__ import annotations

import pytest

from sm_magics.errors import ConfigurationError
from sm_magics.hosting import connect, connection, logs, places, training
from sm_magics.settings import LOCAL, Settings


@pytest.fixture
def here(machine):
    return connect(Settings(region=LOCAL))


def test_regions_are_those_of_all_partitions():
    assert {"us-west-2", "eu-central-1", "cn-north-1", "us-gov-west-1"} <= set(places.regions())
    assert list(places.regions()) == sorted(places.regions())


def test_profiles_are_those_of_the_configuration(tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text("[default]\nregion = us-west-2\n[profile work]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert places.profiles() == ("default", "work")
    config.write_text("this is no configuration")
    with pytest.raises(ConfigurationError):
        places.profiles()


def test_a_process_may_wait_for_aws_no_longer_than_it_says(as_aws, monkeypatch):
    monkeypatch.setattr(connection, "_patience", None)
    connection.limit_patience(connect_timeout=1.5, read_timeout=2.5, attempts=2)
    client = connect(as_aws).client("sagemaker")
    assert (client.meta.config.connect_timeout, client.meta.config.read_timeout) == (1.5, 2.5)
    assert client.meta.config.retries["total_max_attempts"] == 2
    assert connect(as_aws).client("sagemaker-runtime").meta.config.read_timeout == 70


def test_the_tail_of_a_log_that_is_not_there_is_empty(here):
    assert logs.tail("/aws/sagemaker/Endpoints/never-was", here, 10) == ([], False)


def test_training_jobs_are_listed_as_sagemaker_has_them(here):
    assert all(job.where == LOCAL and job.status and job.created for job in training.listed(here, most=10))
