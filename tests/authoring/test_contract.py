"""The check predicts what the toolkit does: each prediction is compared with the toolkit itself."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.authoring.contract import ARGUMENTS, HANDLERS, check_contract

OK = {
    "model_fn": "def model_fn(model_dir):\n    return 'model'\n",
    "input_fn": "def input_fn(body, content_type):\n    return body\n",
    "predict_fn": "def predict_fn(data, model):\n    return data\n",
    "output_fn": "def output_fn(prediction, accept):\n    return str(prediction)\n",
}


class Context:
    model_name = "model"
    system_properties = {"model_dir": "/nowhere"}  # noqa: RUF012

    def __init__(self):
        self.status = 200
        self.request_processor = [
            SimpleNamespace(get_request_properties=lambda: {"Content-Type": "text/plain", "Accept": "text/plain"})
        ]

    def set_response_status(self, code, phrase):
        self.status = code

    def set_response_content_type(self, index, value):
        pass


class Defaults:
    """The container's defaults, as far as it matters whether they are used."""

    def default_model_fn(self, model_dir, context=None):
        return "model"

    def default_input_fn(self, body, content_type, context=None):
        return body

    def default_predict_fn(self, data, model, context=None):
        return data

    def default_output_fn(self, prediction, accept, context=None):
        return str(prediction)


def codes(source: str) -> list[str]:
    return [finding.code for finding in check_contract(source)]


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory):
    """Run a script through the container's own toolkit: the status of one request, and the answer."""
    from sagemaker_inference.transformer import Transformer

    directory = tmp_path_factory.mktemp("toolkit")
    count = 0

    def run(source: str) -> tuple[int, object]:
        nonlocal count
        count += 1
        name = f"handlers_{count}"
        (directory / f"{name}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(directory))
            patch.setenv("SAGEMAKER_PROGRAM", f"{name}.py")
            context = Context()
            answer = Transformer(Defaults()).transform([{"body": b"1"}], context)
        sys.modules.pop(name, None)
        return context.status, answer[0]

    return run


def with_handler(handler: str, text: str) -> str:
    """A script whose other handlers are right."""
    if handler == "transform_fn":
        return OK["model_fn"] + text
    return "".join(source for name, source in OK.items() if name != handler) + text


def test_handlers_that_are_right_have_no_findings(toolkit):
    source = "".join(OK.values())
    assert codes(source) == []
    assert toolkit(source) == (200, "b'1'")


parameter_names = st.lists(st.sampled_from("abcdefg"), unique=True, max_size=6)


@st.composite
def parameters(draw: st.DrawFn) -> str:
    """Any parameter list: with defaults, positional-only and keyword-only ones, stars."""
    names = draw(parameter_names)
    first_default = draw(st.integers(0, len(names)))
    star = draw(st.integers(0, len(names)))
    kind = draw(st.sampled_from(["", "*", "*args"]))
    parts = []
    for index, name in enumerate(names):
        if index == star and kind and (kind != "*" or index < len(names)):
            parts.append(kind)
        parts.append(f"{name}=None" if index >= first_default else name)
    if star == len(names) and kind == "*args":
        parts.append(kind)
    slash = draw(st.integers(0, star if kind else len(names)))
    if slash and draw(st.booleans()):
        parts.insert(slash, "/")
    if draw(st.integers(0, 3)) == 0:
        parts.append("**options")
    return ", ".join(parts)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([name for name in HANDLERS if name not in {"pre_model_fn", "model_warmup_fn"}]), parameters())
def test_counting_arguments_agrees_with_the_toolkit(toolkit, handler, arguments):
    source = with_handler(handler, f"def {handler}({arguments}):\n    return 'answer'\n")
    found = codes(source)
    status, answer = toolkit(source)
    assert found in ([], ["SM102"], ["SM103"])
    assert (status == 200) == (found == []), answer
    if found == ["SM102"]:
        assert f"{handler} takes" in str(answer)
    if found == ["SM103"]:
        assert "TypeError" in str(answer)


@pytest.mark.parametrize("handler", ["pre_model_fn", "model_warmup_fn"])
@pytest.mark.parametrize("extra", [-1, 0, 1, 2])
def test_hooks_around_loading_are_counted_too(toolkit, handler, extra):
    arguments = ", ".join("abcdefg"[: len(ARGUMENTS[handler]) + extra])
    source = "".join(OK.values()) + f"def {handler}({arguments}):\n    pass\n"
    assert (toolkit(source)[0] == 200) == (codes(source) == []) == (extra in {0, 1})


@pytest.mark.parametrize(
    "text",
    [
        "from functools import partial\ndef run(data, model, scale): return data\npredict_fn = partial(run, scale=1)\n",
        "import functools\ndef run(scale, data, model):\n    return data\npredict_fn = functools.partial(run, 1)\n",
        "import functools\ndef run(scale, data):\n    return data\npredict_fn = functools.partial(run, 1)\n",
        "predict_fn = lambda data, model: data\n",
        "predict_fn = lambda data: data\n",
        "predict_fn = lambda data, model, context=None: data\n",
        "def run(data, model, context): return data\npredict_fn = other = run\n",
        "def run(data): return data\nother = run\npredict_fn: object = other\n",
        "try:\n    import nothing_of_that_name\nexcept ImportError:\n    def predict_fn(data): return data\n",
        "if True:\n    def predict_fn(data, model): return data\n",
        "predict_fn = None\n",
        "predict_fn = 3\n",
        "predict_fn = False\n",
        "pre_model_fn = None\n",
        "pre_model_fn = False\n",
        "def predict_fn(data): return data\ndef predict_fn(data, model): return data\n",
        "import functools\n@functools.lru_cache\ndef predict_fn(data): return data\n",
    ],
)
def test_other_ways_to_define_a_handler_agree_with_the_toolkit(toolkit, text):
    source = with_handler("predict_fn", text)
    assert (toolkit(source)[0] == 200) == (codes(source) == []), check_contract(source)


def test_an_unknown_decorator_may_have_changed_the_signature():
    source = with_handler("predict_fn", "from mine import wired\n@wired\ndef predict_fn(data): return data\n")
    assert [finding.severity for finding in check_contract(source)] == ["warning"]


def test_a_coroutine_is_never_awaited(toolkit):
    source = with_handler("output_fn", "async def output_fn(prediction, accept):\n    return 'answer'\n")
    assert codes(source) == ["SM104"]
    answer = toolkit(source)[1]
    assert answer.__class__.__name__ == "coroutine"
    answer.close()


@pytest.mark.parametrize("others", [["input_fn"], ["predict_fn", "output_fn"], ["input_fn", "predict_fn", "output_fn"]])
def test_transform_fn_excludes_the_three_it_stands_for(toolkit, others):
    transform = "def transform_fn(model, body, content_type, accept):\n    return 'answer'\n"
    source = OK["model_fn"] + transform + "".join(OK[name] for name in others)
    (finding,) = check_contract(source)
    assert (finding.code, finding.line) == ("SM105", 3)
    assert all(name in finding.message for name in others)
    assert "Cannot use transform_fn" in str(toolkit(source)[1])
    switched_off = source + "".join(f"{name} = None\n" for name in others)
    assert codes(switched_off) == []
    assert toolkit(switched_off) == (200, "answer")


@pytest.mark.parametrize(
    "name",
    ["predict_func", "predictfn", "modelfn", "predict_fun", "model_function", "Model_fn", "_input_fn", "ouput_fn"],
)
def test_a_name_that_is_nearly_a_handlers_is_pointed_out(name):
    assert codes(f"def {name}(a, b):\n    return a\n") == ["SM107"]


@pytest.mark.parametrize(
    "source",
    [
        "".join(
            f"def {name}(x): return x\n" for name in ["transform", "input", "output", "fit", "predict", "load_model"]
        ),
        "def _predict_fn(a, b): return a\npredict_fn = _predict_fn\n",
        "def predict_fn(a, b): return a\ndef predict_fns(x): return x\n",
    ],
)
def test_other_names_are_left_alone(source):
    assert codes(source) == []


def test_a_finding_says_what_the_container_would_do_and_the_fix():
    (finding,) = check_contract("\ndef input_fn(body):\n    return body\n")
    assert finding.message == (
        "input_fn takes 1 argument, but the container passes 2, or 3 with the context: "
        "every request would fail with status 500."
    )
    assert "def input_fn(request_body, content_type)" in finding.fix
    assert (finding.severity, finding.path, finding.line) == ("error", "code/inference.py", 2)
