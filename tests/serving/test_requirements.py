"""What becomes of code/requirements.txt."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from sm_magics.serving.requirements import RequirementsFailed, check, find_unmet

FAILED = 4
USING = """
import json
import sm_magics_test_answer
def model_fn(model_dir): return sm_magics_test_answer
def transform_fn(model, body, content_type, accept): return json.dumps([model.VALUE, model.__file__])
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "requirements.txt") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def unmet(file: Path) -> list[str]:
    return [str(requirement) for requirement in find_unmet(file)]


def make_wheel(directory: Path, version: str) -> None:
    name = "sm_magics_test_answer"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "VALUE = 42\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n",
        "pytest\n",
        "PyTest >= 8, <1000  # a comment\r\n",
        "pytest>=8 --hash=sha256:abc\n",
        "pytest \\\n  >= 8\n",
        "no-such-package; python_version < '3'\n",
        "--index-url https://example.org\n-e ./here\n./file.whl\ngit+https://example.org/x.git\n",
        "-r missing.txt\n-r requirements.txt\n",
        "\ufeffpytest\n",
        "coverage[toml]; extra == 'x'\n",
    ],
)
def test_file_that_is_met_or_that_only_pip_understands_passes(write, text):
    assert unmet(write(text)) == []


def test_what_is_missing_or_of_another_version_is_listed_once(write):
    write("no-such-package>=2\n", "more.txt")
    file = write(
        "-r more.txt\npytest<1\nno-such-package>=2\npytest[no-such-extra]\nother @ https://example.org/o.whl\n"
    )

    missing, old, other = unmet(file)

    assert missing == "no-such-package>=2  (not installed)"
    assert old.startswith("pytest<1  (")
    assert old.endswith(" is installed)")
    assert other.endswith("(not installed)")


def test_error_names_the_command(write):
    file = write("no-such-package\n")
    with pytest.raises(RequirementsFailed) as raised:
        check(file, sys.executable)
    assert f"{sys.executable} -m pip install -r {file}" in str(raised.value)
    assert "--requirements install" in str(raised.value)


def test_another_interpreter_is_asked_itself(write, tmp_path):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o700)
    check(write("pytest\n"), str(other))
    with pytest.raises(RequirementsFailed, match=r"no-such-package  \(not installed\)"):
        check(write("no-such-package\n"), str(other))
    with pytest.raises(RequirementsFailed, match="could not compare"):
        check(write(""), "/bin/false")


def test_server_does_not_start_without_them_unless_told_to(start_server, write_model):
    model = write_model("print('imported')\ndef model_fn(d): return 1")
    (model / "code" / "requirements.txt").write_text("no-such-package==1\n")
    server = start_server(model)

    assert server.wait() == FAILED
    assert "    no-such-package==1  (not installed)" in server.errors
    assert not server.output, "nothing was loaded"
    assert start_server(model, "--requirements", "ignore").wait_until_listening().stop() == 0


def test_installed_ones_are_there_for_the_workers_and_kept(start_server, write_model, tmp_path):
    make_wheel(tmp_path, "1.0")
    model = write_model(USING)
    requirements = f"--no-index\n--find-links {tmp_path}\nsm_magics_test_answer==1.0\ntorch\n"
    (model / "code" / "requirements.txt").write_text(requirements)
    environ = {"SM_MAGICS_HOME": str(tmp_path / "home")}

    server = start_server(model, "--requirements", "install", environ=environ).wait_until_listening()
    answer = server.json("1")
    assert answer.status == 200, answer.body
    assert answer.body.startswith(b'"[42, ') or answer.body.startswith(b"[42, ")
    assert str(tmp_path / "home" / "environments").encode() in answer.body
    assert server.stop() == 0
    assert any("Successfully installed" in line for line in server.output)

    again = start_server(model, "--requirements", "install", environ=environ).wait_until_listening()
    assert again.json("1").body == answer.body
    assert again.stop() == 0
    assert not any("installed" in line for line in again.output)


def test_what_pip_cannot_install_ends_the_server_with_what_pip_said(start_server, write_model, tmp_path):
    model = write_model(USING)
    (model / "code" / "requirements.txt").write_text("--no-index\nno-such-package==1\n")
    server = start_server(model, "--requirements", "install", environ={"SM_MAGICS_HOME": str(tmp_path / "home")})

    assert server.wait() == FAILED
    assert "No matching distribution found for no-such-package==1" in "\n".join(server.errors)
