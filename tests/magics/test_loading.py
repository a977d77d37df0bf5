"""``%load_ext``, ``%reload_ext`` and ``%unload_ext``: one of everything, then none."""

from __future__ import annotations

import pytest

from sm_magics import magics
from sm_magics.home import home

LINE = {
    *("sm_package", "sm_deploy", "sm_check", "sm_delete", "sm_predict", "sm_status", "sm_endpoints", "sm_logs"),
    *("sm_attach", "sm_doctor"),
}
CELL = {"sm_inference", "sm_code", "sm_predict"}


def registered(shell) -> dict[str, object]:
    """Return everything of ours that hangs on a shell."""
    bundle = shell.display_formatter.mimebundle_formatter
    return {
        "line": {name for name in shell.magics_manager.magics["line"] if name.startswith("sm_")},
        "cell": {name for name in shell.magics_manager.magics["cell"] if name.startswith("sm_")},
        "registry": sorted(name for name, one in shell.magics_manager.registry.items() if is_ours(type(one))),
        "settings": sum(type(one).__name__ == "SmMagics" for one in shell.configurables),
        "configurables": sum(is_ours(type(one)) for one in shell.configurables),
        "matchers": sum(is_ours(one) for one in shell.Completer.custom_matchers),
        "hooks": sum(is_ours(one) for hooks in shell.events.callbacks.values() for one in hooks),
        "formatters": sum(is_ours(one) for one in bundle.type_printers.values())
        + sum(is_ours(one) for one in bundle.deferred_printers.values()),
    }


def is_ours(one) -> bool:
    return str(getattr(one, "__module__", "")).startswith("sm_magics")


def test_loading_registers_the_magics(notebook):
    found = registered(notebook.shell)
    assert found["line"] == LINE
    assert found["cell"] == CELL
    assert found["settings"] == found["matchers"] == 1
    assert found["hooks"] == 2  # before a cell and after it
    assert found["formatters"] == len(magics._FORMATTERS)


def test_reloading_leaves_one_of_everything(notebook):
    before = registered(notebook.shell)
    for _ in range(3):
        notebook.succeed("%reload_ext sm_magics")
    assert registered(notebook.shell) == before
    notebook.succeed("import sm_magics; sm_magics.load_ipython_extension(get_ipython())")
    assert registered(notebook.shell) == before


def test_unloading_leaves_nothing(notebook):
    notebook.succeed("%unload_ext sm_magics")
    assert not any(registered(notebook.shell).values())
    assert not hasattr(notebook.shell, "sm_magics_session")
    notebook.succeed("%load_ext sm_magics")
    assert registered(notebook.shell)["line"] == LINE


def test_unloading_leaves_other_extensions_alone(notebook):
    shell = notebook.shell
    others = {
        "line": set(shell.magics_manager.magics["line"]) - LINE,
        "configurables": [type(one) for one in shell.configurables if not is_ours(type(one))],
    }
    notebook.succeed("%unload_ext sm_magics")
    assert set(shell.magics_manager.magics["line"]) == others["line"]
    assert [type(one) for one in shell.configurables] == others["configurables"]


def test_unloading_twice_or_unloaded_is_no_error(notebook):
    magics.unload(notebook.shell)
    magics.unload(notebook.shell)


def test_settings_survive_a_reload(notebook):
    notebook.succeed('%config SmMagics.region = "eu-west-1"')
    notebook.succeed("%reload_ext sm_magics")
    assert notebook.session.region == "eu-west-1"


@pytest.mark.parametrize("name", sorted(LINE | CELL))
def test_the_help_of_a_magic_lists_each_of_its_options(notebook, name):
    kind = "line" if name in LINE else "cell"
    function = notebook.shell.magics_manager.magics[kind][name]
    described = function.__doc__
    first = described.splitlines()
    assert any(line.strip() for line in first)
    for action in function.parser._actions:
        for option in action.option_strings:
            assert option in described
        assert action.help, f"{name} {action.dest} says nothing"
        assert " ".join(action.help.split()[:2]) in " ".join(described.split())


def test_help_opens_with_the_question_mark(notebook, capsys):
    notebook.succeed("%sm_deploy?")
    printed = capsys.readouterr().out
    assert "--initial-instance-count" in printed
    assert "Deploy a model to an endpoint" in printed


def test_unloading_in_the_cell_that_made_a_result_leaves_no_formatter(notebook, capsys):
    formatter = notebook.shell.display_formatter.ipython_display_formatter
    before = dict(formatter.type_printers)
    notebook.succeed("made = [1, 2]; get_ipython().sm_magics_session.result(made, None)\n%unload_ext sm_magics")
    assert formatter.type_printers == before
    notebook.succeed("made")
    assert "[1, 2]" in capsys.readouterr().out


def test_loading_says_how_one_begins_until_something_was_deployed(notebook, monkeypatch, capsys):
    monkeypatch.setattr(type(notebook.session), "is_alive", True)
    notebook.shell.run_line_magic("reload_ext", "sm_magics")
    assert "%sm_deploy MODEL" in capsys.readouterr().out
    (home() / "state.sqlite3").touch()  # SageMaker on this machine has run
    notebook.shell.run_line_magic("reload_ext", "sm_magics")
    assert capsys.readouterr().out == ""


def test_where_nobody_reads_it_loading_says_nothing(notebook, monkeypatch, capsys):
    monkeypatch.setattr(type(notebook.session), "is_alive", False)
    notebook.shell.run_line_magic("reload_ext", "sm_magics")
    assert capsys.readouterr().out == ""
