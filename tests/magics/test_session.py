"""What the magics of one kernel share: settings, variables, results that are shown once."""

from __future__ import annotations

import sys

import pytest
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument

from sm_magics.display import page
from sm_magics.errors import EndpointNotFound, ExpressionError
from sm_magics.magics import parsing
from sm_magics.settings import resolve


@magics_class
class Probe(Magics):
    """One magic that does what all do: parse, show one thing, return one object."""

    def __init__(self, session):
        super().__init__(session.shell)
        self.session = session

    @line_magic
    @parsing.magic
    @argument("value", nargs="?", default="[1, 2]")
    @parsing.hosted
    @parsing.placed
    @parsing.out
    def sm_probe(self, line):
        """Show a card and return a value."""
        options = parsing.parse(self.sm_probe, line)
        self.options = options
        self.session.show(page.card(page.OK, "probe", "shown"))
        return self.session.result(self.session.evaluate(options.value), options.out)


@pytest.fixture
def probe(notebook):
    made = Probe(notebook.session)
    notebook.shell.register_magics(made)
    return made


# -- settings -------------------------------------------------------------------------------------------------------


def test_config_sets_a_setting_and_a_flag_beats_it(notebook, probe, monkeypatch):
    monkeypatch.setenv("SM_MAGICS_REGION", "us-east-1")
    notebook.succeed("%sm_probe")
    assert notebook.session.settings(probe.options).where == "us-east-1"
    notebook.succeed('%config SmMagics.region = "eu-west-1"')
    assert notebook.session.settings(probe.options).where == "eu-west-1"
    notebook.succeed("%sm_probe --region ap-northeast-1")
    assert notebook.session.settings(probe.options).where == "ap-northeast-1"


def test_config_shows_every_setting(notebook, capsys):
    notebook.succeed("%config SmMagics")
    printed = capsys.readouterr().out
    for name in vars(resolve({}, {}, {})):
        # Who the user is, Studio says; nobody sets it.
        assert (f"SmMagics.{name}" in printed) is (name != "user")


def test_settings_come_from_the_configuration_file_too(notebook):
    from sm_magics import magics

    notebook.shell.config.SmMagics.role = "arn:aws:iam::123456789012:role/R"
    magics.load(notebook.shell)
    assert notebook.session.settings().role.endswith("role/R")


def test_the_model_directory_is_the_notebooks_unless_said(notebook, tmp_path):
    assert notebook.session.directory() == tmp_path / "work"
    notebook.succeed(f'%config SmMagics.model_dir = "{tmp_path}/configured"')
    assert notebook.session.directory() == tmp_path / "configured"
    assert notebook.session.directory("given") == tmp_path / "work" / "given"


def test_the_notebook_is_named_by_whoever_knows_it(notebook, monkeypatch):
    assert notebook.session.notebook_path == ""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/a.ipynb")
    assert notebook.session.notebook_path == "/home/me/a.ipynb"
    notebook.namespace["__vsc_ipynb_file__"] = "/home/me/b.ipynb"
    assert notebook.session.notebook_path == "/home/me/b.ipynb"
    notebook.succeed('%config SmMagics.notebook = "c.ipynb"')
    assert notebook.session.notebook_path == "c.ipynb"


# -- values of the notebook -----------------------------------------------------------------------------------------


def test_an_expression_is_evaluated_in_the_notebook(notebook):
    notebook.succeed("x = [1, 2, 3]; import math")
    assert notebook.session.evaluate("[math.floor(i) for i in x[:2]]") == [1, 2]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("nett", "There is no variable 'nett' in this notebook."),
        ("f(nett)", "There is no variable 'f' in this notebook."),
        ("g()", "inner"),
        ("x[", "'x[' is not a Python expression"),
        ("x = 1", "is not a Python expression"),
        ("x x", "is not a Python expression"),
        ("", "is not a Python expression"),
        ("\x00", "is not a Python expression"),
        ("1/0", "1/0 raised ZeroDivisionError: division by zero"),
        ("[][1]", "raised IndexError"),
        ("x.y", "raised AttributeError"),
        ("h()", "raised NameError: by hand"),
    ],
)
def test_an_expression_that_cannot_be_had_is_our_own_error(notebook, expression, said):
    notebook.succeed("net = 1; x = 1\ndef g(): return inner\ndef h(): raise NameError('by hand')")
    with pytest.raises(ExpressionError) as caught:
        notebook.session.evaluate(expression)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_mistyped_variable_is_told_the_one_that_was_meant(notebook):
    notebook.succeed("network = 1; dataset = 2")
    with pytest.raises(ExpressionError) as caught:
        notebook.session.evaluate("netwrok")
    assert caught.value.hint.startswith("network ")


def test_ctrl_c_in_an_expression_is_no_error_of_the_expression(notebook):
    notebook.succeed("def stop(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        notebook.session.evaluate("stop()")


def test_variables_are_the_notebooks_own(notebook):
    notebook.succeed("x = 1; _y = 2; import os")
    assert set(notebook.session.variables()) >= {"x", "os"}
    assert not {"_y", "In", "Out", "get_ipython", "exit", "quit", "_"} & set(notebook.session.variables())
    assert notebook.session.variables(lambda value: value == 1) == ["x"]


def test_the_cells_run_so_far_are_known_oldest_first(notebook):
    notebook.succeed("first = 1")
    notebook.succeed("second = 2")
    assert [cell.strip() for cell in notebook.session.cells() if cell.strip()][:2] == ["first = 1", "second = 2"]


def test_a_cell_that_raises_while_it_is_run_is_our_own_error(notebook, capsys):
    with pytest.raises(ExpressionError, match="ZeroDivisionError"):
        notebook.session.run("1/0")
    assert "ZeroDivisionError" in capsys.readouterr().out


# -- results --------------------------------------------------------------------------------------------------------


def out_of(notebook, cell, capsys) -> str:
    notebook.succeed(cell)
    return capsys.readouterr().out


def test_what_a_magic_shows_goes_to_its_own_shell(notebook, probe):
    notebook.succeed("%sm_probe")
    assert [sorted(bundle) for bundle in notebook.shown] == [["text/html", "text/plain"]]


def test_a_result_displays_nothing_further_in_the_cell_that_made_it(notebook, probe, capsys):
    assert notebook.succeed("%sm_probe") == [1, 2]
    assert "[1, 2]" not in capsys.readouterr().out
    assert "[1, 2]" not in out_of(notebook, "y = %sm_probe\ny", capsys)


def test_a_result_is_shown_in_later_cells(notebook, probe, capsys):
    notebook.succeed("y = %sm_probe")
    capsys.readouterr()
    assert "[1, 2]" in out_of(notebook, "y", capsys)


def test_a_result_is_the_cells_value_all_the_same(notebook, probe):
    notebook.succeed("%sm_probe")
    assert notebook.succeed("_") == [1, 2]


def test_other_values_of_the_same_type_still_show_in_the_same_cell(notebook, probe, capsys):
    assert "[7]" in out_of(notebook, "%sm_probe\n[7]", capsys)
    assert "[7]" in out_of(notebook, "y = %sm_probe\ndisplay([7])\ny", capsys) or "[7]" in notebook.text


def test_two_results_in_one_cell_are_both_silent_and_leave_no_trace(notebook, probe, capsys):
    formatter = notebook.shell.display_formatter.ipython_display_formatter
    before = dict(formatter.type_printers)
    assert "1, 2" not in out_of(notebook, "a = %sm_probe\nb = %sm_probe\na", capsys)
    assert formatter.type_printers == before
    assert "[1, 2]" in out_of(notebook, "a", capsys)


def test_a_formatter_of_the_users_own_comes_back(notebook, probe):
    formatter = notebook.shell.display_formatter.ipython_display_formatter
    mine = lambda value: None  # noqa: E731
    formatter.for_type(list, mine)
    notebook.succeed("%sm_probe")
    assert formatter.for_type(list) is mine


def test_a_result_is_silent_after_a_cell_that_failed_too(notebook, probe, capsys):
    notebook.run("y = %sm_probe\n1/0")
    capsys.readouterr()
    assert "[1, 2]" in out_of(notebook, "y", capsys)


def test_a_result_of_none_and_of_numbers(notebook, probe, capsys):
    assert out_of(notebook, "%sm_probe None", capsys).strip() == ""
    assert "Out" not in out_of(notebook, "%sm_probe 7", capsys).replace("Out[", "")


@pytest.mark.parametrize("line", ["%sm_probe -o y", "%sm_probe --out y", "%sm_probe -o y;", "%sm_probe -o y # kept"])
def test_out_stores_the_result(notebook, probe, line):
    notebook.succeed(line)
    assert notebook.namespace["y"] == [1, 2]


def test_a_mistyped_option_is_a_usage_error_and_does_nothing(notebook, probe):
    for line in ("%sm_probe --nonsense", "%sm_probe --reg local", "%sm_probe -o 1y", "%sm_probe 'x"):
        error = notebook.raised(line)
        assert type(error) is UsageError
        assert notebook.shown == []


@pytest.mark.parametrize(
    "line",
    [
        "%sm_deploy --nonsense 1",
        "%sm_deploy --inst ml.m5.large",
        "%sm_deploy net --wait --no-wait",
        "%sm_deploy net --initial-instance-count 0",
        "%sm_deploy net --initial-instance-count two",
        "%sm_deploy net --env A",
        "%sm_deploy net --env =1",
        "%sm_deploy net --save-as pickle",
        "%sm_deploy a b",
        "%sm_package",
        "%sm_package a b",
        "%sm_package net -o 1",
        "%sm_predict",
        "%sm_predict -e digits",
        "%sm_predict -e digits # nothing",
        "%sm_predict --acept text/csv x",
        "%sm_predict --file a.png x",
        "%%sm_predict x\nbody",
        "%%sm_predict --file a.png\nbody",
        "%%sm_inference a b\ndef model_fn(d): ...",
        "%%sm_inference --runn\ndef model_fn(d): ...",
        "%%sm_code\nx = 1",
        "%sm_status a b",
        "%sm_status --nonsense",
        "%sm_endpoints a",
        "%sm_logs --tail x",
        "%sm_delete --force",
    ],
)
def test_a_mistyped_command_is_a_usage_error_with_a_hint_and_changes_nothing(notebook, tmp_path, line):
    error = notebook.raised(line)
    assert type(error) is UsageError, error
    assert "hint: " in str(error)
    assert list((tmp_path / "work").iterdir()) == []
    assert not (tmp_path / "home" / "service.json").exists()


@pytest.mark.parametrize("line", ["%sm_status", "%sm_logs", "%sm_delete", "%sm_predict 1"])
def test_without_an_endpoint_in_this_session_a_magic_says_how_to_make_one(notebook, tmp_path, line):
    error = notebook.raised(line)
    assert type(error) is EndpointNotFound
    assert "%sm_deploy" in error.hint
    assert not (tmp_path / "home" / "service.json").exists()


def test_an_error_of_ours_is_two_lines_in_a_notebook(notebook, capsys):
    notebook.raised("%sm_status")
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "EndpointNotFound: This notebook has no endpoint on this machine.",
        "  hint: %sm_deploy MODEL    # or %sm_endpoints: all there are",
    ]


def test_a_notebook_run_by_a_tool_is_not_watched(notebook):
    assert notebook.session.is_watched

    class Kernel:
        _allow_stdin = False

    notebook.shell.kernel = Kernel()
    try:
        assert not notebook.session.is_watched
        Kernel._allow_stdin = True
        assert notebook.session.is_watched
    finally:
        del notebook.shell.kernel


def test_the_author_is_the_notebook_the_session_and_the_cell(notebook, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    author = notebook.session.author()
    assert (author.notebook, author.session) == ("a.ipynb", notebook.session.id)
    record = notebook.run("author = get_ipython().sm_magics_session.author()")
    assert notebook.namespace["author"].execution_count == record.execution_count == 1
    assert "ipykernel" not in sys.modules or author.cell_id == ""


# -- which endpoint -------------------------------------------------------------------------------------------------


@pytest.fixture
def places(notebook, monkeypatch):
    """Endpoints as they would be at each place, without any place."""
    from sm_magics.hosting import Endpoint, endpoints

    there = {"local": ["digits", "here"], "us-west-2": ["digits", "there"]}

    def get(name, where):
        return Endpoint(name, where) if name in there[where] else None

    monkeypatch.setattr("sm_magics.hosting.connect", lambda settings: settings.where)
    monkeypatch.setattr(endpoints, "get", get)
    notebook.session.regions.add("us-west-2")
    return there


def test_an_endpoint_is_found_at_the_one_place_that_has_it(notebook, places):
    assert notebook.session.endpoint("here").where == "local"
    assert notebook.session.endpoint("there").where == "us-west-2"


def test_a_name_that_fits_two_endpoints_is_an_error_that_shows_both(notebook, places, probe):
    from sm_magics.errors import ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        notebook.session.endpoint("digits")
    assert "this machine and us-west-2" in caught.value.message
    assert caught.value.hint == "--region us-west-2"
    notebook.succeed("%sm_probe --region us-west-2")
    assert notebook.session.endpoint("digits", probe.options).where == "us-west-2"
    notebook.succeed("%sm_probe --region local")
    assert notebook.session.endpoint("digits", probe.options).where == "local"


def test_a_name_that_is_nowhere_names_the_places_looked_at(notebook, places):
    with pytest.raises(EndpointNotFound, match="on this machine or us-west-2"):
        notebook.session.endpoint("letters")


def test_a_region_that_is_configured_is_looked_at_like_one_that_was_used(notebook, places, monkeypatch):
    notebook.session.regions.clear()
    with pytest.raises(EndpointNotFound, match="on this machine"):
        notebook.session.endpoint("there")
    notebook.succeed("%config SmMagics.region = 'us-west-2'")
    assert notebook.session.places() == ["local", "us-west-2"]
    assert notebook.session.endpoint("there").where == "us-west-2"
    notebook.succeed("%config SmMagics.region = ''")
    monkeypatch.setenv("SM_MAGICS_REGION", "us-west-2")
    assert notebook.session.endpoint("there").where == "us-west-2"


def test_a_place_that_cannot_be_asked_hides_nothing_that_is_elsewhere(notebook, places, monkeypatch):
    from sm_magics.errors import AccessDenied
    from sm_magics.hosting import endpoints

    found = endpoints.get

    def get(name, where):
        if where == "us-west-2":
            raise AccessDenied("No credentials.")
        return found(name, where)

    monkeypatch.setattr(endpoints, "get", get)
    assert notebook.session.endpoint("here").where == "local"
    with pytest.raises(AccessDenied):  # it may be there
        notebook.session.endpoint("letters")


def test_an_endpoint_variable_is_that_endpoint_and_other_variables_are_names(notebook, places):
    from sm_magics.hosting import Endpoint

    mine = Endpoint("letters")
    notebook.namespace.update(mine=mine, here="a string")
    assert notebook.session.endpoint("mine") is mine
    assert notebook.session.endpoint("here").name == "here"


def test_without_a_name_it_is_the_latest(notebook, places):
    from sm_magics.hosting import Endpoint

    notebook.session.last_endpoint = Endpoint("letters")
    assert notebook.session.endpoint(None) is notebook.session.last_endpoint


# -- how our objects look -------------------------------------------------------------------------------------------


def test_our_objects_as_a_cells_value_are_cards(notebook):
    from pathlib import Path

    from sm_magics.authoring import Written
    from sm_magics.hosting import Endpoint, Prediction, Removal
    from sm_magics.packaging import Package

    package = Package("digits", Path("/a/model.tar.gz"), "0" * 64, 10, (), Path("/a"), "", "", "", "")
    endpoint = Endpoint("digits", status="InService")
    values = (
        package,
        endpoint,
        Removal(endpoint),
        Written(path=Path("/a/code/inference.py"), section="digits"),
        Prediction([1], "application/json", b"[1]", 0.1, "digits"),
    )
    for value in values:
        formatted, _ = notebook.shell.display_formatter.format(value)
        assert 'class="sm-magics"' in formatted["text/html"]
        assert "digits" in formatted["text/plain"] or "inference.py" in formatted["text/plain"]
    notebook.succeed("%unload_ext sm_magics")
    formatted, _ = notebook.shell.display_formatter.format(endpoint)
    assert formatted == {"text/plain": repr(endpoint)}
