"""From a model variable in a notebook to a running SageMaker endpoint.

In a notebook: ``%load_ext sm_magics``, then ``%sm_deploy?``. Everything the magics do can be called from Python too.
Importing this package imports none of boto3, torch, ipywidgets or the SageMaker SDK: they load when first needed.
"""

from __future__ import annotations

__version__ = "0.1.0"
