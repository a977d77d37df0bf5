"""One thread tells all cards of the time."""

from __future__ import annotations

import threading

from sm_magics.display.clock import Clock

PATIENCE = 60


class Card:
    def __init__(self, pause=0.0, *, fails=False):
        self.times, self.pause, self.fails = [], pause, fails
        self.ticked = threading.Event()

    def tick(self, now):
        self.times.append(now)
        self.ticked.set()
        if self.fails:
            raise RuntimeError
        return self.pause


def test_fifty_cards_have_one_thread_which_ends_with_the_last_one():
    clock, cards = Clock(), [Card(0.001) for _ in range(50)]
    for card in cards:
        clock.add(card)
    for card in cards:
        assert card.ticked.wait(PATIENCE)
    thread = clock.thread
    assert sum(one.name == "sm_magics-clock" and one is thread for one in threading.enumerate()) == 1
    for card in cards:
        clock.remove(card)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert clock.thread is None


def test_a_card_that_raises_stands_still_and_the_others_go_on(caplog):
    clock, bad, good = Clock(), Card(fails=True), Card(0.001)
    clock.add(bad)
    assert bad.ticked.wait(PATIENCE)
    clock.add(good)
    assert good.ticked.wait(PATIENCE)
    good.ticked.clear()
    assert good.ticked.wait(PATIENCE)
    assert len(bad.times) == 1
    clock.remove(good)
    assert "stands still" in caplog.text


def test_a_card_that_is_added_again_is_told_at_once():
    clock, card = Clock(), Card(10_000.0)
    clock.add(card)
    assert card.ticked.wait(PATIENCE)
    card.ticked.clear()
    clock.add(card)
    assert card.ticked.wait(PATIENCE)
    clock.remove(card)
