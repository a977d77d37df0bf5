"""The table of endpoints: what is saved of it, and the live one, which is sorted by its columns' names."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.display import table, table_card
from sm_magics.display.clock import Clock
from sm_magics.display.table import Listed, Order
from sm_magics.hosting import Endpoint
from sm_magics.hosting.cost import Cost
from sm_magics.progress import StatusChanged, StatusUnknown

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1) | st.sampled_from(
    ["<q>", "</table>", "<script>alert(1)</script>", "&amp;", "a'b\"c"]
)


def endpoint(name, where="local", hours=1, status="InService"):
    created = NOW - timedelta(hours=hours)
    return Endpoint(name, where, status, created=created, modified=created)


HERE, THERE = endpoint("digits", hours=2), endpoint("Other", "us-west-2", hours=50, status="Creating")
PRICE = Cost("2 × ml.m5.large", Decimal("0.23"), Decimal("11.5"))
BOTH = Listed((HERE, THERE), ("this machine", "us-west-2"), {("us-west-2", "Other"): PRICE})


def test_what_is_saved_has_ages_and_costs_only_of_what_is_in_aws(read):
    shown = table.endpoints(BOTH, NOW)
    assert "2 on this machine and us-west-2" in shown.text
    assert [line.split("  ")[1:] for line in shown.text.splitlines() if "Other" in line]
    for words in ("being created", "2 d", "2 × ml.m5.large", "0.230", "11.50", "In AWS they cost 0.230 $ an hour"):
        assert words in shown.text
        assert words in read(shown).text
    assert "2 h" not in shown.text
    alone = table.endpoints(Listed((HERE,), ("this machine",)), NOW)
    assert "digits" in alone.text
    assert "age" not in alone.text


def test_without_endpoints_it_says_how_to_make_one():
    shown = table.endpoints(Listed((), ("this machine",)), NOW)
    assert "none on this machine" in shown.text
    assert "%sm_deploy" in shown.text


def test_places_that_did_not_answer_are_named():
    shown = table.endpoints(Listed((HERE,), ("this machine",), silent={"us-east-1": "no <b>way</b>"}), NOW)
    assert "1 on this machine · 1 place did not answer" in shown.text
    assert "us-east-1: no &lt;b&gt;way&lt;/b&gt;" in shown.html


@pytest.mark.parametrize(
    ("since", "said"),
    [(5, "just now"), (45, "40 s"), (60, "1 min"), (7200, "2 h"), (3 * 86400, "3 d"), (-5, "just now")],
)
def test_an_age_is_told_in_its_largest_unit(since, said):
    assert table.age(NOW - timedelta(seconds=since), NOW) == said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, TEXT)
def test_nothing_becomes_markup(read, read_live, one, other, third):
    known = Listed((endpoint(one, other, status=third),), (other,), {(other, one): Cost(third, unknown=third)})
    for page in (read(table.endpoints(known, NOW)), read_live(*table.parts(known, NOW, is_live=True))):
        for words in (one, other, third):
            assert words in page.text


class Watch:
    def __init__(self, listing, listener):
        self.seen, self.listener, self.is_watched = listing, listener, True

    def stop(self):
        self.is_watched = False


@pytest.fixture
def made(monkeypatch):
    watches, cards = [], []

    def watch(listing, listener):
        watches.append(Watch(listing, listener))
        return watches[-1]

    monkeypatch.setattr(table_card.watching, "watch", watch)

    class Place:
        def __init__(self, where):
            self.where = where

    def make(known):
        clock = Clock()
        monkeypatch.setattr(clock, "add", lambda _: None)
        places = [Place(where) for where in dict.fromkeys(one.where for one in known.endpoints)]
        cards.append(table_card.EndpointsTable(known, places, table.endpoints(known, NOW), ticks=clock))
        return cards[-1], watches

    yield make
    for card in cards:
        card.close()


def names(card) -> list[str]:
    """Return the names in the order in which they are seen."""
    html = card.children[3].value
    return sorted(("digits", "Other", "new"), key=lambda name: html.find(f">{name}<") if f">{name}<" in html else 1e9)


def sort(card, column):
    next(one for one in card.children[2].children if one.description.split(" ▲")[0].split(" ▼")[0] == column).click()


def test_it_is_sorted_by_the_column_that_is_clicked_and_then_the_other_way_round(made):
    card, _ = made(BOTH)
    for column, first in {"name": "digits", "age": "digits", "$ an hour": "digits", "status": "Other"}.items():
        sort(card, column)
        assert names(card)[0] == first, column
        sort(card, column)
        assert names(card)[0] == ({"digits", "Other"} - {first}).pop(), column
    html = card.children[3].value
    assert 'aria-sort="descending"' in html
    assert "Sorted by status, descending" in card.children[4].value
    assert [one.description for one in card.children[2].children][1] == "status ▼"


def test_what_comes_and_goes_is_seen_and_the_order_is_kept(made):
    card, (here, there) = made(BOTH)
    sort(card, "name")
    here.seen._note([endpoint("new"), HERE])
    here.listener(StatusChanged("endpoints", here.seen.status))
    assert names(card) == ["digits", "new", "Other"]
    there.seen._note([])
    there.listener(StatusChanged("endpoints", there.seen.status))
    assert "Other" not in card.children[3].value
    assert "2 on this machine and us-west-2" in card.children[1].value
    assert "endpoints: 2 in service" in card.children[4].value


def test_a_place_that_cannot_be_asked_says_so_and_the_rows_stay(made):
    card, (here, _) = made(BOTH)
    here.listener(StatusUnknown("endpoints", "No <b>network</b>.", "!ping"))
    assert "No &lt;b&gt;network&lt;/b&gt;." in card.children[3].value
    assert "digits" in card.children[3].value


def test_costs_go_on_without_being_asked_for_again(made, monkeypatch):
    asked = []
    monkeypatch.setattr(table_card.cost, "of", lambda one: asked.append(one.name) or PRICE)
    card, _ = made(Listed(BOTH.endpoints, BOTH.places))
    card.tick(0.0)
    card.tick(10.0)
    assert asked == ["Other"]
    assert "0.230" in card.children[3].value
    assert card.known.costs["us-west-2", "Other"].so_far > Decimal(11)


def test_what_is_closed_listens_no_more(made):
    card, watches = made(BOTH)
    card.close()
    assert [one.is_watched for one in watches] == [False, False]


def test_the_order_of_a_column_is_turned_by_a_second_click():
    once = Order().by("age")
    assert (once.column, once.is_reversed) == ("age", False)
    assert once.by("age").is_reversed
    assert not once.by("age").by("name").is_reversed
