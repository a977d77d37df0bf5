"""SageMaker for the JupyterLab extension: authenticated routes of the Jupyter server, over ``sm_magics.hosting``.

It asks SageMaker only when a browser asks it, and once for all who ask at the same time.
"""

from __future__ import annotations
