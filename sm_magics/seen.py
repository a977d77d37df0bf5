"""A note on this disk of what was in service in AWS when it was last looked at: so that loading can say so for free.

Endpoints cost money until somebody deletes them, mostly long after the notebook was closed. Whatever is asked about
there is noted, and struck out once it is gone. It says what was seen, not what is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal

from .errors import SmMagicsError
from .home import home

_FILE = "in-service.json"


@dataclass(frozen=True)
class Seen:
    """An endpoint in AWS, as it was last seen.

    Attributes
    ----------
    where, name
        The region and the endpoint.
    created, looked
        When, as seconds since 1970.
    per_hour
        US dollars, as text; empty where unknown.
    """

    where: str
    name: str
    created: float = 0.0
    looked: float = 0.0
    per_hour: str = ""

    def so_far(self, now: float) -> Decimal | None:
        """Return what it has cost until now if it is still there; None if unknown."""
        if not self.per_hour or not self.created:
            return None
        return Decimal(self.per_hour) * Decimal(max(0.0, now - self.created) / 3600)


def all_of_them() -> tuple[Seen, ...]:
    """Return what was in service, oldest first. Asks nobody."""
    return tuple(sorted(_read().values(), key=lambda one: one.created))


def never_deployed() -> bool:
    """Return whether nothing was deployed by this user so far: neither seen in AWS nor to this machine."""
    with suppress(SmMagicsError):  # a state directory that cannot be used is told by what uses it
        return not _read() and not (home() / "state.sqlite3").exists()
    return False


def note(where: str, name: str, created: float, per_hour: str = "") -> None:
    """Note that an endpoint is in service."""
    known = _read()
    before = known.get(f"{where} {name}")
    per_hour = per_hour or (before.per_hour if before and before.created == created else "")
    _write({**known, f"{where} {name}": Seen(where, name, created, time.time(), per_hour)})


def strike_out(where: str, name: str) -> None:
    """Note that an endpoint is not there any more."""
    known = _read()
    if known.pop(f"{where} {name}", None) is not None:
        _write(known)


def only(where: str, names: Mapping[str, float]) -> None:
    """Note all that is in service in a region, by name with its creation time, and that nothing else is."""
    known = {key: one for key, one in _read().items() if one.where != where or names.get(one.name) == one.created}
    now = time.time()
    for name, created in names.items():
        before = known.get(f"{where} {name}")
        known[f"{where} {name}"] = Seen(where, name, created, now, before.per_hour if before else "")
    _write(known)


def _read() -> dict[str, Seen]:
    try:
        rows = [Seen(**row) for row in json.loads((home() / _FILE).read_text())]
        return {f"{row.where} {row.name}": row for row in rows}
    except (OSError, ValueError, TypeError, SmMagicsError):
        return {}


def _write(rows: Mapping[str, Seen]) -> None:
    with suppress(OSError, SmMagicsError):  # a note, no more
        partial = home() / f"{_FILE}.{os.getpid()}"
        partial.write_text(json.dumps([asdict(row) for row in rows.values()]))
        partial.replace(home() / _FILE)
