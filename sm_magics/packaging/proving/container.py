"""What the container image has, and what may be another version there than here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from sm_magics.packaging.report import WARNING, Step

_LOADS = {"state_dict": "a state_dict loads in both", "torchscript": "TorchScript loads in both"}


@dataclass(frozen=True)
class Container:
    """A container image, as far as it is known.

    Attributes
    ----------
    python, torch
        Versions, such as ``3.12`` and ``2.6.0``; empty if not known.
    packages
        Distributions and their versions; empty if not known, and then all that is installed here is importable.
    """

    python: str = ""
    torch: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


def skew(container: Container, python: str, torch: str, saved_as: str) -> Step | None:
    """Return what to say where a package was checked under other versions than the container's; None where not."""
    pairs = [("Python", _minor(python), _minor(container.python)), ("torch", _minor(torch), _minor(container.torch))]
    differ = [(name, here, there) for name, here, there in pairs if here and there and here != there]
    if not differ:
        return None
    ours = ", ".join(f"{name} {here}" for name, here, _ in differ)
    theirs = ", ".join(f"{name} {there}" for name, _, there in differ)
    how = (_LOADS.get(saved_as, ""), "--like-container checks it under the image's")
    return Step("versions", WARNING, f"checked under {ours}", f"the image has {theirs}", tuple(filter(None, how)))


def installed(distribution: str) -> str:
    """Return the version of a distribution that is installed here, empty if it is not."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _minor(number: str) -> str:
    return ".".join(number.split(".")[:2])
