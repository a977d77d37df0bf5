"""The environments that requirements files were installed into: each goes when no endpoint has referred to it for long.

`sm_magics.serving.environment` makes them, in ``environments/`` of the state directory: a folder, and beside it a lock
that is written to whenever somebody asks for it. An endpoint's version notes which one each of its variants runs in.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

#: Seconds that one is kept after the last endpoint that referred to it.
KEPT = 30 * 86_400.0
#: The file in a variant's folder that names the interpreter of its environment.
NOTE = "environment"


def collect(environments: Path, versions: Path, *, kept: float, now: float) -> None:
    """Remove what nobody asked for, and no endpoint referred to, for `kept` seconds. To be called now and then.

    Parameters
    ----------
    versions
        Where the versions of all endpoints have their folders.
    now
        Seconds since the epoch.
    """
    wanted = {Path(note.read_text()).parents[1].name for note in versions.glob(f"*/*/{NOTE}")}
    for lock in environments.glob("*.lock"):
        environment = lock.with_suffix("")
        if environment.name in wanted:
            os.utime(lock, (now, now))
        elif environment.exists() and now - lock.stat().st_mtime >= kept:
            _remove(environment, lock)


def _remove(environment: Path, lock: Path) -> None:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody is about to use it
            return
        # First what says that it is whole: it may be asked for again after a removal that did not come to its end.
        (environment / "complete").unlink(missing_ok=True)
        shutil.rmtree(environment, ignore_errors=True)
