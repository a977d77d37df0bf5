"""What Tab offers: options, what each takes, model variables, endpoints; and it starts nothing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from IPython.core.completer import provisionalcompleter

from sm_magics.hosting import Endpoint, machine
from sm_magics.magics.completion import CONTENT_TYPES, INSTANCE_TYPES

MODULE = type("Module", (), {"__module__": "torch.nn.modules.module"})  # what torch's looks like; torch is not loaded


@pytest.fixture
def complete(notebook):
    def offered(text: str) -> list[str]:
        with provisionalcompleter():
            return [text[: found.start] + found.text for found in notebook.shell.Completer.completions(text, len(text))]

    return offered


@pytest.fixture(autouse=True)
def nothing_is_started(monkeypatch):
    def refuse(*_args, **_kwargs):
        pytest.fail("Tab started SageMaker on this machine")

    monkeypatch.setattr(machine, "ensure_running", refuse)
    monkeypatch.setattr(machine, "prepare", refuse)


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ("%sm_deploy --ini", ["--initial-instance-count"]),
        ("%sm_deploy net --ini", ["--initial-instance-count"]),
        ("ep = %sm_deploy net --ini", ["--initial-instance-count"]),
        ("ep=%sm_deploy net --ini", ["--initial-instance-count"]),
        ("    %sm_deploy net --ini", ["--initial-instance-count"]),
        ("x = 1\n%sm_deploy net --ini", ["--initial-instance-count"]),
        ("%sm_deploy net --env A=1 --ini", ["--initial-instance-count"]),
        ("ep = %sm_deploy net --env A=b==c --ini", ["--initial-instance-count"]),
        ("%sm_deploy --instance-type=local --ini", ["--initial-instance-count"]),
        ("%sm_predict --ac", ["--accept"]),
        ("%%sm_predict --ac", ["--accept"]),
        ("%%sm_inference --f", ["--force"]),
        ("%%sm_code --r", ["--run"]),
        ("%sm_status --wa", ["--wait"]),
    ],
)
def test_options_are_offered(complete, typed, options):
    stem = typed[: typed.rindex("--")]
    assert complete(typed) == [stem + option for option in options]


def test_all_options_of_a_magic_are_offered(complete, notebook):
    parser = notebook.shell.magics_manager.magics["line"]["sm_deploy"].parser
    long = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    assert sorted(complete("%sm_deploy --")) == sorted(f"%sm_deploy {flag}" for flag in long)
    assert set(complete("%sm_deploy -")) >= {"%sm_deploy -e", "%sm_deploy -o", "%sm_deploy --wait"}


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("%sm_deploy --instance-type ", sorted(INSTANCE_TYPES)),
        ("%sm_deploy net --instance-type ml.g", [name for name in INSTANCE_TYPES if name.startswith("ml.g")]),
        ("%sm_deploy net --instance-type=ml.g", [name for name in INSTANCE_TYPES if name.startswith("ml.g")]),
        ("%sm_package --save-as ", ["module", "state_dict", "torchscript"]),
        ("%sm_package net --save-as t", ["torchscript"]),
        ("%sm_package net --save-as=t", ["torchscript"]),
        ("%sm_predict --content-type ", sorted(CONTENT_TYPES)),
        ("%sm_predict --accept text", ["text/csv"]),
        ("%sm_endpoints --region us-", ["us-east-1", "us-east-2", "us-west-2"]),
    ],
)
def test_what_an_option_takes_is_offered(complete, typed, values):
    stem = typed[: max(typed.rindex(" "), typed.rindex("=") if "=" in typed else 0) + 1]
    assert complete(typed) == [stem + value for value in values]


def test_model_variables_are_offered_where_a_model_is_meant(complete, notebook):
    class Net(MODULE):
        pass

    notebook.namespace.update(net=Net(), network=MODULE(), number=7, Net=Net, _net=Net(), dataset=[1])
    assert complete("%sm_package ") == ["%sm_package net", "%sm_package network"]
    assert complete("%sm_deploy ne") == ["%sm_deploy net", "%sm_deploy network"]
    assert complete("%sm_deploy --wait ne") == ["%sm_deploy --wait net", "%sm_deploy --wait network"]
    assert complete("%sm_package x --sample num") == ["%sm_package x --sample number"]


def test_a_real_torch_module_is_a_model(complete, notebook):
    pytest.importorskip("torch")
    notebook.succeed("import torch; net = torch.nn.Linear(2, 2); layers = torch.nn.Sequential(net); t = torch.ones(2)")
    assert complete("%sm_package ") == ["%sm_package layers", "%sm_package net"]


def test_endpoint_variables_are_offered_without_a_service(complete, notebook):
    notebook.namespace.update(digits=Endpoint("digits-of-mine"), other=7)
    for line in ("%sm_status ", "%sm_logs ", "%sm_delete ", "%sm_predict -e ", "%sm_predict --endpoint-name="):
        assert complete(line) == [f"{line}digits"]


def test_a_service_that_does_not_answer_is_no_error(complete, notebook, monkeypatch):
    def broken(*_args):
        raise OSError("no such host")

    monkeypatch.setattr("sm_magics.hosting.machine.socket.create_connection", broken)
    notebook.namespace.update(digits=Endpoint("digits"))
    assert complete("%sm_status ") == ["%sm_status digits"]


@pytest.mark.parametrize(
    "typed", ["sm_deploy --ini", "x % sm_deploy --ini", "'%sm_deploy --ini", "%other --ini", "%sm_none --in"]
)
def test_what_is_no_magic_of_ours_is_left_alone(notebook, typed):
    context = context_of(notebook, typed)
    assert notebook.session.completer(context)["completions"] == []


def test_regions_of_ones_own_are_offered_too(complete, notebook):
    notebook.succeed("%config SmMagics.region = 'us-gov-west-1'")
    assert "%sm_endpoints --region us-gov-west-1" in complete("%sm_endpoints --region us-")


def test_an_expression_is_left_to_the_other_matchers(complete, notebook):
    notebook.namespace.update(samples=[1])
    assert "%sm_predict samples" in complete("%sm_predict sam")


def context_of(notebook, text):
    from IPython.core.completer import CompletionContext

    return CompletionContext(
        token=text.rpartition(" ")[2],
        full_text=text,
        cursor_position=len(text),
        cursor_line=0,
        limit=None,
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.text(max_size=20),
    st.sampled_from(["", "%", "%sm_deploy ", "%%sm_predict ", "x = %sm_status ", "%sm_package --"]),
)
def test_tab_never_raises(notebook, typed, command):
    context = context_of(notebook, command + typed)
    found = notebook.session.completer(context)
    assert all(completion.text.startswith(found["matched_fragment"]) for completion in found["completions"])
