"""What deployments from this machine have begun and not brought to an end: half-made ones, and uploads that broke off.

Known from the records on this disk; nobody is asked. What others left, or what was begun on another machine, is found
by its endpoint's name: see `sm_magics.hosting.removal`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sm_magics.errors import SmMagicsError

from . import begun, unfinished, uploading
from .begun import Begun
from .connection import Connection
from .unfinished import Started


@dataclass(frozen=True)
class Leftovers:
    """What is left.

    Attributes
    ----------
    deployments
        Those that were broken off, the oldest first.
    uploads
        Those to S3 whose parts lie there and cost money, the oldest first.
    """

    deployments: tuple[Begun, ...] = ()
    uploads: tuple[Started, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.deployments or self.uploads)


def known(places: Collection[str] = ()) -> Leftovers:
    """Return what is left at some places, or everywhere."""
    return Leftovers(
        tuple(one for one in begun.broken_off() if not places or one.where in places),
        tuple(one for one in unfinished.left() if not places or one.region in places),
    )


def end_uploads(connection: Connection) -> tuple[list[Started], list[str]]:
    """Have S3 forget the uploads to a region that nobody is at; return those, and why others could not be ended."""
    ended, failed = [], []
    for record in unfinished.abandoned(connection.region, days=0):
        why = _why_not_ended(record, connection)
        if why:
            failed.append(f"{record.started.uri}: {why}")
        else:
            ended.append(record.started)
    return ended, failed


def _why_not_ended(record: unfinished.Record, connection: Connection) -> str:
    try:
        uploading.abort(record, connection, connection.account)
    except SmMagicsError as error:
        return error.message
    return ""
