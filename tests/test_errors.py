"""What every error promises: a place in the tree, a sentence, a hint, two lines in a notebook."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_magics import errors
from sm_magics.errors import DeploymentInterrupted, EndpointFailed, ModelError, SmMagicsError

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, SmMagicsError)]
TREE = inspect.getdoc(errors).partition("::")[2].partition("All are ordinary")[0]


def drawn() -> dict[str, str]:
    """Return class -> parent as the module's docstring draws them."""
    parents, path = {}, []
    for line in TREE.splitlines():
        match = re.match(r"    ([│ ├└─]*)(\w+)", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else ""
    return parents


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    actual = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}
    actual["SmMagicsError"] = ""
    assert drawn() == actual


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_renders_as_its_sentence_and_its_hint(kind):
    error = kind("It went wrong.", hint="%sm_logs digits")
    assert error._render_traceback_() == [f"{kind.__name__}: It went wrong.", "  hint: %sm_logs digits"]
    assert kind("It went wrong.")._render_traceback_() == [f"{kind.__name__}: It went wrong."]


@given(st.text(), st.text())
def test_the_text_of_an_error_holds_its_sentence_and_its_hint(message, hint):
    error = SmMagicsError(message, hint=hint)
    assert str(error).startswith(message)
    assert str(error).endswith(hint)
    assert (error.message, error.hint) == (message, hint)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_a_pickle(kind):
    error = kind("It went wrong.", hint="%sm_logs digits")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is kind
    assert (copied.message, copied.hint, str(copied)) == (error.message, error.hint, str(error))


def test_an_interrupted_deployment_is_a_keyboard_interrupt_too():
    with pytest.raises(KeyboardInterrupt):
        raise DeploymentInterrupted("Interrupted.")


def test_what_went_wrong_is_kept_for_programs():
    failed = EndpointFailed("It failed.", reason="The container died.", log="Traceback …")
    assert (failed.reason, failed.log) == ("The container died.", "Traceback …")
    raised = ModelError("It raised.", traceback="Traceback …", status=500)
    assert (raised.traceback, raised.status) == ("Traceback …", 500)
