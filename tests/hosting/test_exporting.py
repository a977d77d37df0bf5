"""A plan as a script, executed by a Python that knows nothing of the notebook."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import subprocess
import sys
import uuid
from dataclasses import replace

import pytest

from sm_magics import sdk
from sm_magics.display import planned as drawn
from sm_magics.errors import ConfigurationError, EndpointNotFound
from sm_magics.hosting import Origin, connect, endpoints, exporting, prepare, removal
from sm_magics.hosting.plan import ModelData
from sm_magics.hosting.variants import DataCapture, Options, Serverless

MINE = Origin("/home/me/a.ipynb", "/home/me")
SECRET = "not-for-anybody's-eyes"
READS = """
import json, os

def model_fn(model_dir):
    return os.environ["WORD"]

def transform_fn(model, body, content_type, accept):
    return json.dumps(model), "application/json"
"""


def has_sdk(major: int) -> bool:
    try:
        return importlib.metadata.version("sagemaker").startswith(f"{major}.")
    except importlib.metadata.PackageNotFoundError:
        return False


TARGETS = [
    "boto3",
    pytest.param("sdk2", marks=pytest.mark.skipif(not has_sdk(2), reason="needs SDK 2: scripts/matrix.py sdk2")),
    # The core alone has all that the script for SDK 3 uses.
    pytest.param("sdk3", marks=pytest.mark.skipif(sdk.major() != 3, reason="needs SDK 3 or its core")),
]


@pytest.fixture
def settings(as_aws):
    """Settings with a bucket of the test's own, which is not there."""
    return replace(as_aws, bucket=f"sagemaker-{uuid.uuid4().hex[:10]}")


@pytest.fixture
def name(settings):
    name = f"x-{uuid.uuid4().hex[:8]}"
    yield name
    with contextlib.suppress(EndpointNotFound):
        removal.remove(removal.of(endpoints.Endpoint(name, settings.region, settings=settings)))
    left = connect(settings).client("sagemaker").list_models(NameContains=name)["Models"]
    for model in left:  # what an SDK names as it likes
        connect(settings).client("sagemaker").delete_model(ModelName=model["ModelName"])


def execute(path, **environ):
    # No PYTHONPATH and no user's site: only what the script says it needs.
    return subprocess.run(
        [sys.executable, "-I", str(path)],
        env={**os.environ, "SAGEMAKER_SUPPRESS_V2_WARNING": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.timeout(600)  # five times an SDK is imported, which takes its time on a busy machine
@pytest.mark.parametrize("target", TARGETS)
def test_the_script_deploys_what_the_plan_says_once_and_updates_it(name, pack, settings, tmp_path, target):
    options = Options(env={"WORD": SECRET}, create_bucket=True)
    package = pack(code=READS)
    plan = prepare(package, name, settings=settings, origin=MINE, options=options)
    text = exporting.script(plan, target, directory=tmp_path)
    assert SECRET not in text
    assert "sm_magics." not in text.replace("sm_magics/", "")
    path = tmp_path / "deploy.py"
    path.write_text(text)
    done = execute(path)
    assert "KeyError: 'WORD'" in done.stdout + done.stderr  # and nothing stands in for what is not given
    done = execute(path, WORD="spoken")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{name} is in service.\n")
    endpoint = endpoints.get(name, connect(settings))
    assert endpoint.predict(1).value == "spoken"
    first = endpoint.modified
    done = execute(path, WORD="spoken")
    assert done.returncode == 0, done.stderr
    assert endpoint.fetch().modified == first

    # Another package: what is there is updated.
    plan = prepare(pack("two"), name, settings=settings, origin=MINE, update=True)
    path.write_text(exporting.script(plan, target, directory=tmp_path))
    done = execute(path)
    assert done.returncode == 0, done.stderr
    assert endpoint.fetch().predict(1).value == ["two", 1]


@pytest.mark.parametrize("target", [*exporting.TARGETS])
@pytest.mark.parametrize(
    "options",
    [
        Options(env={"A": 'x"; import os #', "B": "''''\"\"\"\\"}),
        Options(serverless=Serverless(1024, 2)),
        Options(data_capture=DataCapture(), volume_size=20, tags={"team": "a b"}),
        Options(model_data_download_timeout=600, container_startup_health_check_timeout=600),
    ],
)
def test_every_script_is_python_and_holds_no_value_of_a_variable(pack, settings, target, options):
    chosen = replace(settings, kms_key="" if options.serverless else "alias/mine", profile="")
    plan = prepare(pack(), "never", settings=chosen, origin=MINE, options=replace(options, create_bucket=True))
    text = exporting.script(plan, target)
    compile(text, "deploy.py", "exec")
    for value in options.env.values():
        assert value not in text
    assert max(len(line) for line in text.splitlines() if "s3://" not in line and '"KEY' not in line) <= 160


@pytest.mark.parametrize("target", [*exporting.TARGETS])
def test_what_a_model_of_an_sdk_carries_is_written_nowhere(settings, target):
    container = {
        "Image": "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:2.6.0-cpu-py312",
        "ModelDataUrl": "s3://mine/model.tar.gz",
        "Environment": {"HF_TOKEN": SECRET, "SAGEMAKER_PROGRAM": "inference.py"},
    }
    plan = prepare(ModelData("mine", container), "never", settings=settings, origin=MINE)
    text = exporting.script(plan, target)
    compile(text, "deploy.py", "exec")
    assert SECRET not in text
    assert 'os.environ["HF_TOKEN"]' in text
    for shown in (repr(plan), repr(plan.requests), repr(ModelData("mine", container)), drawn.plan(plan).text):
        assert SECRET not in shown


def test_an_archive_that_changed_is_not_uploaded_by_the_script(pack, settings, tmp_path):
    package = pack("one")
    plan = prepare(package, "never", settings=settings, origin=MINE, options=Options(create_bucket=True))
    path = package.path.parent / "deploy.py"
    path.write_text(exporting.script(plan))
    package.path.write_bytes(b"another one")
    done = execute(path)
    assert done.returncode == 1
    assert "is not the archive that this script was written for" in done.stderr


def test_there_is_no_script_for_anything_else(pack, settings):
    plan = prepare(pack(), "never", settings=settings, origin=MINE, options=Options(create_bucket=True))
    with pytest.raises(ConfigurationError, match="not for terraform"):
        exporting.script(plan, "terraform")


# -- how a plan looks -----------------------------------------------------------------------------------------------


def test_a_plan_shows_every_request_and_no_value_of_a_variable(pack, settings):
    options = Options(env={"API_KEY": SECRET}, data_capture=DataCapture(), create_bucket=True)
    package = pack("<b>")
    plan = prepare(package, "never", settings=settings, origin=MINE, options=options)
    shown = drawn.plan(plan)
    for text in (shown.text, shown.html):
        assert SECRET not in text
        assert f"API_KEY={drawn.MASK}" in text
        for request in plan.requests:
            assert request.operation in text
        assert package.digest not in text
        assert plan.model_name not in text
    assert SECRET not in repr((plan, plan.requests, options))
    assert "SAGEMAKER_PROGRAM=inference.py" in shown.text
    assert "Nothing has been sent." in shown.text


def test_what_is_there_already_is_marked(name, pack, settings):
    from sm_magics.hosting import deploy

    deploy(pack("one"), name, settings=settings, origin=MINE, create_bucket=True)
    live = drawn.plan(prepare(pack("one"), name, settings=settings, origin=MINE))
    assert live.text.startswith(f"● {name} · live already · {settings.region}")
    options = Options(initial_instance_count=2)
    changed = drawn.plan(prepare(pack("one"), name, settings=settings, origin=MINE, options=options)).text
    lines = {line.split()[1]: line for line in changed.splitlines() if line.strip()[:1] in "✓→"}
    assert "there already" in lines["PutObject"]
    assert "there already" in lines["CreateModel"]
    assert "there already" not in lines["CreateEndpointConfig"]
    assert "UpdateEndpoint" in lines
    assert "Once it is in service, these go:" in changed
