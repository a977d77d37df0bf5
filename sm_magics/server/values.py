"""Times, amounts and paths as JSON has them."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path


def moment(when: datetime | None) -> str | None:
    """Return a time: ISO 8601, in UTC."""
    return None if when is None else when.astimezone(timezone.utc).isoformat()


def now() -> datetime:
    """Return the time."""
    return datetime.now(timezone.utc)


def number(value: float) -> float | None:
    """Return a number; None for what JSON has no number for."""
    return value if math.isfinite(value) else None


def dollars(amount: Decimal | None, digits: int = 6) -> float | None:
    """Return an amount in US dollars."""
    return None if amount is None else round(float(amount), digits)


def below(root: str, path: str) -> str | None:
    """Return a file's path as Jupyter names it: below the directory that it serves; None if it is not there."""
    if not root or not path.startswith("/"):
        return None
    try:
        inside = Path(path).resolve().relative_to(Path(root).expanduser().resolve())
        return inside.as_posix() if Path(path).is_file() else None
    except (OSError, ValueError):
        return None
