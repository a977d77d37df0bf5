"""From a model variable and ``code/`` to ``model.tar.gz``. Importing this imports no torch."""

from __future__ import annotations

from .building import package
from .package import Package, PackageFile
from .report import Report

__all__ = ["Package", "PackageFile", "Report", "package"]
