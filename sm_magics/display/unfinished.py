"""What deployments have left that did not come to their end, and what makes it go."""

from __future__ import annotations

from collections.abc import Sequence

from sm_magics.hosting.begun import BEGUN, CLEARING, FAILED
from sm_magics.hosting.leftovers import Leftovers
from sm_magics.hosting.unfinished import Started

from . import page
from .page import OK, WARN, Shown

_LEFT = {
    BEGUN: "broken off",
    FAILED: "failed; what was made for it is still there",
    CLEARING: "in service; what it served before is still there",
}


def listed(value: Leftovers) -> Shown:
    """Return what did not come to its end, with the commands that complete it and that take it away."""
    rows: list[tuple[object, ...]] = []
    for one in value.deployments:
        where = "this machine" if one.where == "local" else one.where
        rows.append((page.dim("deployment"), one.name, where, _LEFT[one.state]))
    rows += [
        (page.dim("upload"), _short(one.uri), one.region, "broken off; its parts lie in S3") for one in value.uploads
    ]
    counts = [(len(value.deployments), "deployment"), (len(value.uploads), "upload")]
    return page.card(
        WARN,
        "unfinished",
        " and ".join(f"{number} {kind}{'s' if number > 1 else ''}" for number, kind in counts if number),
        page.table(rows),
        page.paragraph("%sm_deploy again goes on where it ended, and sends nothing twice."),
        page.paragraph("What is left is taken away by:", code="%sm_delete --unfinished"),
    )


def nothing() -> Shown:
    """Return that nothing is left."""
    said = page.paragraph("What was begun elsewhere goes by its endpoint's name:", code="%sm_delete NAME --region R")
    return page.card(OK, "unfinished", "nothing known", said)


def ended(uploads: Sequence[Started], failed: Sequence[str]) -> Shown:
    """Return which unfinished uploads were ended, and which could not be."""
    parts = [page.table([(page.dim("upload"), _short(one.uri), one.region) for one in uploads])] if uploads else []
    parts += [page.paragraph(f"Not ended: {line}") for line in failed]
    return page.card(WARN if failed else OK, "uploads", f"{len(uploads)} ended", *parts)


def _short(uri: str) -> str:
    """Return an URI without most of the digest that is its key."""
    return "/".join(f"{part[:8]}…" if len(part) == 64 else part for part in uri.split("/"))  # noqa: PLR2004 - a digest in hexadecimal
