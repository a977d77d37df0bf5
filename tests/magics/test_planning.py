"""%sm_deploy --dry-run and --export, and the options of a deployment, in a real shell."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from sm_magics import errors
from sm_magics.hosting import connect, endpoints

torch = pytest.importorskip("torch")

NET = """
import torch
torch.manual_seed(0)
net = torch.nn.Linear(2, 3).eval()
"""


@pytest.fixture
def live(notebook, machine):
    notebook.succeed(NET)
    return notebook


def test_a_dry_run_shows_the_requests_and_sends_nothing(live):
    plan = live.succeed("%sm_deploy net -e planned-only --dry-run --env API_KEY=hush --tags team=vision -o plan")
    assert live.namespace["plan"] is plan
    for said in ("would be created", "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "API_KEY=••••"):
        assert said in live.text
    assert "hush" not in str(live.shown)
    assert plan.create_model["PrimaryContainer"]["Environment"]["API_KEY"] == "hush"
    assert {"Key": "team", "Value": "vision"} in plan.tags
    assert endpoints.get("planned-only", connect()) is None
    first = live.text
    live.succeed("%sm_deploy net -e planned-only --dry-run --env API_KEY=hush --tags team=vision")
    assert live.text == first


def test_an_export_writes_a_script_and_replaces_only_its_own(live, tmp_path):
    live.succeed("%sm_deploy net -e planned-only --export deploy.py --env API_KEY=hush")
    script = tmp_path / "work" / "deploy.py"
    text = script.read_text()
    compile(text, "deploy.py", "exec")
    assert "hush" not in text
    assert "written · needs boto3" in live.text
    assert "API_KEY" in live.text
    live.succeed("%sm_deploy net -e planned-only --export deploy.py --export-for sdk3")
    assert "sagemaker.core.resources" in script.read_text()
    script.write_text("mine = 1\n")
    error = live.raised("%sm_deploy net -e planned-only --export deploy.py")
    assert isinstance(error, errors.FileConflictError)
    assert script.read_text() == "mine = 1\n"
    error = live.raised("%sm_deploy net -e planned-only --export no/such/folder/deploy.py")
    assert isinstance(error, errors.FileConflictError)
    assert endpoints.get("planned-only", connect()) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--max-concurrency 3", "--serverless-memory"),
        ("--capture-sampling 3", "--data-capture"),
        ("--capture REQUEST", "--data-capture"),
        ("--initial-instance-count 0", "at least 1"),
        ("--tags team", "NAME=VALUE"),
        ("--env =x", "NAME=VALUE"),
        ("--export-for terraform", "terraform"),
        ("--volume-size big", "big"),
    ],
)
def test_a_mistyped_line_is_said_before_anything_is_done(live, options, said):
    error = live.raised(f"%sm_deploy net {options}")
    assert isinstance(error, UsageError)
    assert said in str(error)


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ("--serverless-memory 1000", "1024, 2048", "--serverless-memory 1024"),
        ("--serverless-memory 1024 --max-concurrency 900", "1 to 200", "--max-concurrency 200"),
        ("--serverless-memory 1024 --data-capture", "no --data-capture", "without --data-capture"),
        ("--serverless-memory 1024 --enable-network-isolation", "--enable-network-isolation", "without"),
        ("--serverless-memory 1024 --subnets a --security-group-ids b", "--subnets", "without"),
        ("--serverless-memory 1024 --volume-size 10", "--volume-size", "without"),
        ("--subnets subnet-1", "--subnets is given alone", "--security-group-ids"),
        ("--data-capture nowhere", "no place there", "s3://BUCKET"),
        ("--data-capture --capture-sampling 101", "0 to 100", "--capture-sampling 100"),
        ("--data-capture --capture THOUGHTS", "not THOUGHTS", "REQUEST,RESPONSE"),
        ("--volume-size 513", "1 to 512", "--volume-size 512"),
        ("--model-data-download-timeout 5", "60 to 3600", "60"),
        ("--container-startup-health-check-timeout 9999", "60 to 3600", "3600"),
        ("--tags aws:x=1", "aws:", "--tags team=vision"),
        ("--tags a=%", "no tag", "--tags team=vision"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_in_the_plan(live, options, said, hint):
    error = live.raised(f"%sm_deploy net -e planned-only --dry-run {options}")
    assert isinstance(error, errors.SmMagicsError)
    assert said in error.message
    assert hint in error.hint


def test_a_serverless_endpoint_of_this_machine(live):
    endpoint = live.succeed("%sm_deploy net -e planned-serverless --serverless-memory 1024 --max-concurrency 2")
    try:
        assert live.succeed("%sm_predict [[1.0, 2.0]]")
        client = connect().client("sagemaker")
        config = client.describe_endpoint_config(EndpointConfigName=endpoint.config_name)
        serverless = config["ProductionVariants"][0]["ServerlessConfig"]
        assert serverless == {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
    finally:
        live.succeed("%sm_delete planned-serverless --yes")


def test_a_name_that_is_neither_variable_nor_job_is_said(live):
    error = live.raised("%sm_deploy no-such-job-2026-01-01")
    assert isinstance(error, errors.TrainingJobNotFound)
