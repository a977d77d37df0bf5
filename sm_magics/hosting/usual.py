"""A note on this disk of how long endpoints took to come into service, so that a card can say what is usual.

Only what was seen from this machine counts; of a kind that was never seen nothing is said.
"""

from __future__ import annotations

import json
import os
import statistics
from contextlib import suppress

from sm_magics.errors import SmMagicsError
from sm_magics.home import home

_FILE = "usual.json"
_KEPT = 20
"""Deployments of one kind that are remembered; AWS changes, and so does the network."""


def note(where: str, kind: str, when: float, seconds: float) -> None:
    """Note that an endpoint of a kind came into service.

    Parameters
    ----------
    where
        ``local`` or the AWS region.
    kind
        What decides how long it takes: the instance type.
    when
        The endpoint's creation, as seconds since 1970: several cards that see the same deployment note it once.
    """
    known = _read()
    key = f"{where} {kind}"
    rows = {**known.get(key, {}), f"{when:.3f}": round(seconds, 3)}
    newest = sorted(rows, key=float)[-_KEPT:]
    partial = None
    with suppress(OSError, SmMagicsError):  # a note, no more
        partial = home() / f"{_FILE}.{os.getpid()}"
        partial.write_text(json.dumps({**known, key: {moment: rows[moment] for moment in newest}}))
        partial.replace(home() / _FILE)


def seconds(where: str, kind: str) -> tuple[float, float] | None:
    """Return between which times most of a kind took, in seconds; None where none has been seen."""
    rows = sorted(_read().get(f"{where} {kind}", {}).values())
    if not rows:
        return None
    if len(rows) < 4:  # noqa: PLR2004 - quartiles of fewer are none
        return rows[0], rows[-1]
    first, _, third = statistics.quantiles(rows, n=4, method="inclusive")
    return first, third


def _read() -> dict[str, dict[str, float]]:
    try:
        found = json.loads((home() / _FILE).read_text())
        return {
            str(key): {str(moment): float(value) for moment, value in rows.items() if float(moment) >= 0}
            for key, rows in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, SmMagicsError):
        return {}
