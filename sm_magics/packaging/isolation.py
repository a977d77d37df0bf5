"""Whether a package can be served by containers that reach no network."""

from __future__ import annotations

import tarfile

from sm_magics.authoring import Finding, check_isolation

from .package import Package

REQUIREMENTS = "code/requirements.txt"


def isolation_finding(package: Package) -> Finding | None:
    """Return why a package cannot be served with network isolation, or None if it can.

    The container installs ``code/requirements.txt`` when it starts, and gives up if it cannot.
    """
    if REQUIREMENTS not in {file.name for file in package.files}:
        return None
    with tarfile.open(package.path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.removeprefix("./") == REQUIREMENTS else None
            if file is not None:
                return check_isolation(file.read().decode(errors="replace"))
    return None
