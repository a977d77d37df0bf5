"""AWS's toolkit without SciPy, which it imports for sparse matrices in ``application/x-npz`` bodies alone.

It takes a fifth of the time that torch takes, and 13 MiB. So it waits for the first such body, or for handlers
that import it themselves.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _SciPy(ModuleType):
    """Stands for SciPy in the toolkit's decoder, and there alone."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # what looks at any module does not want it imported
        return importlib.import_module(f"scipy.{name}")


def import_decoder() -> None:
    """Import the toolkit's decoder, and leave SciPy to be imported once it decodes what needs it."""
    if "scipy" in sys.modules:
        import sagemaker_inference.decoder
    else:
        sys.modules.update({"scipy": _SciPy("scipy"), "scipy.sparse": ModuleType("scipy.sparse")})
        try:
            import sagemaker_inference.decoder  # noqa: F401
        finally:
            del sys.modules["scipy"], sys.modules["scipy.sparse"]
