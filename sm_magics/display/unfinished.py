"""What deployments have left that did not come to their end, and what makes it go."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sm_magics.hosting.leftovers import Leftovers
from sm_magics.hosting.unfinished import Started

from . import page
from .page import OK, WARN, Shown
from .timeline import duration

_MOMENT = 60.0
"""Seconds that nobody counts."""


def listed(value: Leftovers) -> Shown:
    """Return what was broken off, with the commands that complete it and that take it away."""
    now = time.time()
    rows: list[tuple[object, ...]] = []
    for one in value.deployments:
        where = "this machine" if one.where == "local" else one.where
        left = "its former version is not cleared away" if one.is_clearing else "not completed"
        rows.append((page.dim("deployment"), one.name, where, _ago(one.when, now), left))
    rows += [
        (page.dim("upload"), _short(one.uri), one.region, _ago(one.begun, now), "its parts lie in S3")
        for one in value.uploads
    ]
    count = len(value.deployments) + len(value.uploads)
    return page.card(
        WARN,
        "unfinished",
        f"{count} broken off",
        page.table(rows),
        page.paragraph("The same %sm_deploy again goes on where it broke off."),
        page.paragraph("What is left is taken away by:", code="%sm_delete --unfinished"),
    )


def nothing() -> Shown:
    """Return that nothing was broken off."""
    said = page.paragraph("What was begun elsewhere goes by its endpoint's name:", code="%sm_delete NAME --region R")
    return page.card(OK, "unfinished", "nothing known", said)


def ended(uploads: Sequence[Started], failed: Sequence[str]) -> Shown:
    """Return which unfinished uploads were ended, and which could not be."""
    parts = [page.table([(page.dim("upload"), _short(one.uri), one.region) for one in uploads])] if uploads else []
    parts += [page.paragraph(f"Not ended: {line}") for line in failed]
    return page.card(WARN if failed else OK, "uploads", f"{len(uploads)} ended", *parts)


def _ago(when: float, now: float) -> object:
    return page.dim(f"{duration(round(now - when))} ago" if now - when >= _MOMENT else "just now")


def _short(uri: str) -> str:
    """Return an URI without most of the digest that is its key."""
    return "/".join(f"{part[:8]}…" if len(part) == 64 else part for part in uri.split("/"))  # noqa: PLR2004 - a digest in hexadecimal
