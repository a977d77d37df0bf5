"""The one seam to the SageMaker SDK, version 2 or 3, whichever is there. Reads its tables without importing it."""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import ConfigurationError

# Where each SDK keeps the same table: version 3 (and sagemaker-core 2.x alone), then version 2.
_TABLES = ("core/image_uri_config/pytorch.json", "image_uri_config/pytorch.json")


@lru_cache(maxsize=1)
def pytorch_images() -> dict[str, Any]:
    """Return the SDK's table of PyTorch images: ``{"inference": {"versions": {"2.6.0": {…}}}, …}``.

    The SDK's module for image URIs takes seconds to import; the table it reads is a JSON file beside it.

    Raises
    ------
    ConfigurationError
        If no SageMaker SDK that carries the table is installed.
    """
    spec = importlib.util.find_spec("sagemaker")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        for table in _TABLES:
            path = Path(location) / table
            if path.is_file():
                loaded: dict[str, Any] = json.loads(path.read_text())
                return loaded
    raise ConfigurationError(
        "No table of SageMaker's PyTorch images is installed, so the container image cannot be chosen.",
        hint="%pip install sagemaker-core    # or name an image: %sm_deploy --image-uri …",
    )
