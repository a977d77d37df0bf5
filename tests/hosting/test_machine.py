"""SageMaker on this machine is started when it is needed, found again, and replaced when it has died."""

from __future__ import annotations

import json
import os
import sys
import threading

import pytest

from sm_magics.errors import ServiceUnavailable
from sm_magics.home import ServiceAddress
from sm_magics.hosting import connect
from sm_magics.hosting import machine as service
from sm_magics.settings import Settings


def test_it_is_started_once_and_found_again(machine):
    address = service.ensure_running()
    assert service.running() == address
    assert service.ensure_running() == address
    assert connect().client("sts").get_caller_identity()["Account"] == address.account


def test_asked_for_by_many_at_once_it_is_one(machine):
    if service.running() is not None:
        machine.kill()
    found = []
    threads = [threading.Thread(target=lambda: found.append(service.ensure_running())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({address.pid for address in found}) == 1
    assert len(found) == 4


def test_one_that_was_killed_is_replaced_however_soon(machine):
    for _ in range(3):
        before = service.ensure_running()
        machine.kill()
        assert service.ensure_running().pid != before.pid


def test_preparing_it_does_not_wait_and_is_no_second_start(machine):
    service.ensure_running()
    machine.kill()
    service.prepare()
    service.prepare()
    address = service.ensure_running()
    service.prepare()
    assert service.running() == address


def test_it_outlives_ctrl_c_in_the_notebook(machine):
    address = service.ensure_running()
    assert os.getpgid(address.pid) != os.getpgid(0)
    assert os.getsid(address.pid) != os.getsid(0)


def test_an_address_where_nothing_listens_counts_as_none(tmp_path, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path))
    values = {"url": "http://127.0.0.1:1", "access_key": "a", "secret_key": "b", "region": "us-west-2"}
    ServiceAddress(**values, account="1", pid=os.getpid(), version="0").write()
    assert service.running() is None


def test_one_that_does_not_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path))
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    for _ in range(2):  # and is tried again the next time
        with pytest.raises(ServiceUnavailable, match="the disk is full") as caught:
            service.ensure_running()
        assert "python -m sm_magics.local" in caught.value.hint


@pytest.fixture
def broken_python(tmp_path, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path))
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho $$ cannot >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    return tmp_path / "service.log"


def test_a_start_adds_to_the_log_of_others_and_shows_its_own_part(broken_python):
    broken_python.write_text("what another service says\n")
    with pytest.raises(ServiceUnavailable, match="cannot") as caught:
        service.ensure_running()
    assert "another" not in caught.value.message
    with pytest.raises(ServiceUnavailable):
        service.ensure_running()
    first, *starts = broken_python.read_text().splitlines()
    assert first == "what another service says"
    assert len({line for line in starts if line.endswith(" cannot")}) == 2


def test_a_long_log_is_set_aside_once(broken_python):
    for word in ("first", "second"):
        broken_python.write_text(f"{word}\n" * (1 << 20))
        with pytest.raises(ServiceUnavailable):
            service.ensure_running()
        assert broken_python.stat().st_size < 1000
        assert broken_python.with_name("service.log.1").read_text().startswith(word)


def test_nothing_in_the_environment_leads_elsewhere(machine, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:2\n")
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:1",
        "AWS_PROFILE": "nobody",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "x",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_CONFIG_FILE": str(config),
        "HTTP_PROXY": "http://127.0.0.1:3",
        "http_proxy": "http://127.0.0.1:3",
        "ALL_PROXY": "http://127.0.0.1:3",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sm_magics.hosting.connection._local", None)
    before = dict(os.environ)
    connection = connect()
    for kind in ("sagemaker", "sagemaker-runtime", "s3", "logs", "sts", "iam"):
        client = connection.client(kind)
        assert client.meta.endpoint_url == service.running().url
        assert client.meta.region_name == connection.region
    assert connection.client("sts").get_caller_identity()["Account"] == connection.account
    assert connection.client("sagemaker").list_endpoints(NameContains="nothing-of-that-name")["Endpoints"] == []
    assert dict(os.environ) == before


def test_settings_of_a_connection_are_those_of_who_asked_for_it(machine):
    plain, with_bucket = connect(), connect(Settings(bucket="mine"))
    assert plain.bucket.startswith("sagemaker-")
    assert with_bucket.bucket == "mine"
    assert connect().bucket == plain.bucket
    assert plain.client("sagemaker") is with_bucket.client("sagemaker")


def test_the_address_file_is_for_this_user_alone(machine):
    service.ensure_running()
    assert ServiceAddress.path().stat().st_mode & 0o777 == 0o600
    assert json.loads(ServiceAddress.path().read_text())["pid"] == service.running().pid
