"""How the container's environment is read."""

from __future__ import annotations

import pytest

from sm_magics.serving.settings import Settings, cores, unknown_variables


@pytest.mark.parametrize(
    ("environ", "workers", "timeout"),
    [
        ({}, None, 120),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "3"}, 3, 120),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "0"}, None, 120),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "7"}, None, 120),
        ({"SAGEMAKER_TS_RESPONSE_TIMEOUT": "7"}, 1, 7),
        ({"SAGEMAKER_TS_MIN_WORKERS": "4", "SAGEMAKER_MODEL_SERVER_WORKERS": "3"}, 4, 60),
        ({"SAGEMAKER_TS_BATCH_SIZE": "1"}, 1, 60),
    ],
)
def test_workers_and_time_out_follow_the_container(environ, workers, timeout, monkeypatch):
    monkeypatch.setattr("pathlib.Path.glob", lambda *_: iter(()))  # no GPUs
    settings = Settings.from_environ(environ)
    assert (settings.workers, settings.response_timeout) == (workers or cores(), timeout)


def test_what_is_no_integer_is_named():
    with pytest.raises(ValueError, match="TS_MAX_REQUEST_SIZE='6 MB' is not an integer"):
        Settings.from_environ({"TS_MAX_REQUEST_SIZE": "6 MB"})


def test_misspelt_variables_are_named():
    assert unknown_variables({"SAGEMAKER_PROGRAM": "", "SAGEMAKER_PROGRAMM": "", "OTHER": ""}) == ["SAGEMAKER_PROGRAMM"]
