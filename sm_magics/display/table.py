"""A table of endpoints, on this machine and in AWS: one function for the live one and for the one that is saved.

What is saved with the notebook is of its moment, and shows ages and costs only of what is in AWS. A live one shows
them of all, and is sorted by whichever column's name is clicked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sm_magics.hosting import Endpoint
from sm_magics.hosting.cost import Cost

from . import page, render
from .page import BAD, BUSY, OK, WARN, Part, Shown

NAME, STATUS, WHERE, AGE, RUNS_ON, HOURLY, SO_FAR = (
    *("name", "status", "where", "age", "instances"),
    *("$ an hour", "$ so far"),
)
LOCAL = "local"
COSTS = (RUNS_ON, HOURLY, SO_FAR)
COLUMNS = (NAME, STATUS, WHERE, AGE, *COSTS)
_SORTED = {False: ("▲", "ascending"), True: ("▼", "descending")}


@dataclass(frozen=True)
class Order:
    """How it is sorted.

    Attributes
    ----------
    column
        Empty: as SageMaker lists them, the newest first.
    """

    column: str = ""
    is_reversed: bool = False

    def by(self, column: str) -> Order:
        """Return the order once a column's name is clicked: by that column, the other way round the second time."""
        return Order(column, is_reversed=not self.is_reversed if column == self.column else False)


@dataclass(frozen=True)
class Listed:
    """What a table shows.

    Attributes
    ----------
    places
        The places that were asked, in words.
    costs
        By place and name; of those in AWS.
    silent
        Places that did not answer, and why.
    """

    endpoints: tuple[Endpoint, ...] = ()
    places: tuple[str, ...] = ()
    costs: Mapping[tuple[str, str], Cost] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    order: Order = field(default_factory=Order)
    trouble: tuple[str, str] = ("", "")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns: what it costs where anything is in AWS."""
        return (NAME, STATUS, WHERE, AGE, *(COSTS if self.is_in_aws else ()))

    @property
    def is_in_aws(self) -> bool:
        """Whether any of them is in AWS."""
        return any(one.where != LOCAL for one in self.endpoints)

    def cost(self, endpoint: Endpoint) -> Cost:
        """Return what an endpoint costs."""
        return self.costs.get((endpoint.where, endpoint.name), Cost())


def endpoints(known: Listed, now: datetime) -> Shown:
    """Return the table that is saved."""
    state, what = summary(known)
    return page.card(state, "endpoints", what, *parts(known, now))


def summary(known: Listed) -> tuple[str, str]:
    """Return the state of the table, and what its first line says."""
    where = " and ".join(known.places)
    states = {render.state_of(one.status) for one in known.endpoints}
    state = WARN if known.silent else next((one for one in (BUSY, BAD, OK) if one in states), BUSY)
    said = [f"{len(known.endpoints) or 'none'} on {where}"] if where else []
    if known.silent:
        silent = len(known.silent)
        said.append(f"{silent} place{'' if silent == 1 else 's'} did not answer")
    return state, " · ".join(said)


def parts(known: Listed, now: datetime, *, is_live: bool = False) -> list[Part]:
    """Return the table, what all of it costs, and what is not known."""
    warnings = [page.paragraph(f"{place}: {why}") for place, why in known.silent.items()]
    if known.trouble[0]:
        warnings.append(page.paragraph(known.trouble[0], code=known.trouble[1]))
    if not known.endpoints:
        return [page.paragraph("Make one:", code="%sm_deploy MODEL"), *warnings]
    shown = _live(known, now) if is_live else _saved(known, now)
    return [shown, *_costs(known), *warnings]


def _saved(known: Listed, now: datetime) -> Part:
    columns = known.columns if known.is_in_aws else (NAME, STATUS, WHERE)
    rows = []
    for one in known.endpoints:
        cells = _cells(one, known, now)
        if one.where == LOCAL:
            cells[AGE] = ""  # it would be another one each time
        quiet = {AGE, RUNS_ON}
        sign = page.sign(render.state_of(one.status), "●")
        rows.append((sign, *(page.dim(cells[name]) if name in quiet else cells[name] for name in columns)))
    return page.table(rows, ("", *columns))


def _live(known: Listed, now: datetime) -> Part:
    """Return the rows below a row of buttons: their columns have the same widths, by the style sheet."""
    columns, order = known.columns, known.order
    heads = []
    for name in columns:
        sorted_by = f' aria-sort="{_SORTED[order.is_reversed][1]}"' if name == order.column else ""
        heads.append(f'<th role="columnheader"{sorted_by}>{page.escape(name)}</th>')
    head = f'<tr role="row" class="sm-said"><th role="columnheader">state</th>{"".join(heads)}</tr>'
    body = []
    for one in _ordered(known):
        cells = _cells(one, known, now)
        state = render.state_of(one.status)
        sign = page.sign(state, "◐" if state == BUSY else "●")
        drawn = "".join(f'<td role="cell">{page.escape(cells[name])}</td>' for name in columns)
        body.append(f'<tr role="row"><td role="cell">{sign.html}</td>{drawn}</tr>')
    kind = "sm-many" if known.is_in_aws else "sm-few"
    html = f'<table role="table" aria-label="endpoints" class="sm-grid {kind}">{head}{"".join(body)}</table>'
    return Part(html, _saved(known, now).text)


def heading(column: str, order: Order) -> str:
    """Return what the button above a column says."""
    return f"{column} {_SORTED[order.is_reversed][0]}" if column == order.column else column


def _ordered(known: Listed) -> list[Endpoint]:
    order = known.order
    if not order.column:
        return list(known.endpoints)
    keys = {
        NAME: lambda one: one.name.lower(),
        STATUS: lambda one: render.status_word(one.status),
        WHERE: lambda one: (one.where != LOCAL, one.where),
        AGE: lambda one: -one.created.timestamp() if one.created else 0.0,
        RUNS_ON: lambda one: known.cost(one).instance_types,
        HOURLY: lambda one: _or_nothing(known.cost(one).per_hour),
        SO_FAR: lambda one: _or_nothing(known.cost(one).so_far),
    }
    return sorted(known.endpoints, key=keys[order.column], reverse=order.is_reversed)


def _or_nothing(value: Decimal | None) -> Decimal:
    return Decimal(-1) if value is None else value


def _cells(one: Endpoint, known: Listed, now: datetime) -> dict[str, str]:
    cost = known.cost(one)
    is_local = one.where == LOCAL
    return {
        NAME: one.name,
        STATUS: render.status_word(one.status),
        WHERE: one.place,
        AGE: age(one.created, now),
        RUNS_ON: cost.instance_types,
        HOURLY: "" if is_local else _money(cost.per_hour),
        SO_FAR: "" if is_local else _money(cost.so_far),
    }


def _costs(known: Listed) -> list[Part]:
    """Return what they cost together, and what is not known of that."""
    if not known.costs:
        return []
    prices = [cost.per_hour for cost in known.costs.values() if cost.per_hour is not None]
    unknown = len(known.costs) - len(prices)
    said = f"In AWS they cost {_money(sum(prices, Decimal(0)))} $ an hour" if prices else "What they cost is not known"
    if prices and unknown:
        said += f", and {unknown} of them cost what is not known"
    reasons = list(dict.fromkeys(cost.unknown for cost in known.costs.values() if cost.unknown))
    if not prices and len(reasons) == 1:
        return [page.paragraph(f"{said}: {reasons[0]}.", dim=True)]
    notes = [page.paragraph(f"{said}.", dim=True)]
    notes += [page.paragraph(f"Not known: {reason}.", dim=True) for reason in reasons]
    if prices:
        notes.append(page.paragraph("So far: as if the instances had been the same since they were created.", dim=True))
    return notes


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago something was, in its largest unit: ``3 d``, ``5 h``, ``12 min``, ``40 s``."""
    if since is None:
        return ""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds // 10 * 10} s" if seconds >= 10 else "just now"  # noqa: PLR2004 - what is read, not counted


def _money(value: Decimal | None) -> str:
    if value is None:
        return "?"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
