"""The line that ``%load_ext`` says: what is still in service in AWS, as it was last seen, and what it costs.

To somebody who has never deployed anything it says how one begins. Asks nobody: what was seen is noted on this disk.
"""

from __future__ import annotations

import time

from sm_magics import seen

_MOST = 3
_WELCOME = "%sm_deploy MODEL deploys it on this machine; %sm_doctor says what AWS needs."  # one line in JupyterLab


def remind() -> None:
    """Print the line, if there is anything to say."""
    said = line(seen.all_of_them(), time.time()) or (_WELCOME if seen.never_deployed() else "")
    if said:
        print(said)  # noqa: T201 - into the cell's output, as all that loading says


def line(endpoints: tuple[seen.Seen, ...], now: float) -> str:
    """Return what is in service as one line, empty if nothing is.

    Parameters
    ----------
    now
        Seconds since 1970.
    """
    if not endpoints:
        return ""
    costs = [one.so_far(now) for one in endpoints]
    names = ", ".join(f"{one.name} in {one.where}" for one in endpoints[:_MOST])
    more = f" and {len(endpoints) - _MOST} more" if len(endpoints) > _MOST else ""
    hourly = sum(float(one.per_hour) for one in endpoints if one.per_hour)
    known = [float(cost) for cost in costs if cost is not None]
    price = f", ${hourly:.2f} an hour, about ${sum(known):.2f} so far" if known else ""
    partly = " (where the price is known)" if known and len(known) < len(costs) else ""
    hours = (now - min(one.looked for one in endpoints)) / 3600
    when = f" {hours / 24:.0f} d ago" if hours >= 2 * 24 else f" {hours:.0f} h ago" if hours >= 1 else ""
    return f"In service when last looked at{when}: {names}{more}{price}{partly}. %sm_endpoints shows how it is now."
