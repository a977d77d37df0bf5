"""%sm_check, and the proof as a part of %sm_package and %sm_deploy."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch")

from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

from sm_magics import errors
from sm_magics.magics.checking import own_proof
from sm_magics.packaging import Report
from sm_magics.packaging.proving import warm

SETUP = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        return self.fc(x)
net = Net().eval()
x = torch.rand(2, 4)
"""


@pytest.fixture(scope="module", autouse=True)
def short_home():
    """A state directory whose warm process serves all tests of the module."""
    home = Path(tempfile.mkdtemp(prefix="sm", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SM_MAGICS_HOME", str(home))
        yield home
        warm.close()
    shutil.rmtree(home)


@pytest.fixture
def checking(notebook, short_home, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_HOME", str(short_home))
    notebook.succeed(SETUP)
    return notebook


class Unwatched:
    """A kernel that may not ask for input, as under nbclient."""

    _allow_stdin = False

    def get_parent(self):
        return {}


def fails(checking) -> int:
    """Make the next package one whose model_fn raises; return the number of the cell that says so."""
    return checking.run(
        "%%sm_inference\ndef model_fn(model_dir):\n    raise OSError('no disk today')\n    return 1\n"
    ).execution_count


def test_a_package_is_proven_with_its_own_sample(checking):
    checking.succeed("package = %sm_package net --sample x --no-check")
    report = checking.succeed("report = %sm_check package") or checking.namespace["report"]
    assert isinstance(report, Report)
    assert report.passed
    assert "✓  gives the same answer as the notebook" in checking.text
    assert "net · proof · passed" in checking.text


def test_without_a_name_it_is_the_last_package_and_the_report_is_stored(checking):
    assert type(checking.raised("%sm_check")) is errors.PackagingError
    checking.succeed("%sm_package net")
    report = checking.succeed("%sm_check --sample x[:1] -o kept;")
    assert checking.namespace["kept"] is report or report is None
    assert checking.namespace["kept"].step("call").note.endswith("1 × 3 float")


def test_without_a_sample_the_package_is_only_loaded(checking):
    checking.succeed("%sm_package net")
    checking.succeed("report = %sm_check")
    assert checking.namespace["report"].step("load").status == "passed"
    assert "no sample is known" in checking.text


def test_an_archive_is_proven_by_its_path(checking):
    checking.succeed("%sm_package net")
    checking.succeed("report = %sm_check model.tar.gz --sample x")
    assert checking.namespace["report"].passed


def test_what_is_expected_and_how_far_off_it_may_be(checking):
    checking.succeed("%sm_package net")
    checking.succeed('right = %sm_check --sample x --expect "net(x)"')
    assert checking.namespace["right"].passed
    checking.succeed('wrong = %sm_check --sample x --expect "net(x) * 1.01"')
    assert not checking.namespace["wrong"].passed
    checking.succeed('near = %sm_check --sample x --expect "net(x) * 1.01" --tolerance 0.1')
    assert checking.namespace["near"].passed


def test_content_type_and_accept_are_the_endpoints(checking):
    checking.succeed("%sm_package net")
    checking.succeed("report = %sm_check --sample x --content-type application/x-npy --accept text/csv")
    report = checking.namespace["report"]
    assert report.passed
    assert report.step("call").note == "application/x-npy → text/csv, 2 × 3 float"


@pytest.mark.parametrize("share", ["lots", "-1", "1.5", "nan"])
def test_a_tolerance_that_is_none_is_refused(checking, share):
    assert type(checking.raised(f"%sm_check --tolerance={share}")) is UsageError


def test_what_is_no_package_is_refused(checking):
    error = checking.raised("%sm_check net")
    assert type(error) is errors.ExpressionError
    assert error.hint.startswith("%sm_package net --sample")
    assert type(checking.raised("%sm_check nowhere.tar.gz")) is errors.ArchiveError
    assert type(checking.raised("%sm_check nothing")) is errors.ExpressionError


def test_a_failure_names_the_cell_and_quotes_the_line(checking):
    number = fails(checking)
    checking.succeed("package = %sm_package net --sample x")
    text = checking.text
    assert "proof failed · not loaded" in text
    assert "OSError: no disk today" in text
    assert f"model_fn, section model_fn, cell [{number}], line 2" in text
    assert "▸ 2      raise OSError('no disk today')" in text
    assert checking.namespace["package"].path.is_file()


def test_a_failure_inside_the_model_names_the_cell_of_its_class(checking):
    number = checking.run(
        "class Deep(Net):\n    def forward(self, x):\n        return self.fc(self.fc(x))\nnet = Deep()"
    )
    checking.succeed('%sm_package net --sample x --expect "[1]"')
    assert f"forward, class Deep, cell [{number.execution_count}], line 3" in checking.text
    assert "▸ 3          return self.fc(self.fc(x))" in checking.text


def test_where_nobody_watches_a_failed_proof_stops_the_run(checking):
    number = fails(checking)
    checking.shell.kernel = Unwatched()
    try:
        error = checking.raised("%sm_package net --sample x -o package")
        assert checking.raised("_ = %sm_package net --sample x").report.digest == error.report.digest
        checking.succeed("_ = %sm_package net --sample x --no-check")
        checking.succeed("report = %sm_check package --sample x")  # the verdict is what is asked for
    finally:
        del checking.shell.kernel
    assert type(error) is errors.ProofFailed
    where = f"(model_fn, section model_fn, cell [{number}], line 2)"
    assert error.message == f"net is packaged, but its proof failed: OSError: no disk today {where}"
    assert error.hint.startswith("--no-check")
    assert checking.namespace["package"].digest == error.report.digest
    assert not checking.namespace["report"].passed


def test_packaging_proves_as_its_last_step_where_a_sample_is_known(checking):
    checking.succeed("%sm_package net --sample x")
    assert "proof passed" in checking.text
    checking.succeed("%sm_package net --sample x --no-check")
    assert "proof" not in checking.text
    checking.succeed("%sm_package net")
    assert "proof" not in checking.text


def test_a_package_whose_proof_failed_is_not_deployed(checking, monkeypatch):
    fails(checking)
    checking.succeed("package = %sm_package net --sample x")
    deployed = []
    monkeypatch.setattr("sm_magics.hosting.machine.prepare", lambda: None)
    monkeypatch.setattr("sm_magics.hosting.deploy", lambda *given, **more: deployed.append(given) or pytest.skip())
    proofs = []
    monkeypatch.setattr("sm_magics.packaging.proof.prove", lambda *given, **more: proofs.append(given))
    error = checking.raised("%sm_deploy package -e digits")
    assert type(error) is errors.ProofFailed
    assert error.hint.startswith("--no-check")
    assert error.report.failure.exception == "OSError: no disk today"
    assert "OSError: no disk today" in checking.text
    assert (deployed, proofs) == ([], [])  # known already


def test_what_failed_is_deployed_when_told_to(checking, monkeypatch):
    fails(checking)
    checking.succeed("package = %sm_package net --sample x")
    monkeypatch.setattr("sm_magics.hosting.machine.prepare", lambda: None)

    class ReachedError(Exception):
        pass

    def deploy(*given, **more):
        raise ReachedError

    monkeypatch.setattr("sm_magics.hosting.deploy", deploy)
    assert type(checking.raised("%sm_deploy package -e digits --no-check")) is ReachedError


def test_the_same_package_is_not_proven_twice(checking, monkeypatch):
    checking.succeed("package = %sm_package net --sample x")
    first = checking.session.proofs[-1][0]
    checking.succeed("report = %sm_check package")
    assert checking.namespace["report"] is first
    checking.succeed("other = %sm_check package --accept text/csv")
    assert checking.namespace["other"] is not first


def test_a_sample_is_known_by_what_it_holds(checking):
    checking.succeed("package = %sm_package net --sample x")
    first = checking.session.proofs[-1][0]
    checking.succeed("report = %sm_check package --sample x.clone()")
    assert checking.namespace["report"] is first
    checking.succeed("x.mul_(2)")
    checking.succeed("report = %sm_check package --sample x")
    assert checking.namespace["report"] is not first
    assert checking.namespace["report"].passed


def test_a_proof_with_another_sample_says_nothing_about_the_packages_own(checking):
    checking.succeed("package = %sm_package net --sample x")
    own = checking.session.proofs[-1][0]
    assert checking.succeed("%sm_check package --sample 'x[:1]'").passed
    assert own_proof(checking.session, checking.namespace["package"]) is own


def test_interrupting_ends_the_worker(checking, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    checking.succeed(
        "%%sm_inference\nimport time\ndef predict_fn(data, model):\n"
        "    print('asleep', flush=True)\n    time.sleep(1000)\n"
    )
    checking.succeed("%sm_package net")
    checking.succeed("%sm_check")  # the warm process is there
    me = psutil.Process()
    before = {process.pid for process in me.children(recursive=True)}

    def interrupt():
        # The worker is the one process that is new; it has been asked once it sleeps.
        for _ in range(6000):
            new = [one for one in me.children(recursive=True) if one.pid not in before]
            if new and any("asleep" in log.read_text() for log in scratch.glob("sm_magics-*/log")):
                break
            pause.wait(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    pause = threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    error = checking.raised("%sm_check --sample x")
    thread.join(60)
    assert isinstance(error, KeyboardInterrupt)
    for _ in range(6000):
        alive = [one for one in me.children(recursive=True) if one.pid not in before]
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends between two looks
            if not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in alive):
                break
        pause.wait(0.01)
    else:
        pytest.fail("the worker was left running")


def test_help_and_completion(checking):
    checking.succeed("package = %sm_package net")
    doc = checking.shell.magics_manager.magics["line"]["sm_check"].__doc__
    for option in ("--sample", "--expect", "--content-type", "--accept", "--tolerance", "--like-container", "--out"):
        assert option in doc
    for line, wanted in (
        ("%sm_check p", "package"),
        ("%sm_check --ex", "--expect"),
        ("%sm_check --expect n", "net"),
        ("%sm_check --accept te", "text/csv"),
    ):
        with provisionalcompleter():
            found = {one.text for one in checking.shell.Completer.completions(line, len(line))}
        assert wanted in found, line
