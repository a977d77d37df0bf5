"""From a model variable and ``code/`` to ``model.tar.gz``."""

from __future__ import annotations

from .package import Package, PackageFile

__all__ = ["Package", "PackageFile"]
