"""Adds the routes to a Jupyter server."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from jupyter_server.utils import url_path_join

from .handler import Handler
from .routes import ROUTES
from .state import State

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def load(server: ServerApp) -> None:
    """Add the routes; called by the Jupyter server when it starts."""
    # What runs here is what is installed now: another version may be installed later.
    state = State(version("sm-magics"))
    base = str(server.web_app.settings["base_url"])
    server.web_app.add_handlers(  # type: ignore[no-untyped-call] # tornado's own has types, jupyter_server's has none
        ".*$",
        [
            (url_path_join(base, "sm-magics", route.pattern), Handler, {"route": route, "state": state})
            for route in ROUTES
        ],
    )
    server.log.info("sm_magics %s: SageMaker beside the notebook.", state.version)
