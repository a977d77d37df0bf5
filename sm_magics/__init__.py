"""From a model variable in a notebook to a running SageMaker endpoint.

In a notebook: ``%load_ext sm_magics``, then ``%sm_deploy?``. Everything the magics do can be called from Python too.
Importing this package imports none of boto3, torch, ipywidgets or the SageMaker SDK: they load when first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from jupyter_server.serverapp import ServerApp

    from .authoring import CodeFolder
    from .errors import SmMagicsError
    from .hosting import Endpoint, Prediction, connect, deploy
    from .packaging import Package, Report, package
    from .packaging.proof import prove
    from .settings import Settings

    __version__: str

__all__ = [
    "CodeFolder",
    "Endpoint",
    "Package",
    "Prediction",
    "Report",
    "Settings",
    "SmMagicsError",
    "connect",
    "deploy",
    "package",
    "prove",
]

_HOMES = {
    "CodeFolder": "authoring",
    "Endpoint": "hosting",
    "Package": "packaging",
    "Prediction": "hosting",
    "Report": "packaging",
    "Settings": "settings",
    "SmMagicsError": "errors",
    "connect": "hosting",
    "deploy": "hosting",
    "package": "packaging",
    "prove": "packaging.proof",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first used."""
    if name == "__version__":  # it stands in labextension/package.json
        from importlib.metadata import version

        return version("sm-magics")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics; called by ``%load_ext sm_magics``."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics back; called by ``%unload_ext sm_magics``."""
    from .magics import unload

    unload(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Return where the JupyterLab extension lies in this package; asked for by ``jupyter-builder develop``."""
    return [{"src": "labextension", "dest": "sm-magics"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Return what a Jupyter server loads."""
    return [{"module": "sm_magics"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Add the routes of the JupyterLab extension; called by the Jupyter server when it starts."""
    from .server.extension import load

    load(server)
