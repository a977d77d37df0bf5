"""Virtual environments for peers, made once under build/benchmark."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_BUILD = Path(__file__).parents[1] / "build" / "benchmark"


def environment(name: str, *steps: list[str]) -> Path:
    """Return a virtual environment; one whose making was broken off is made anew.

    Parameters
    ----------
    name
        Of its directory.
    steps
        What pip installs, one list after the other.
    """
    place = _BUILD / name
    ready = place / "ready"
    if not ready.exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        for packages in steps:
            subprocess.run([str(place / "bin" / "python"), "-m", "pip", "install", "-q", *packages], check=True)
        ready.touch()
    return place
