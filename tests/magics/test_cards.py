"""A cell that runs again takes its former cards away."""

from __future__ import annotations

import pytest

from sm_magics.display import cards as display
from sm_magics.display import render
from sm_magics.hosting import Endpoint
from sm_magics.magics import cards

ENDPOINT = Endpoint("digits", status="InService")


class Kernel:
    def __init__(self, *, watched=True):
        self._allow_stdin = watched
        self.cell, self.request = "cell", "first"

    def get_parent(self):
        return {"metadata": {"cellId": self.cell}, "header": {"msg_id": self.request}}


class Card:
    def __init__(self, *_arguments, **_options):
        self.is_closed = False

    def close(self):
        self.is_closed = True

    def bundle(self):
        return {"text/plain": "alive"}


@pytest.fixture
def kernel(notebook, monkeypatch):
    monkeypatch.setattr(display, "EndpointCard", Card)
    notebook.shell.kernel = Kernel()
    yield notebook.shell.kernel
    del notebook.shell.kernel


def make(notebook):
    return notebook.session.cards.of(ENDPOINT, render.endpoint(ENDPOINT))


def test_several_cards_of_one_run_stay_until_the_cell_runs_again(notebook, kernel):
    first, second = make(notebook), make(notebook)
    kernel.cell, kernel.request = "other", "second"
    other = make(notebook)
    assert not first.is_closed
    assert not second.is_closed
    kernel.cell, kernel.request = "cell", "third"
    make(notebook)
    assert first.is_closed
    assert second.is_closed
    assert not other.is_closed


def test_where_the_front_end_names_no_cell_nothing_gives_way_until_there_are_too_many(notebook, kernel, monkeypatch):
    monkeypatch.setattr(cards, "MOST", 3)
    kernel.cell = ""
    made = []
    for number in range(5):
        kernel.request = str(number)
        made.append(make(notebook))
    assert [card.is_closed for card in made] == [True, True, False, False, False]


def test_where_nobody_watches_the_plain_result_is_shown(notebook, kernel):
    kernel._allow_stdin = False
    assert make(notebook) is None
    notebook.session.show_endpoint(ENDPOINT, render.endpoint(ENDPOINT))
    assert notebook.shown == [render.endpoint(ENDPOINT).bundle()]


def test_a_terminal_has_no_cards(notebook):
    assert make(notebook) is None


def test_an_endpoint_as_a_cells_last_value_is_a_card(notebook, kernel):
    formatter = notebook.session.formatters.mimebundle_formatter
    assert formatter(ENDPOINT) == (render.endpoint(ENDPOINT).bundle(), {})
    assert notebook.shown == [{"text/plain": "alive"}]


def test_unloading_closes_all(notebook, kernel):
    card = make(notebook)
    notebook.session.cards.close()
    assert card.is_closed
