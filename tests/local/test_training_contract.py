"""The parts of a training job that need no service: its environment, its folders, its errors, its metrics."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm_magics.local.training import metrics
from sm_magics.local.training.contract import Program, UnavailableError
from sm_magics.local.training.failure import ErrorText, reason, script_failure
from sm_magics.local.training.layout import Layout
from sm_magics.local.training.metrics import Metrics

REQUEST = {
    "ResourceConfig": {"InstanceType": "ml.m5.large"},
    "HyperParameters": {"out": '"/opt/ml/model/x"'},
    "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {}}, "ContentType": "text/csv"}],
}


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path / "job")
    made.make()
    yield made
    made.remove()
    assert not (tmp_path / "job").exists()


def test_values_are_what_their_json_says_and_else_themselves():
    program = Program.of(
        {
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": '"s3://bucket/source.tar.gz"',
            "sagemaker_job_name": '"job"',
            "sagemaker_estimator_module": '"sagemaker.pytorch.estimator"',
            "epochs": "3",
            "plain": "not json",
            "empty": "null",
        },
        {},
    )
    assert (program.entry_point, program.source) == ("train.py", "s3://bucket/source.tar.gz")
    assert program.hyperparameters == {"epochs": 3, "plain": "not json", "empty": None}
    assert program.arguments == ("--empty", "", "--epochs", "3", "--plain", "not json")
    assert program.framework == {"sagemaker_estimator_module": "sagemaker.pytorch.estimator"}
    assert Program.of({}, {"SAGEMAKER_PROGRAM": "a.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://b/c"}).source == "s3://b/c"


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_hyperparameters_become_arguments_and_variables(tmp_path_factory, hyperparameters):
    layout = Layout(tmp_path_factory.mktemp("job") / "own")
    layout.make()
    layout.write_configuration({**REQUEST, "HyperParameters": hyperparameters})
    program = Program.of(hyperparameters, {})
    assert all(isinstance(argument, str) for argument in program.arguments)
    assert all(isinstance(value, str) for value in program.environ(layout, "job").values())
    layout.remove()


def test_the_command_follows_the_kind_of_entry_point(tmp_path):
    def command(name, **framework):
        return Program(name, "", ("--a", "1"), {}, framework).command("python", tmp_path)

    assert command("train.py") == ["python", "train.py", "--a", "1"]
    assert command("run.sh")[:2] == ["/bin/sh", "-c"]
    assert command("binary")[:2] == ["/bin/sh", "-c"]
    distributed = command("train.py", sagemaker_torch_distributed_enabled=True)
    assert distributed[:5] == ["python", "-m", "torch.distributed.run", "--nnodes", "1"]
    assert distributed[-3:] == ["train.py", "--a", "1"]
    with pytest.raises(UnavailableError, match="sagemaker_mpi_enabled"):
        command("train.py", sagemaker_mpi_enabled=True)
    (tmp_path / "setup.py").touch()
    assert command("train.py") == ["python", "-m", "train", "--a", "1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/ml/model", "{root}/model"),
        ("--out=/opt/ml/model/x --in /opt/ml", "--out={root}/model/x --in {root}"),
        ("'/opt/ml'", "'{root}'"),
        ("/opt/mlflow and /srv/opt/ml/model and a/opt/ml", "/opt/mlflow and /srv/opt/ml/model and a/opt/ml"),
    ],
)
def test_opt_ml_is_replaced_where_it_stands_alone(layout, text, expected):
    assert layout.local(text) == expected.format(root=layout.root)


def test_paths_outside_of_opt_ml_are_none(layout):
    assert layout.path("/opt/ml/checkpoints") == layout.checkpoints
    assert layout.path("/opt/ml/../x") is None
    assert layout.path("/tmp/x") is None
    assert layout.path("relative") is None


def test_the_root_needs_no_quotes_whatever_the_directory_is_called(tmp_path):
    layout = Layout(tmp_path / "a directory; with 'quotes'" / "job")
    layout.make()
    try:
        assert subprocess.run(f"cd {layout.root} && pwd -P", shell=True, check=True, capture_output=True, text=True)
        assert not set(str(layout.root)) & set(" ;'")
        assert layout.model.is_dir()
        assert os.path.realpath(layout.model).startswith(os.path.realpath(tmp_path))
    finally:
        layout.remove()
    assert not os.path.lexists(layout.root)
    assert not any(
        tmp_path.iterdir() for tmp_path in [tmp_path / "a directory; with 'quotes'"] if any(tmp_path.iterdir())
    )


def test_the_files_of_the_configuration_are_those_of_the_container(layout):
    layout.write_configuration(REQUEST)
    assert layout.configuration("hyperparameters") == {"out": f'"{layout.model}/x"'}
    assert layout.configuration("inputdataconfig") == {
        "train": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "text/csv",
        }
    }
    resources = layout.configuration("resourceconfig")
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1"])


def test_an_error_message_begins_where_the_first_error_is_named():
    message = ErrorText()
    for line in ("epoch 1", "Traceback (most recent call last):", '  File "train.py", line 2, in <module>',
                 '    raise ValueError("bad")', "ValueError: bad", "ValueError: bad"):  # fmt: skip
        message.feed(line)
    assert str(message) == 'raise ValueError("bad")\n ValueError: bad'
    described = script_failure("ExecuteUserScriptError", 1, message, ["python", "train.py", "--name", "a b"])
    assert described == (
        'ExecuteUserScriptError:\nExitCode 1\nErrorMessage "raise ValueError("bad")\n ValueError: bad"\n'
        "Command \"python train.py --name 'a b'\""
    )


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=3000), st.integers(-64, 255))
def test_a_reason_fits_its_member(tmp_path_factory, text, status):
    failure = tmp_path_factory.mktemp("output") / "failure"
    failure.write_text(text, encoding="utf-8", errors="replace")
    found = reason(failure, status)
    assert len(found) <= 1024
    assert found.startswith("AlgorithmError: ")
    assert found.endswith(f", exit code: {status if status >= 0 else 128 - status}")
    assert reason(Path("/no/such/file"), 1) == "AlgorithmError: , exit code: 1"


def test_the_last_value_of_each_metric_counts():
    published = []

    async def watch():
        found = Metrics(
            [
                {"Name": "loss", "Regex": r"loss=(\S+)"},
                {"Name": "none", "Regex": "x=(.*)"},
                {"Name": "bare", "Regex": "l"},
            ],
            lambda *metric: published.append(metric),
        )
        await found.start()
        for line in ("loss=0.5 loss=0.25", "loss=nan", "loss=what", "x=", "\u2028 loss=-1e-3"):
            found.feed(line)
        return await found.finish()

    [loss] = asyncio.run(watch())
    assert (loss["MetricName"], loss["Value"]) == ("loss", -1e-3)
    assert [(name, value) for name, value, _ in published] == [("loss", 0.5), ("loss", 0.25), ("loss", -1e-3)]


def test_an_expression_that_never_ends_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(metrics, "_PATIENCE", 0.5)
    monkeypatch.setattr(metrics, "_MOST_WAITING", 1 << 20)

    async def watch():
        found = Metrics([{"Name": "slow", "Regex": "(a+)+$"}], lambda *_: None)
        await found.start()
        for _ in range(2000):
            found.feed("a" * 5000 + "b")
            await asyncio.sleep(0)
        return await found.finish()

    assert asyncio.run(asyncio.wait_for(watch(), 60)) == []


def supervised(tmp_path, *command):
    order = {"command": command, "environ": dict(os.environ), "cwd": str(tmp_path), "whole_group": False}
    line = [sys.executable, "-m", "sm_magics.local.training.supervisor"]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return process


def test_a_supervisor_ends_as_its_command_does(tmp_path):
    for status in (0, 3, 255):
        with supervised(tmp_path, "/bin/sh", "-c", f"echo said; exit {status}") as process:
            assert process.wait(60) == status
            assert process.stdout.read() == "said\n"
    with supervised(tmp_path, "/bin/sh", "-c", "kill -SEGV $$") as process:
        assert process.wait(60) == -11
    with supervised(tmp_path, str(tmp_path / "nothing")) as process:
        assert process.wait(60) == 127
        assert "cannot be started: No such file" in process.stdout.read()
