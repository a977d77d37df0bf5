"""What a slice of a notebook is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Slice:
    """Source that defines a class in a fresh interpreter.

    Attributes
    ----------
    source
        Python text; empty if the class itself could not be found.
    names
        What the source defines, the class among it, in the source's order; imports are not.
    missing
        Names that it refers to and that could not be sliced, and methods (``Net.forward``) that were put on a class.
    modules
        Modules of the user's own, neither installed nor the standard library's, that the source imports, and the
        file of each: they have to go beside it.
    objects
        Values that the source imports from ``sm_objects``, by name: they have to go beside it as files.
    """

    source: str
    names: tuple[str, ...]
    missing: tuple[str, ...]
    modules: Mapping[str, Path] = field(default_factory=dict)
    objects: Mapping[str, Any] = field(default_factory=dict)
