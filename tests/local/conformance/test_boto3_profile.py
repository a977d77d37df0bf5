"""boto3 in a process of its own, told nothing but the name of a profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from local_service import Service

#: Somebody's own code: it knows boto3 and an endpoint's name.
CLIENT = """
import json, sys
import boto3
identity = boto3.client("sts").get_caller_identity()
answer = boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName=sys.argv[1], Body=b"[1, 2]")
groups = boto3.client("logs").describe_log_groups(logGroupNamePrefix="/aws/sagemaker/Endpoints/" + sys.argv[1])
body = answer["Body"].read().decode()
print(json.dumps([identity["Account"], body, [group["logGroupName"] for group in groups["logGroups"]]]))
"""


@pytest.fixture
def profile(service: Service, tmp_path: Path) -> dict[str, str]:
    """A profile as its user writes it, and the environment of a process that uses it."""
    address = service.address
    keys = {"Version": 1, "AccessKeyId": address["access_key"], "SecretAccessKey": address["secret_key"]}
    printer = tmp_path / "print credentials.py"
    printer.write_text(f"print({json.dumps(json.dumps(keys))})")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        f"[profile laptop]\nregion = {address['region']}\nendpoint_url = {address['url']}\n"
        f'credential_process = "{sys.executable}" "{printer}"\n'
    )
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_PROFILE": "laptop"}


def run(code: str, *arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=120)


def test_a_profile_with_credential_process_and_endpoint_url_is_enough(service, profile):
    service.deploy("by-profile")
    done = run(CLIENT, "by-profile", environ=profile)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        service.address["account"],
        "[2, 4]",
        ["/aws/sagemaker/Endpoints/by-profile"],
    ]
    service.delete_endpoint("by-profile")


def test_the_profile_that_env_writes_is_enough(service, tmp_path):
    service.deploy("by-written-profile")
    home = {"HOME": str(tmp_path)}
    wrote = subprocess.run(
        service.command("env", "--profile", "this-machine"),
        env={**service.environment, **home},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert wrote.returncode == 0, wrote.stderr
    # What the profile runs to get the keys says itself where the service's state is, if that is not the usual place.
    done = run(
        CLIENT, "by-written-profile", environ={"PATH": os.environ["PATH"], **home, "AWS_PROFILE": "this-machine"}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1] == "[2, 4]"
    assert service.address["secret_key"] not in (tmp_path / ".aws" / "config").read_text()
    service.delete_endpoint("by-written-profile")


def test_the_variables_of_env_are_enough(service, environ):
    service.deploy("by-variables")
    done = run(CLIENT, "by-variables", environ=environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1] == "[2, 4]"
    service.delete_endpoint("by-variables")


def test_a_proxy_for_everything_else_is_not_asked(service, environ):
    service.deploy("by-proxy")
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    done = run(CLIENT, "by-proxy", environ={**environ, **nowhere})
    assert done.returncode == 0, done.stderr
    service.delete_endpoint("by-proxy")


def test_keys_of_somebody_else_are_refused_with_the_code_to_look_for(service, environ):
    wrong = {**environ, "AWS_SECRET_ACCESS_KEY": "x" * 40}
    done = run("import boto3; boto3.client('sagemaker').list_endpoints()", environ=wrong)
    assert "(InvalidSignatureException)" in done.stderr
    wrong = {**environ, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}
    done = run("import boto3; boto3.client('sagemaker').list_endpoints()", environ=wrong)
    assert "(UnrecognizedClientException)" in done.stderr
