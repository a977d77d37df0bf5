"""An endpoint that fails while a cell waits for it: its card, and an error that does not say the same twice."""

from __future__ import annotations

import pytest

from sm_magics import errors
from sm_magics.display import cards
from sm_magics.hosting import Endpoint, diagnosis

TRACEBACK = """\
Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 3, in model_fn
    raise OSError("no weights")
OSError: no weights"""


class Failing(Endpoint):
    """An endpoint that comes up, and fails at that."""

    def known_log(self):
        return TRACEBACK.splitlines()

    def tags(self):
        return {}

    def wait(self, timeout=None, listener=None):
        self.status = "Failed"
        raise self.failure()

    def predict(self, value, **options):
        self.wait()


class Kernel:
    _allow_stdin = True

    def get_parent(self):
        return {}


@pytest.fixture
def failing(notebook, monkeypatch):
    monkeypatch.setattr(cards.EndpointCard, "follow", lambda *_: None)
    notebook.namespace["ep"] = Failing("digits", status="Creating")
    return notebook


@pytest.mark.parametrize("line", ["%sm_status ep --wait", "%sm_predict -e ep [1]"])
def test_where_nobody_watches_the_error_has_the_traceback_for_the_log_that_it_ends_up_in(failing, line):
    error = failing.raised(line)
    assert type(error) is errors.EndpointFailed
    assert error.diagnosis == diagnosis.explain("", TRACEBACK.splitlines())
    assert "OSError: no weights (model_fn, code/inference.py line 3)\n\nTraceback" in str(error)
    assert failing.text.startswith("● digits · failed · this machine")


@pytest.mark.parametrize("line", ["%sm_status ep --wait", "%sm_predict -e ep [1]"])
def test_where_somebody_watches_the_card_has_the_traceback_and_the_error_has_not(failing, line):
    failing.shell.kernel = Kernel()
    try:
        error = failing.raised(line)
    finally:
        del failing.shell.kernel
    said = "EndpointFailed: digits failed on this machine: OSError: no weights (model_fn, code/inference.py line 3)"
    assert error._render_traceback_()[0] == said
    assert "Traceback" in failing.shown[0]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in failing.shown[1]
