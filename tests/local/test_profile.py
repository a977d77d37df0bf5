"""A profile in the user's AWS configuration: written with care, and enough for a client that has nothing else."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

CODE = """
import boto3
print(boto3.client("sts").get_caller_identity()["Account"])
url = boto3.client("s3").generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})
print("X-Amz-Signature" in url)
"""


@pytest.fixture
def configured(own_service, tmp_path):
    """A service that runs, and an AWS configuration of this test's own."""
    own_service.environ |= {
        "AWS_CONFIG_FILE": str(tmp_path / "aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws" / "credentials"),
    }
    own_service.start()
    yield own_service
    # Who asked for keys may have started another one.
    own_service.run("stop")


def config_of(tmp_path):
    return tmp_path / "aws" / "config"


def asked(service, **environ) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE],
        env={**service.environment, "AWS_PROFILE": "here", "AWS_EC2_METADATA_DISABLED": "true", **environ},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_boto3_needs_nothing_but_the_profile_and_starts_the_service_itself(configured, tmp_path):
    written = configured.run("env", "--profile", "here")
    assert written.returncode == 0, written.stderr
    assert written.stdout == f"The profile here in {config_of(tmp_path)} is added.\nexport AWS_PROFILE=here\n"
    assert stat.S_IMODE(config_of(tmp_path).stat().st_mode) == 0o600
    assert configured.address["secret_key"] not in config_of(tmp_path).read_text()
    expected = f"{configured.address['account']}\nTrue\n"
    ran = asked(configured)
    assert ran.stdout == expected, ran.stderr
    assert configured.run("stop").returncode == 0
    configured.process.wait(60)
    assert not (configured.home / "service.json").exists()
    ran = asked(configured)
    assert ran.stdout == expected, ran.stderr
    assert configured.run("env", "--profile", "here").stdout.startswith("The profile here")
    assert configured.run("env", "--profile", "here").stdout.count("is unchanged.") == 1


def test_what_else_the_file_has_stays_as_it_is(configured, tmp_path):
    mine = '# mine\r\n[default]\nregion=eu-west-1\n\n[profile "other"]\n  output = json'
    config = config_of(tmp_path)
    config.parent.mkdir()
    config.write_bytes(mine.encode())
    config.chmod(0o644)
    printed = configured.run("env", "--profile", "here", "--print")
    assert config.read_bytes() == mine.encode()
    configured.run("env", "--profile", "here")
    assert config.read_bytes() == (mine + "\n\n" + printed.stdout).encode()
    assert stat.S_IMODE(config.stat().st_mode) == 0o644
    # Written again, at another address: what the user added to it stays.
    changed = config.read_bytes() + b"\n[profile after]\nendpoint_url = http://mine\n"
    changed = changed.replace(b"[profile here]\n", b"[profile here]\noutput = text\n")
    config.write_bytes(changed.replace(configured.address["url"].encode(), b"http://127.0.0.1:1"))
    assert "is changed." in configured.run("env", "--profile", "here").stdout
    assert config.read_bytes() == changed


@pytest.mark.parametrize(
    ("name", "file", "content", "said"),
    [
        ("mine", "config", "[profile mine]\nregion = eu-west-1\n", "already"),
        ("mine", "credentials", "[mine]\naws_access_key_id = a\n", "already"),
        ("default", "config", "", "no name for a profile"),
        ("a]b", "config", "", "no name for a profile"),
    ],
)
def test_nothing_of_the_users_is_overwritten(configured, tmp_path, *, name, file, content, said):
    path = tmp_path / "aws" / file
    path.parent.mkdir()
    path.write_text(content)
    refused = configured.run("env", "--profile", name)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert path.read_text() == content
    assert [found.name for found in path.parent.iterdir()] == [file]


def test_a_configuration_that_cannot_be_written_is_said(configured, tmp_path):
    (tmp_path / "aws").write_text("a file where a folder should be")
    refused = configured.run("env", "--profile", "here")
    assert refused.returncode == 1
    assert "cannot be changed" in refused.stderr
    assert "--print" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_keys_are_printed_as_a_credential_process_does(configured):
    printed = configured.run("credentials")
    keys = json.loads(printed.stdout)
    left = datetime.fromisoformat(keys.pop("Expiration")) - datetime.now(timezone.utc)
    assert timedelta(minutes=30) < left <= timedelta(hours=1), "asked again, and so started again"
    assert keys == {
        "Version": 1,
        "AccessKeyId": configured.address["access_key"],
        "SecretAccessKey": configured.address["secret_key"],
    }
    elsewhere = configured.run("credentials", "--port", "1")
    assert elsewhere.returncode == 1
    assert "listens at" in elsewhere.stderr
    assert not elsewhere.stdout
