"""``code/requirements.txt`` of a model: met, installed beside, ignored, or a reason."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from local_service import DOUBLE, model_archive, wait_until

USING = """
import json
import sm_magics_local_answer
def model_fn(model_dir):
    return sm_magics_local_answer.VALUE
def transform_fn(model, body, content_type, accept):
    return json.dumps(model), accept
"""


@pytest.fixture
def wheels(tmp_path) -> Path:
    """A folder with a package that nobody has."""
    name = "sm_magics_local_answer"
    with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "VALUE = 42\n")
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return tmp_path


def with_requirements(code: str, text: str) -> bytes:
    return model_archive(code, **{"code/requirements.txt": text})


def test_requirements_that_are_met_change_nothing(service):
    service.deploy("met", with_requirements(DOUBLE, "# nothing new\ntorch\npytest>=8\n"))
    assert service.invoke("met") == b"[2, 4]"
    assert "Installing" not in service.log("met")
    service.delete_endpoint("met")


def test_what_is_missing_is_installed_beside_the_interpreter_and_kept(own_service, wheels):
    data = with_requirements(USING, f"--no-index\n--find-links {wheels}\nsm_magics_local_answer==1.0\ntorch\n")
    own_service.start()
    own_service.deploy("installed", data)
    assert own_service.invoke("installed") == b"42"
    assert "Successfully installed sm_magics_local_answer-1.0" in own_service.log("installed").replace(
        "sm-magics-local-answer", "sm_magics_local_answer"
    )
    for wheel in wheels.iterdir():
        wheel.unlink()
    own_service.deploy("installed-again", data)
    assert own_service.invoke("installed-again") == b"42"
    assert "Installing" not in own_service.log("installed-again")


def test_what_cannot_be_installed_fails_the_endpoint_with_the_reason_and_what_to_do(service):
    data = with_requirements(DOUBLE, "--no-index\nno-such-package==1.0\n")
    service.create_endpoint("not-installable", data)
    described = service.settled("not-installable")
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"].startswith(
        "code/requirements.txt of production variant AllTraffic could not be installed: "
    )
    assert "no-such-package" in described["FailureReason"]
    assert "SM_MAGICS_REQUIREMENTS=ignore" in described["FailureReason"]
    assert "no-such-package==1.0" in service.log("not-installable")
    service.delete_endpoint("not-installable")
    service.deploy("ignoring", data, Environment={"SM_MAGICS_REQUIREMENTS": "ignore"})
    assert service.invoke("ignoring") == b"[2, 4]"
    service.delete_endpoint("ignoring")


def test_the_service_removes_an_environment_once_its_endpoint_is_deleted_and_makes_it_again(own_service, wheels):
    data = with_requirements(USING, f"--no-index\n--find-links {wheels}\nsm_magics_local_answer==1.0\n")
    environments = own_service.home / "environments"
    own_service.environ["SM_MAGICS_ENVIRONMENT_KEEP"] = "0"
    own_service.start()
    own_service.deploy("first", data)
    # Each start looks at once: an endpoint that sleeps refers to its environment, too.
    own_service.end()
    own_service.start()
    assert own_service.invoke("first") == b"42"
    assert own_service.log("first").count("Successfully installed") == 1
    own_service.delete_endpoint("first")
    own_service.end()
    own_service.start()
    wait_until(lambda: not list(environments.glob("*/complete")), what="the environment is gone")
    own_service.deploy("second", data)
    assert own_service.invoke("second") == b"42"
    own_service.delete_endpoint("second")
