"""What went wrong in a container, read out of what it printed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sm_magics.hosting import diagnosis

SIMPLE = """\
Traceback (most recent call last):
  File "/opt/conda/lib/python3.12/site-packages/sagemaker_inference/transformer.py", line 110, in transform
    self.validate_and_initialize(model_dir=model_dir)
  File "/opt/ml/model/code/inference.py", line 12, in model_fn
    model.load_state_dict(state["model"])
          ~~~~~^^^^^^^^^
KeyError: 'model'
"""

STATE_DICT = """\
Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 9, in model_fn
    net.load_state_dict(torch.load(path))
  File "/opt/conda/lib/python3.12/site-packages/torch/nn/modules/module.py", line 2584, in load_state_dict
    raise RuntimeError(
RuntimeError: Error(s) in loading state_dict for Net:
\tMissing key(s) in state_dict: "fc.weight", "fc.bias".
\tsize mismatch for conv.weight: copying a param with shape torch.Size([8, 1, 3, 3]) from checkpoint.
"""

CHAINED = """\
Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 20, in input_fn
    return json.loads(body)
  File "/opt/conda/lib/python3.12/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)

{connector}

Traceback (most recent call last):
  File "/opt/conda/lib/python3.12/site-packages/sagemaker_inference/transformer.py", line 150, in transform
    result = self._run_handler_function(self._transform_fn)
  File "/opt/ml/model/code/inference.py", line 22, in input_fn
    raise ValueError("not an image") from error
ValueError: not an image
"""
CONNECTORS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)

TIMESTAMP = "2026-05-06T11:22:33,456 [INFO ] W-9000-model_1.0-stdout com.amazonaws.ml.mms.wlm.WorkerLifeCycle - "

SYNTAX = """\
Traceback (most recent call last):
  File "/usr/lib/python3.12/importlib/__init__.py", line 90, in import_module
    return _bootstrap._gcd_import(name[level:], package, level)
  File "/opt/ml/model/code/inference.py", line 3
    def model_fn(model_dir:
                ^
SyntaxError: '(' was never closed
"""


def logged(traceback: str, prefix: str = "") -> str:
    """Return a log in which a traceback stands between other lines."""
    lines = ["Starting the model server.", "", *traceback.splitlines(), "Worker died.", "ping answered 500"]
    return "\n".join(prefix + line for line in lines)


@pytest.mark.parametrize("prefix", ["", TIMESTAMP, "  "])
def test_the_exception_and_the_users_own_line_are_found_in_a_log(prefix):
    found = diagnosis.read(logged(SIMPLE, prefix))
    assert found.exception == "KeyError: 'model'"
    assert found.where == "model_fn, code/inference.py line 12"
    assert found.summary == "KeyError: 'model' (model_fn, code/inference.py line 12)"
    assert found.traceback.splitlines()[0] == "Traceback (most recent call last):"
    assert found.traceback.splitlines()[-1] == "KeyError: 'model'"
    assert "sagemaker_inference" not in found.traceback


@pytest.mark.parametrize("prefix", ["", TIMESTAMP])
def test_a_message_of_several_lines_is_kept_whole(prefix):
    found = diagnosis.read(logged(STATE_DICT, prefix))
    assert found.exception == "RuntimeError: Error(s) in loading state_dict for Net:"
    assert "Missing key(s)" in found.traceback
    assert "size mismatch" in found.traceback
    assert "Worker died" not in found.traceback
    assert (found.function, found.path, found.line) == ("model_fn", "code/inference.py", 9)


@pytest.mark.parametrize("prefix", ["", TIMESTAMP])
@pytest.mark.parametrize("connector", CONNECTORS)
def test_of_chained_exceptions_the_last_is_what_was_raised_and_all_are_shown(prefix, connector):
    found = diagnosis.read(logged(CHAINED.format(connector=connector), prefix))
    assert found.exception == "ValueError: not an image"
    assert found.line == 22
    assert "JSONDecodeError" in found.traceback
    assert connector in found.traceback


def test_the_last_of_several_tracebacks_counts():
    found = diagnosis.read(logged(SIMPLE) + "\n" + logged(STATE_DICT))
    assert found.exception.startswith("RuntimeError")
    assert "KeyError" not in found.traceback
    assert diagnosis.read(logged(STATE_DICT) + "\n" + logged(SIMPLE)).exception == "KeyError: 'model'"


def test_an_exception_without_a_frame_of_the_users_is_shown_from_its_start():
    text = SIMPLE.replace("/opt/ml/model/code/inference.py", "/opt/conda/lib/python3.12/runpy.py")
    found = diagnosis.read(text)
    assert found.where == ""
    assert found.summary == "KeyError: 'model'"
    assert "sagemaker_inference" in found.traceback


def test_a_module_of_the_users_below_code_is_named():
    found = diagnosis.read(SIMPLE.replace("code/inference.py", "code/parts/net.py"))
    assert found.path == "code/parts/net.py"


def test_site_packages_of_a_project_below_a_folder_called_code_are_not_the_users():
    venv = "/home/me/code/project/.venv/lib/python3.12/site-packages/torch/serialization.py"
    found = diagnosis.read(
        SIMPLE.replace("/opt/conda/lib/python3.12/site-packages/sagemaker_inference/transformer.py", venv)
    )
    assert found.where == "model_fn, code/inference.py line 12"
    assert venv not in found.traceback


def test_a_handler_that_does_not_parse_is_found_with_its_line():
    found = diagnosis.read(logged(SYNTAX))
    assert found.exception == "SyntaxError: '(' was never closed"
    assert (found.path, found.line) == ("code/inference.py", 3)
    assert found.where == "code/inference.py line 3"
    assert "def model_fn(model_dir:" in found.traceback


@pytest.mark.parametrize("text", ["", "\n", "Worker died.", "KeyError: 'x'", "traceback (most recent call last):"])
def test_where_there_is_no_traceback_there_is_no_diagnosis(text):
    assert diagnosis.read(text) is None
    assert diagnosis.read(text.splitlines()) is None


def test_a_traceback_that_is_cut_off_is_shown_as_far_as_it_goes():
    lines = SIMPLE.splitlines()
    for end in range(1, len(lines)):
        found = diagnosis.read("\n".join(lines[:end]))
        assert found is not None
        assert found.exception


def test_an_exception_without_a_message_is_named():
    assert diagnosis.read(SIMPLE.replace("KeyError: 'model'", "AssertionError")).exception == "AssertionError"


RAISING = {
    "raise KeyError('fc.weight')": "KeyError: 'fc.weight'",
    "raise RuntimeError('a\\n\\tb\\n\\tc')": "RuntimeError: a",
    "raise RuntimeError('')": "RuntimeError",
    "import nonexistent": "ModuleNotFoundError: No module named 'nonexistent'",
    "[1][7]": "IndexError: list index out of range",
    "def f(): f()\n    f()": "RecursionError: maximum recursion depth exceeded",
    "try: 1/0\n    except ZeroDivisionError as e: raise ValueError('x') from e": "ValueError: x",
    "try: 1/0\n    except ZeroDivisionError: {}['a']": "KeyError: 'a'",
    "class Odd(Exception): pass\n    raise Odd('x')": "inference.model_fn.<locals>.Odd: x",
    "e = ValueError('x'); e.add_note('  a note'); raise e": "ValueError: x",
}


@pytest.mark.parametrize("body", RAISING)
@pytest.mark.parametrize("prefix", ["", TIMESTAMP])
def test_what_this_python_prints_is_understood(tmp_path, body, prefix):
    if "add_note" in body and sys.version_info < (3, 11):
        pytest.skip("notes came with Python 3.11")
    code = tmp_path / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(f"def model_fn(directory):\n    {body}\n")
    caller = f"import sys; sys.path.insert(0, {str(code)!r}); import inference; inference.model_fn('.')"
    printed = subprocess.run([sys.executable, "-c", caller], capture_output=True, text=True, check=False).stderr
    found = diagnosis.read(logged(printed, prefix))
    assert found.exception == RAISING[body]
    assert found.path == "code/inference.py"
    assert "Worker died" not in found.traceback


FRAGMENTS = st.sampled_from(
    [
        "Traceback (most recent call last):",
        *CONNECTORS,
        '  File "/opt/ml/model/code/inference.py", line 1, in model_fn',
        '  File "x", line 99999999999999999999, in',
        "    x = 1",
        "ValueError: x",
        "",
        "\t",
        "  + Exception Group Traceback (most recent call last):",
        TIMESTAMP + "Traceback (most recent call last):",
    ]
)


@given(st.lists(st.one_of(FRAGMENTS, st.text())))
@example(["Traceback (most recent call last):"])
@example([CONNECTORS[0], "Traceback (most recent call last):", CONNECTORS[0], "Traceback (most recent call last):"])
def test_no_text_is_too_odd_to_read(lines):
    for text in (lines, "\n".join(lines)):
        found = diagnosis.read(text)
        if found is not None:
            assert found.summary.startswith(found.exception)
            assert found.traceback
        elif isinstance(text, list):
            assert not any(line.endswith("Traceback (most recent call last):") for line in text)


IDENTIFIERS = st.from_regex(r"[A-Z][A-Za-z]{0,12}(Error|Exception)", fullmatch=True)
MESSAGES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"])).map(str.strip)


@given(
    IDENTIFIERS,
    MESSAGES,
    st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]))),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30),
)
def test_any_exception_is_found_whatever_the_log_says_around_it(name, message, around, prefix):
    text = textwrap.dedent(SIMPLE).replace("KeyError: 'model'", f"{name}: {message}" if message else name)
    lines = [*around, *(prefix + line for line in text.splitlines()), *(["x" + line for line in around])]
    found = diagnosis.read(lines)
    assert found.exception == (f"{name}: {message}" if message else name)
    assert found.line == 12
