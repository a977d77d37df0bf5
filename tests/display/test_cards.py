"""A live card does what its endpoint does, and is a static card wherever no kernel is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest
from card_driver import buttons, eventually, html

from sm_magics.display import cards, render
from sm_magics.display.clock import Clock
from sm_magics.hosting import Endpoint
from sm_magics.hosting.measuring import Measured
from sm_magics.hosting.removal import Removal
from sm_magics.hosting.verifying import Verification
from sm_magics.progress import StatusChanged, StatusUnknown

PATIENCE = 60
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class Watched(Endpoint):
    """An endpoint that is watched by the test."""

    def watch(self, listener):
        self.listener, self.seen, self.is_watched = listener, self, True
        return self

    def stop(self):
        self.is_watched = False

    def logs(self):
        return [
            "one",
            "<b>two</b>",
            "Traceback (most recent call last):",
            '  File "/x/code/inference.py", line 2, in f',
            "E: x",
        ]


@pytest.fixture
def made(monkeypatch):
    """Make a card whose time is the test's; returns it with its endpoint and a function that tells it a status."""
    monkeypatch.setattr(cards.composition, "of", lambda _: ())
    monkeypatch.setattr(cards.measuring, "recent", lambda _: Measured(7, 1, 0.002, 0.003, (0.001, 0.002)))
    found = []

    def make(status="Creating", **options):
        endpoint = Watched("digits", status=status, created=BEGAN, modified=BEGAN, config_name="digits-1")
        clock = Clock()
        monkeypatch.setattr(clock, "add", lambda _: None)
        card = cards.EndpointCard(endpoint, ticks=clock, **options)
        found.append(card)

        def tell(status):
            endpoint.seen = replace(endpoint, status=status)
            endpoint.listener(StatusChanged("digits", status))
            card.tick(0.0)

        return card, endpoint, tell

    yield make
    for card in found:
        card.close()


def test_a_card_goes_from_being_created_to_in_service(made):
    card, _, tell = made(panel=lambda _: None)
    assert "being created" in html(card)
    assert list(buttons(card)) == ["Logs", "Delete…"]
    tell("InService")
    assert "in service" in html(card)
    assert "<dd>7</dd>" in html(card)
    assert list(buttons(card)) == ["Predict", "Logs", "Delete…"]


def test_what_is_saved_with_the_notebook_is_what_a_static_card_shows(made):
    card, endpoint, tell = made()
    saved = render.endpoint(endpoint).bundle()
    tell("InService")
    assert card.shown.bundle() == saved
    assert set(card.bundle()) == {"application/vnd.jupyter.widget-view+json"}  # no text, which nbval would compare


def test_a_failure_shows_its_traceback_and_the_card_asks_no_more(made):
    card, endpoint, tell = made()
    tell("Failed")
    assert "E: x" in html(card)
    assert "code/inference.py line 2" in html(card)
    assert endpoint.is_watched  # deleting it is still seen
    tell("Deleted")
    assert not endpoint.is_watched
    assert buttons(card) == {}


def test_one_that_nobody_waited_for_is_sent_its_sample_once_it_is_in_service(made):
    asked = []

    def verify(endpoint):
        asked.append(endpoint.config_name)
        return Verification(True, "Verified: it answers the recorded sample.")

    card, endpoint, tell = made(verify=verify)
    card.tick(0.0)
    assert asked == []
    tell("InService")
    eventually(lambda: "in service, verified" in html(card))
    assert "Verified: it answers" in html(card)
    tell("Updating")
    tell("InService")
    assert "in service, verified" in html(card)
    assert asked == ["digits-1"]
    endpoint.config_name = "digits-2"  # updated: what was said of the former is not said of this
    tell("InService")
    eventually(lambda: asked == ["digits-1", "digits-2"])


def test_what_keeps_the_watcher_from_asking_is_shown_until_it_is_over(made):
    card, endpoint, tell = made()
    endpoint.listener(StatusUnknown("digits", "No <b>network</b>.", "!ping"))
    assert "No &lt;b&gt;network&lt;/b&gt;." in html(card)
    assert "being created" in html(card)
    tell("InService")
    assert "network" not in html(card)


def test_metrics_that_are_refused_leave_the_status(made, monkeypatch):
    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(cards.measuring, "recent", refuse)
    card, _, tell = made()
    tell("InService")
    assert "in service" in html(card)


def test_the_log_is_shown_on_request_and_is_text(made):
    card, _, _ = made("InService")
    buttons(card)["Logs"].click()
    card.tick(10.0)
    assert "&lt;b&gt;two&lt;/b&gt;" in html(card)
    buttons(card)["Hide logs"].click()
    assert "two" not in html(card)


def test_delete_asks_and_then_deletes_once(made, monkeypatch):
    removed, ended = [], []
    monkeypatch.setattr(cards.removal, "of", lambda one: Removal(one, ("digits-1",), ("<b>m</b>",)))
    monkeypatch.setattr(cards.removal, "remove", removed.append)
    card, endpoint, _ = made("InService", ended=ended.append)
    buttons(card)["Delete…"].click()
    eventually(lambda: "Keep" in buttons(card))
    assert "&lt;b&gt;m&lt;/b&gt;" in html(card)
    buttons(card)["Keep"].click()
    assert removed == []
    assert "Keep" not in buttons(card)
    buttons(card)["Delete…"].click()
    eventually(lambda: "Delete" in buttons(card))
    yes = buttons(card)["Delete"]
    yes.click()
    yes.click()
    eventually(lambda: ended)
    assert len(removed) == 1
    assert "deleted" in html(card)
    assert not endpoint.is_watched


def test_what_cannot_be_deleted_says_so_and_may_be_tried_again(made, monkeypatch):
    def refuse(_):
        raise OSError("no <b>way</b>")

    monkeypatch.setattr(cards.removal, "of", refuse)
    card, _, _ = made("InService")
    buttons(card)["Delete…"].click()
    eventually(lambda: "It was not deleted: no &lt;b&gt;way&lt;/b&gt;" in html(card))
    assert not buttons(card)["Delete…"].disabled


def test_what_is_closed_listens_no_more(made):
    card, endpoint, _ = made()
    card.close()
    assert not endpoint.is_watched


def test_what_is_equal_is_not_sent_again(made):
    card, _, tell = made()
    tell("InService")
    body = card.children[2]
    changes = []
    body.observe(changes.append, "value")
    for _ in range(5):
        tell("InService")
    assert changes == []
