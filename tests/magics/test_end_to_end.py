"""The main job in a real shell, with a real model, on a real SageMaker on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from pathlib import Path

import pytest

from sm_magics import errors
from sm_magics.hosting import connect, deploying, endpoints
from sm_magics.hosting import machine as service

torch = pytest.importorskip("torch")

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, size=2):
        super().__init__()
        self.fc = torch.nn.Linear(size, 3)

    def forward(self, x):
        return self.fc(x)

torch.manual_seed(0)
net = Net().eval()
x = torch.ones(4, 2)
"""


@pytest.fixture
def live(notebook, machine, request):
    """A notebook that has a model; endpoints of the test are named after it and gone when it ends."""
    notebook.succeed(NET)
    notebook.name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "").removeprefix("test-")[:40]
    notebook.name = notebook.name.strip("-")
    yield notebook
    if service.running() is not None:
        for endpoint in endpoints.listed(connect()):
            if endpoint.name.startswith(notebook.name):
                notebook.succeed(f"%sm_delete {endpoint.name}")
        assert left_over(notebook.name) == []


def left_over(stem: str) -> list[str]:
    """Return what of an endpoint is still there: models, configurations, endpoints."""
    client = connect().client("sagemaker")
    found = [row["ModelName"] for row in client.list_models(NameContains=stem)["Models"]]
    found += [row["EndpointConfigName"] for row in client.list_endpoint_configs(NameContains=stem)["EndpointConfigs"]]
    return found + [row["EndpointName"] for row in client.list_endpoints(NameContains=stem)["Endpoints"]]


def rendered(error: BaseException) -> list[str]:
    return error._render_traceback_()


# -- the main job ---------------------------------------------------------------------------------------------------


def test_from_a_model_variable_to_predictions_and_away_again(live, capsys):
    state = {name: value.clone() for name, value in live.namespace["net"].state_dict().items()}
    package = live.succeed("package = %sm_package net --sample x") or live.namespace["package"]
    assert "model.pth" in live.text
    endpoint = live.succeed(f"%sm_deploy package -e {live.name} -o ep")
    assert endpoint is live.namespace["ep"]
    assert endpoint.is_in_service
    assert f"{live.name} · in service · this machine" in live.text

    answer = live.succeed("%sm_predict -o answer x")
    expected = live.namespace["net"](live.namespace["x"])
    torch.testing.assert_close(torch.tensor(answer), expected)
    assert live.namespace["answer"] is answer
    assert "4 × 3 float" in live.text
    assert live.succeed(f"%sm_predict -e {live.name} x[:1].tolist()") == answer[:1]
    assert live.succeed("%sm_predict -e ep x[:1]") == answer[:1]

    assert live.succeed("%sm_status").is_in_service
    assert "AllTraffic" in live.text
    assert [one.name for one in live.succeed("%sm_endpoints") if one.name == live.name] == [live.name]
    assert live.name in live.text
    live.succeed("lines = %sm_logs")
    assert isinstance(live.namespace["lines"], list)

    live.succeed("%sm_delete ep --dry-run")
    assert "would be deleted" in live.text
    assert live.succeed("%sm_status ep").is_in_service
    live.succeed("%sm_delete ep")
    assert "Gone: endpoint, endpoint configuration, model, model data." in live.text
    assert left_over(live.name) == []
    after = live.namespace["net"].state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert package.path.is_file()


def test_the_raw_cell_and_a_file_are_payloads(live, tmp_path):
    live.succeed(f"%sm_deploy net -e {live.name}")
    answer = live.succeed("%sm_predict [[1.0, 1.0]]")
    live.succeed("%%sm_predict -o raw\n[[1.0,\n  1.0]]\n")
    assert live.namespace["raw"] == answer
    (tmp_path / "x.json").write_text("[[1.0, 1.0]]")
    assert live.succeed(f"%sm_predict --file {tmp_path}/x.json") == answer
    npy = live.succeed("%sm_predict --accept application/x-npy --content-type application/x-npy x")
    assert (npy.dtype.name, npy.shape) == ("float64", (4, 3))  # the toolkit makes lists of tensors first


def test_handlers_written_in_cells_are_those_that_answer(live):
    live.succeed("%%sm_inference\nimport json\n\ndef input_fn(body, content_type):\n    return json.loads(body)['n']\n")
    assert "input_fn" in live.text
    live.succeed(
        "%%sm_inference\ndef predict_fn(n, model):\n    print('asked for', n)\n    return {'n': n + 1}\n\n"
        "def output_fn(prediction, accept):\n    import json\n    return json.dumps(prediction)\n"
    )
    live.succeed(f"%sm_deploy net -e {live.name}")
    assert live.succeed('%sm_predict {"n": 41}') == {"n": 42}
    wait_for_log(live, "asked for 41")


def wait_for_log(live, words):
    pause = threading.Event()
    for _ in range(600):
        if any(words in line for line in live.succeed("%sm_logs")):
            return
        pause.wait(0.1)
    pytest.fail(f"never printed: {words}")


def test_a_script_module_and_a_saved_file_deploy_too(live):
    live.succeed(
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n"
        "    scripted = torch.jit.trace(net, x)\n    torch.jit.save(scripted, 'saved.pt')"
    )
    live.succeed(f"%sm_deploy scripted -e {live.name} --model-dir one")
    answer = live.succeed("%sm_predict x")
    torch.testing.assert_close(torch.tensor(answer), live.namespace["net"](live.namespace["x"]))
    live.succeed(f"%sm_deploy saved.pt -e {live.name}-file --model-dir two")
    assert live.succeed("%sm_predict x") == answer


def test_without_a_name_the_endpoint_is_called_after_notebook_and_variable(live, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", f"/home/me/{live.name} draft.ipynb")
    endpoint = live.succeed("%sm_deploy net")
    assert endpoint.name.endswith("draft-net")


# -- deploying again ------------------------------------------------------------------------------------------------


def test_the_same_package_again_changes_nothing(live):
    first = live.succeed(f"%sm_deploy net -e {live.name}")
    again = live.succeed(f"%sm_deploy net -e {live.name}")
    assert (first.outcome, again.outcome) == ("created", "unchanged")
    assert again.config_name == first.config_name
    assert again.modified == first.modified
    assert "Already serving this package." in live.text


def test_a_changed_model_updates_in_place_and_its_former_model_goes(live):
    live.succeed(f"%sm_deploy net -e {live.name}")
    before, answer = left_over(live.name), live.succeed("%sm_predict x")
    live.succeed("torch.nn.init.zeros_(net.fc.weight); torch.nn.init.zeros_(net.fc.bias);")
    endpoint = live.succeed(f"%sm_deploy net -e {live.name}")
    assert endpoint.outcome == "updated"
    assert live.succeed("%sm_predict x") == [[0.0] * 3] * 4 != answer
    after = left_over(live.name)
    assert len(after) == len(before) == 3
    assert set(after) & set(before) == {live.name}


def test_another_notebooks_endpoint_is_not_replaced_unless_told_to(live, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/first.ipynb")
    live.succeed(f"%sm_deploy net -e {live.name}")
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/second.ipynb")
    live.succeed("torch.nn.init.zeros_(net.fc.weight);")
    error = live.raised(f"%sm_deploy net -e {live.name} --model-dir elsewhere")
    assert type(error) is errors.EndpointConflictError
    assert "--update" in error.hint
    live.succeed("other = %sm_deploy net --model-dir elsewhere " + error.hint.partition("#")[0])
    assert live.namespace["other"].outcome == "created"
    updated = live.succeed(f"%sm_deploy net -e {live.name} --model-dir elsewhere --update")
    assert updated.outcome == "updated"


def test_an_update_that_fails_leaves_the_old_one_serving(live):
    live.succeed(f"%sm_deploy net -e {live.name}")
    answer = live.succeed("%sm_predict x")
    live.succeed("%%sm_inference\ndef model_fn(model_dir):\n    raise OSError('no disk today')\n")
    error = live.raised(f"%sm_deploy net -e {live.name}")
    assert type(error) is errors.EndpointFailed
    assert "serves what it served before" in error.message
    assert "no disk today" in error.message
    assert live.succeed(f"%sm_predict -e {live.name} x") == answer
    live.succeed(f"%sm_delete {live.name}")
    assert left_over(live.name) == []


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_model_fn_that_raises_is_shown_with_its_traceback(live):
    live.succeed("%%sm_inference\ndef model_fn(model_dir):\n    weights = {}\n    return weights['fc.weight']\n")
    error = live.raised(f"%sm_deploy net -e {live.name}")
    assert type(error) is errors.EndpointFailed
    assert "KeyError: 'fc.weight' (model_fn, section model_fn, cell [" in error.message
    assert "weights['fc.weight']" in error.message
    assert f"{live.name} · failed · this machine" in live.text
    assert "KeyError: 'fc.weight' (model_fn, section model_fn, cell [" in live.text
    assert f"%sm_logs {live.name}" in live.text
    assert "ping health check" in error.reason
    assert "KeyError" in error.log
    assert rendered(error)[-1].startswith("  hint: %sm_logs")
    assert live.succeed(f"%sm_status {live.name}").status == "Failed"
    assert any("KeyError" in line for line in live.succeed("%sm_logs"))  # it is the latest one
    live.succeed("%%sm_inference --force\ndef input_fn(body, content_type):\n    return 1\n")
    live.succeed(f"%sm_delete {live.name}")
    assert left_over(live.name) == []


def test_a_type_that_was_not_proven_is_what_is_hinted_at(live):
    live.succeed(
        "%%sm_inference\nimport torch\ndef input_fn(b, c):\n    return torch.tensor([[float(v) for v in b.split(',')]])"
    )
    live.succeed(f"%sm_deploy net -e {live.name} --sample x[:1] --content-type text/csv")
    hint = live.raised("%sm_predict x[:1]").hint
    assert hint == "--content-type text/csv    # is what its proof was sent, this was application/json"
    live.succeed("%sm_predict --content-type text/csv x[:1]")
    assert live.raised("%sm_predict --content-type text/csv x[:1].bool()").hint == f"%sm_logs {live.name}"


def test_a_failed_endpoint_is_made_anew_once_its_cell_is_mended(live):
    live.succeed("%%sm_inference load\ndef model_fn(model_dir):\n    raise OSError('broken')\n")
    live.raised(f"%sm_deploy net -e {live.name}")
    live.succeed(
        "%%sm_inference load\ndef model_fn(model_dir):\n    return None\n\n"
        "def transform_fn(model, body, content, accept):\n    return '[7]', accept\n"
    )
    endpoint = live.succeed(f"%sm_deploy net -e {live.name}")
    assert endpoint.is_in_service
    assert live.succeed("%sm_predict 1") == [7]
    live.succeed(f"%sm_delete {live.name}")
    assert left_over(live.name) == []


def test_a_handler_that_raises_on_a_request_is_shown_with_its_traceback(live):
    live.succeed("%%sm_inference\ndef predict_fn(data, model):\n    raise LookupError(len(data))\n")
    live.succeed(f"%sm_deploy net -e {live.name}")
    error = live.raised("%sm_predict x")
    assert type(error) is errors.ModelError
    assert "LookupError: 4 (predict_fn, section predict_fn, cell [" in error.message
    assert "raise LookupError(len(data))" in error.traceback
    assert error.status == 500
    assert rendered(error)[-1] == f"  hint: %sm_logs {live.name}"
    live.succeed("%sm_logs")
    assert "LookupError: 4 (predict_fn, section predict_fn, cell [" in live.text
    assert live.succeed("%sm_status").is_in_service


@pytest.mark.parametrize(
    ("cell", "kind", "said"),
    [
        ("%sm_package nett", errors.ExpressionError, "There is no variable 'nett'"),
        ("%sm_deploy nett", errors.ExpressionError, "There is no variable 'nett'"),
        ("%sm_deploy net --sample y", errors.ExpressionError, "There is no variable 'y'"),
        ("%sm_package number", errors.UnsupportedModelError, "int"),
        ("%sm_deploy number", errors.UnsupportedModelError, "int"),
        ("%sm_package torch", errors.UnsupportedModelError, "module"),
        ("%sm_package Net", errors.UnsupportedModelError, "class"),
        ("%sm_deploy nowhere.pth", errors.ExpressionError, "nowhere.pth"),
        ("%sm_deploy ~nobody-at-all/x.pth", errors.ExpressionError, "nobody"),
        ("%sm_deploy " + "n" * 300, errors.ExpressionError, "nnn"),
        ("%sm_package text.tar.gz", errors.SmMagicsError, "text.tar.gz"),
        ("%sm_deploy text.tar.gz", errors.ArchiveError, "text.tar.gz"),
        ("%sm_deploy net -e bad_name", errors.DeploymentError, "bad_name"),
        ("%sm_deploy net --name bad_name", errors.PackagingError, "bad_name"),
        ("%sm_deploy meta", errors.UnsupportedModelError, "meta"),
        ("%sm_package net --include nothing.txt", errors.PackagingError, "nothing.txt"),
        ("%sm_package net --model-dir text.tar.gz", errors.SmMagicsError, "text.tar.gz"),
        ("%sm_predict -e nowhere x", errors.EndpointNotFound, "nowhere"),
        ("%sm_status nowhere", errors.EndpointNotFound, "nowhere"),
        ("%sm_logs nowhere", errors.EndpointNotFound, "nowhere"),
        ("%sm_delete nowhere", errors.EndpointNotFound, "nowhere"),
        ("%sm_deploy", errors.DeploymentError, "Nothing has been packaged"),
        ("%sm_predict --file nowhere.json", errors.PayloadError, "nowhere.json"),
        ("%%sm_inference\ndef model_fn(:\n", errors.CellSyntaxError, "Line 1"),
    ],
)
def test_bad_input_is_our_own_error_with_a_hint_and_nothing_is_left(live, cell, kind, said, tmp_path):
    live.succeed("number = 7; meta = Net().to('meta')")
    Path("text.tar.gz").write_text("no archive")
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    error = live.raised(cell)
    assert isinstance(error, kind), traceback.format_exception(error)
    assert said in error.message
    assert error.hint
    assert len(rendered(error)) == 2
    assert "Traceback" not in error.message
    for path, content in before.items():
        assert path.read_bytes() == content
    assert not list(tmp_path.rglob("*.tmp*"))
    if service.running() is not None:
        assert left_over("nett") == left_over("bad") == left_over("meta") == left_over("number") == []


def test_a_payload_that_cannot_be_encoded_reaches_nobody(live):
    live.succeed(f"%sm_deploy net -e {live.name}")
    error = live.raised("%sm_predict object()")
    assert type(error) is errors.PayloadError
    assert error.hint
    error = live.raised("%sm_predict --content-type image/png x")
    assert type(error) is errors.PayloadError
    assert len(rendered(error)) == 2


def test_an_endpoint_deleted_by_somebody_else_is_not_there(live):
    live.succeed(f"%sm_deploy net -e {live.name} -o ep")
    client = connect().client("sagemaker")
    client.delete_endpoint(EndpointName=live.name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=live.name, WaiterConfig={"Delay": 1})
    for cell in ("%sm_predict x", "%sm_status", "%sm_predict -e ep x", "%sm_status ep"):
        assert type(live.raised(cell)) is errors.EndpointNotFound
    live.succeed(f"%sm_delete {live.name}")
    assert left_over(live.name) == []


def test_a_name_that_still_exists_in_aws_terms_is_refused_in_our_words(live):
    live.succeed(f"%sm_deploy net -e {live.name}")
    client = connect().client("sagemaker")
    client.delete_tags(
        ResourceArn=client.describe_endpoint(EndpointName=live.name)["EndpointArn"], TagKeys=["sm-magics:created-by"]
    )
    error = live.raised(f"%sm_deploy net -e {live.name} --env A=1")
    assert type(error) is errors.EndpointConflictError
    assert "does not come from this notebook" in error.message


def test_an_unwritable_directory_is_our_own_error(live, tmp_path):
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    error = live.raised(f"%sm_package net --model-dir {folder}")
    assert isinstance(error, errors.SmMagicsError)
    assert error.hint


# -- interrupted, killed --------------------------------------------------------------------------------------------


@pytest.fixture
def slow(live, tmp_path):
    """A model that loads only once the file is there."""
    flag = tmp_path / "go"
    live.succeed(
        "%%sm_inference\nimport os, time\n\ndef model_fn(model_dir):\n"
        f"    while not os.path.exists({str(flag)!r}):\n        time.sleep(0.01)\n"
        "    return None\n\ndef transform_fn(model, body, content, accept):\n    return '[7]', accept\n"
    )
    yield flag
    flag.touch()


@contextlib.contextmanager
def ctrl_c_once(condition):
    """Press Ctrl-C as soon as the condition holds; stop looking when the block ends, however it ends."""
    over = threading.Event()

    def watch():
        while not over.is_set():
            if condition():
                os.kill(os.getpid(), signal.SIGINT)
                return
            over.wait(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def status_of(name):
    rows = connect().client("sagemaker").list_endpoints(NameContains=name)["Endpoints"]
    return rows[0]["EndpointStatus"] if rows else ""


def test_ctrl_c_while_waiting_is_said_and_the_endpoint_can_be_cleaned_up(live, slow):
    with ctrl_c_once(lambda: status_of(live.name) == "Creating"):
        error = live.raised(f"%sm_deploy net -e {live.name}")
    assert type(error) is errors.DeploymentInterrupted
    assert isinstance(error, KeyboardInterrupt)
    assert live.name in error.message
    assert f"%sm_delete {live.name}" in error.hint
    assert live.succeed(f"%sm_status {live.name}").status == "Creating"
    assert "being created" in live.text
    slow.touch()
    assert live.succeed(f"%sm_predict -e {live.name} 1") == [7]
    live.succeed(f"%sm_delete {live.name}")
    assert left_over(live.name) == []


def test_an_endpoint_that_is_being_created_is_deleted_once_that_has_ended(live, slow):
    live.succeed(f"%sm_deploy net -e {live.name} --no-wait")
    threading.Timer(0.3, slow.touch).start()
    live.succeed(f"%sm_delete {live.name}")
    assert left_over(live.name) == []


def test_ctrl_c_before_the_endpoint_leaves_what_the_hint_cleans_up(live, monkeypatch):
    made = []

    def interrupted(request, planned, connection):
        if request.operation == "CreateEndpoint":
            raise KeyboardInterrupt
        made.append(request.operation)
        return call(request, planned, connection)

    call = deploying._call
    with monkeypatch.context() as patched:
        patched.setattr(deploying, "_call", interrupted)
        error = live.raised(f"%sm_deploy net -e {live.name}")
    assert type(error) is errors.DeploymentInterrupted
    assert made == ["CreateModel", "CreateEndpointConfig"]
    assert len(left_over(live.name)) == 2
    hinted = error.hint.partition("#")[0].strip()
    assert hinted == f"%sm_delete {live.name}"
    live.succeed(f"{hinted} --dry-run")
    assert "endpoint  " not in live.text
    live.succeed(hinted)
    assert "Gone: endpoint configuration, model, model data." in live.text
    assert left_over(live.name) == []
    assert type(live.raised(hinted)) is errors.EndpointNotFound


# urllib3 leaves the socket of a request that Ctrl-C ended to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_while_a_prediction_runs_is_ctrl_c(live):
    live.succeed(
        "%%sm_inference\nimport time\n\ndef model_fn(model_dir):\n    return None\n\n"
        "def transform_fn(model, body, content, accept):\n    print('begun', flush=True)\n"
        "    time.sleep(float(body))\n    return '[7]', accept\n"
    )
    live.succeed(f"%sm_deploy net -e {live.name} -o ep")
    ep = live.namespace["ep"]
    with ctrl_c_once(lambda: any("begun" in line for line in ep.logs())):
        assert isinstance(live.raised("%sm_predict 5"), KeyboardInterrupt)
    assert live.succeed("%sm_predict 0") == [7]


@pytest.mark.timeout(600)  # three times a service starts and torch is imported: two minutes where many others run
def test_the_service_killed_between_two_cells_is_started_again_by_the_next(live, machine):
    live.succeed(f"%sm_deploy net -e {live.name} -o ep")
    answer = live.succeed("%sm_predict x")
    killed = machine.kill()
    assert live.succeed("%sm_status --wait").is_in_service
    assert service.running().pid != killed
    assert live.succeed("%sm_predict x") == answer
    machine.kill()
    assert live.succeed("%sm_predict x") == answer
    machine.kill()
    live.succeed("%sm_delete ep")
    assert left_over(live.name) == []


def test_what_is_deployed_with_a_sample_is_verified(live):
    endpoint = live.succeed(f"%sm_deploy net -e {live.name} --sample x")
    said = "Verified: it answers the recorded sample as the notebook does."
    assert endpoint.verified is True
    assert said in live.text
    live.succeed("%sm_status")
    assert said in live.text
    changed = live.succeed(f"%sm_deploy net -e {live.name} --sample x --no-check --env WORD=other")
    assert (changed.outcome, changed.verified) == ("updated", True)


def test_no_wait_returns_at_once_and_the_next_prediction_waits(live):
    endpoint = live.succeed(f"%sm_deploy net -e {live.name} --no-wait")
    assert endpoint.outcome == "created"
    assert len(live.succeed("%sm_predict x")) == 4


def test_a_prediction_that_waits_for_an_endpoint_that_fails_shows_its_card(live):
    live.succeed("%%sm_inference\ndef model_fn(model_dir):\n    raise OSError('no weights')\n")
    live.succeed(f"%sm_deploy net -e {live.name} --no-wait")
    error = live.raised("%sm_predict x")
    assert type(error) is errors.EndpointFailed
    assert "OSError: no weights (model_fn, section model_fn, cell [" in error.message
    assert f"{live.name} · failed · this machine" in live.text


# -- what newcomers tried -------------------------------------------------------------------------------------------


def test_a_failed_update_that_nobody_waited_for_does_not_look_like_success(live):
    live.succeed(f"%sm_deploy net -e {live.name}")
    live.succeed("%%sm_inference\ndef model_fn(model_dir):\n    raise OSError('no weights')\n")
    live.succeed(f"%sm_deploy net -e {live.name} --no-wait")
    error = live.raised("%sm_status --wait")
    assert type(error) is errors.EndpointFailed
    assert "it serves what it served before" in error.message
    assert "OSError: no weights (model_fn, section model_fn, cell [" in error.message
    assert "The last update failed; it serves what it served before." in live.text
    live.succeed(f"%sm_status {live.name}")
    assert "The last update failed" in live.text
    assert "OSError: no weights" in live.text
    live.succeed(f"%sm_predict -e {live.name} x")


def test_the_status_of_a_failed_endpoint_says_why(live):
    live.succeed("%%sm_inference\ndef model_fn(model_dir):\n    raise OSError('no weights')\n")
    live.raised(f"%sm_deploy net -e {live.name}")
    live.succeed(f"%sm_status {live.name}")
    assert "OSError: no weights (model_fn, section model_fn, cell [" in live.text


def test_two_endpoints_with_the_same_model_data_leave_none_of_it_when_both_go(live):
    one, two = f"{live.name[:30]}-1", f"{live.name[:30]}-2"
    live.succeed(f"%sm_deploy net -e {one}")
    live.succeed(f"%sm_deploy net -e {two}")
    s3, bucket = connect().client("s3"), connect().bucket
    before = s3.list_objects_v2(Bucket=bucket)["KeyCount"]
    live.succeed(f"%sm_delete {one} {two} {one}")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == before - 1
    assert left_over(live.name[:30]) == []


def test_a_new_session_finds_the_endpoint_that_the_notebook_made(live):
    live.succeed(f"%sm_deploy net -e {live.name}")
    live.succeed("%reload_ext sm_magics")
    assert live.succeed("%sm_status").name == live.name
    live.succeed("%sm_delete")
    assert left_over(live.name) == []


def test_expressions_see_local_variables_and_options_expand_the_notebooks(live):
    live.succeed(f"%sm_deploy net -e {live.name} -o ep")
    live.succeed("def call(rows):\n    answer = %sm_predict -e {ep} x[:rows]\n    return answer\n")
    assert len(live.succeed("call(3)")) == 3
    live.succeed("models = {'best': net}")
    live.succeed("%sm_package models['best'] --name best")
    assert live.namespace["models"]["best"] is live.namespace["net"]


def test_an_interrupted_magic_says_so_in_one_line(live, monkeypatch):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("sm_magics.packaging.package", interrupted)
    error = live.raised("%sm_package net")
    assert isinstance(error, errors.Interrupted)
    assert isinstance(error, KeyboardInterrupt)
    assert rendered(error)[0].startswith("Interrupted: %sm_package was interrupted.")
