"""What a container image has installed, read from the table that comes with the package (``images.json``).

The table is of the SageMaker PyTorch inference images, by version of torch. Each entry says as of which day it is, and
which versions the image's Dockerfile pins; the others are what pip installed when the image was built, give or take a
day. ``scripts/refresh_images.py`` writes it and says from what.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .needs.distribution_names import modules_of

_TABLE = Path(__file__).with_name("images.json")


@dataclass(frozen=True)
class Image:
    """The contents of one image.

    Attributes
    ----------
    torch, python
        Versions, such as ``2.6.0`` and ``3.12.12``.
    as_of
        The day the table describes, such as ``2026-06-09``.
    packages
        The installed distributions by normalized name, and their versions.
    pinned
        Those whose version is certain.
    """

    torch: str
    python: str
    as_of: str
    packages: Mapping[str, str]
    pinned: frozenset[str]

    @property
    def python_minor(self) -> tuple[int, int]:
        """The version of Python as far as it matters for what can be installed: ``(3, 12)``."""
        major, minor = self.python.split(".")[:2]
        return int(major), int(minor)

    def provides(self, module: str) -> bool:
        """Return whether the image has a top-level module, whichever distribution brings it."""
        return module in _provided(frozenset(self.packages))

    def __hash__(self) -> int:
        return hash((self.torch, self.as_of))

    def __str__(self) -> str:
        return f"the PyTorch {self.torch} image"


def image(framework_version: str = "", *, torch: str | None = None) -> Image | None:
    """Return the image that a package would be deployed on, as far as its contents are known.

    Parameters
    ----------
    framework_version
        The version asked for, such as ``2.6`` or ``2.6.0``. None is returned for one that the table does not have.
    torch
        The notebook's torch, where no version is asked for: its image has the same minor version, or is the newest.
        By default that of this interpreter.
    """
    images = images_known()
    if framework_version:
        fitting = [one for one in images.values() if _minor(one.torch) == _minor(framework_version)]
        exact = images.get(framework_version)
        return exact or (max(fitting, key=lambda one: _key(one.torch)) if fitting else None)
    notebook = _installed_torch() if torch is None else torch
    same = [one for one in images.values() if notebook and _minor(one.torch) == _minor(notebook)]
    return max(same or images.values(), key=lambda one: _key(one.torch))


@lru_cache(maxsize=1)
def images_known() -> Mapping[str, Image]:
    """Return the images in the table, by version of torch."""
    table = json.loads(_TABLE.read_text(encoding="utf-8"))
    return {
        version: Image(version, entry["python"], entry["as_of"], entry["packages"], frozenset(entry["pinned"]))
        for version, entry in table["images"].items()
    }


@lru_cache(maxsize=8)
def _provided(packages: Iterable[str]) -> frozenset[str]:
    return frozenset(module for name in packages for module in modules_of(name))


def _installed_torch() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "__version__"):
        return str(torch.__version__)
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split("+", maxsplit=1)[0].split(".")[:2])


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
