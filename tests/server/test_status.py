"""How things stand: versions, this machine, credentials; and what can be set."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from faulty import denied, refused

from sm_magics.hosting.machine import ensure_running


async def aws(ask, **query):
    """Return what is known about AWS once it has answered."""
    while True:
        answer = await ask("status", query={"fresh": "true", **query})
        assert answer.status == 200
        if answer.body["aws"]["credentials"] != "waiting":
            return answer.body["aws"]


async def test_the_status_says_which_version_runs_and_that_this_machine_does(ask):
    ensure_running()
    answer = await ask("status", query={"aws": "false"})
    assert answer.status == 200
    assert answer.body["version"] == answer.body["installed"] == version("sm-magics")
    assert answer.body["local"]["running"] is True
    assert answer.body["local"]["region"]
    assert answer.body["aws"] is None


async def test_another_version_on_the_disk_is_seen(ask, monkeypatch):
    from sm_magics.server import status

    monkeypatch.setattr(status, "installed", lambda: "9.9.9")
    answer = await ask("status", query={"aws": "false"})
    assert (answer.body["version"], answer.body["installed"]) == (version("sm-magics"), "9.9.9")


async def test_whose_credentials_there_are(ask, as_aws, faults):
    found = await aws(ask, region=as_aws)
    assert found["credentials"] == "ok"
    assert found["region"] == as_aws
    assert found["problem"] is None
    assert len(found["account"]) == 12
    assert found["user"].startswith("arn:aws")
    faults.none()
    await ask("status", query={"region": as_aws})
    assert faults.calls == []  # known for a minute


@pytest.mark.parametrize(
    ("fault", "word", "code"),
    [
        (refused("ExpiredToken"), "expired", "ExpiredToken"),
        (refused("InvalidClientTokenId", status=403), "denied", "UnknownCaller"),
        (denied, "denied", "AccessDenied"),
    ],
)
async def test_credentials_that_do_not_work_are_a_state_with_what_to_do(ask, faults, fault, word, code):
    faults.always("GetCallerIdentity", fault)
    found = await aws(ask, region=faults.region)
    assert (found["credentials"], found["problem"]["code"]) == (word, code)
    assert found["problem"]["hint"]
    assert found["account"] is found["user"] is None


async def test_no_credentials_are_a_state(ask):
    found = await aws(ask, region="eu-central-1")
    assert (found["region"], found["credentials"], found["problem"]["code"]) == (
        "eu-central-1",
        "absent",
        "NoCredentials",
    )


async def test_no_region_is_a_state(ask):
    found = await aws(ask)
    assert (found["region"], found["problem"]["code"]) == (None, "NoRegion")


async def test_the_region_comes_from_the_environment_where_none_is_asked_for(ask, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
    assert (await aws(ask))["region"] == "sa-east-1"


async def test_a_profile_that_is_not_there_is_a_state(ask):
    found = await aws(ask, region="eu-central-1", profile="nobody")
    assert (found["profile"], found["credentials"], found["problem"]["code"]) == ("nobody", "absent", "NoProfile")


async def test_an_address_that_nobody_answers_at_is_a_state(ask, as_aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # discard
    assert (await aws(ask, region=as_aws))["credentials"] == "unreachable"


async def test_what_can_be_set_is_listed(ask, tmp_path, monkeypatch):
    config = tmp_path / "aws-config"
    config.write_text("[profile work]\naws_secret_access_key = abcdefabcdef\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("SM_MAGICS_BUCKET", "a-bucket")
    answer = await ask("settings")
    assert answer.status == 200
    assert answer.body["version"] == version("sm-magics")
    assert answer.body["profiles"] == ["work"]
    assert {"us-west-2", "cn-north-1"} <= set(answer.body["regions"])
    assert (answer.body["instance_type"], answer.body["bucket"], answer.body["region"]) == ("local", "a-bucket", "")
    assert "abcdefabcdef" not in str(answer.body)


async def test_the_region_is_aws_s_own_default_where_nothing_else_is_set(ask, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
    assert (await ask("settings")).body["region"] == "sa-east-1"
    monkeypatch.setenv("SM_MAGICS_REGION", "local")
    assert (await ask("settings")).body["region"] == "local"


async def test_a_configuration_that_cannot_be_read_has_no_profiles(ask, tmp_path, monkeypatch):
    (tmp_path / "aws-config").write_text("no configuration")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    assert (await ask("settings")).body["profiles"] == []


async def test_this_machine_is_started_on_request(ask, machine):
    before = ensure_running()
    answer = await ask("local", "start", send={})
    assert answer.status == 200
    assert answer.body == {"running": True, "version": before.version, "region": before.region}


async def test_what_keeps_this_machine_from_starting_is_said(ask, tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    monkeypatch.setenv("SM_MAGICS_HOME", str(tmp_path / "open"))
    answer = await ask("local", "start", send={})
    assert (answer.status, answer.error["code"]) == (409, "Configuration")
    assert "chmod 700" in answer.error["hint"]
