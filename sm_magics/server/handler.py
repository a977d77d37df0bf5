"""The one handler of all routes: authenticated, authorized, JSON in and out, every error told the same way."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from .routes import Route

_FORBIDDEN = {401, 403}


def _prepare() -> None:
    """Import the library, which takes a third of a second. Not in the event loop, and not before somebody asks."""
    from . import places

    places.prepare()


class Handler(APIHandler):
    """Answers requests of one route.

    Jupyter's own ``prepare`` checks the origin and, of what is no GET and carries no token, the XSRF cookie.
    """

    auth_resource = "sm_magics"

    def initialize(self, route: Route, state: Any) -> None:
        """Take what the route says; called by tornado."""
        self._route = route
        self._state = state
        # A panel that looks every few seconds is nobody at work: a hub, and Studio, may end what is idle.
        self._track_activity = self.request.method != "GET"

    @web.authenticated
    @authorized
    async def get(self, **path: str) -> None:
        """Answer a question."""
        await self._answered(self._route.get, path, 200)

    @web.authenticated
    @authorized
    async def post(self, **path: str) -> None:
        """Do something."""
        await self._answered(self._route.post, path, self._route.created)

    async def _answered(self, who: str, path: dict[str, str], status: int) -> None:
        if not who:
            raise web.HTTPError(405, f"{self.request.method} is not for this address.")
        try:
            if not self._state.is_ready:
                await asyncio.to_thread(_prepare)
                self._state.is_ready = True
            text = json.dumps(await self._asked(who, path), allow_nan=False)
        except Exception as error:  # noqa: BLE001 - told to the browser
            await self._refused(error)
            return
        self.set_status(status)
        await self.finish(text)

    async def _asked(self, who: str, path: dict[str, str]) -> Any:
        from .call import Call, check_length

        module, name = who.split(".")
        function: Callable[[Call], Awaitable[Any]] = getattr(
            await asyncio.to_thread(importlib.import_module, f"{__package__}.{module}"), name
        )
        check_length(len(self.request.body))
        query = {
            name: [value.decode("utf-8", "replace") for value in values]
            for name, values in self.request.query_arguments.items()
        }
        return await function(Call(self._state, path, query, self._body(), self._root))

    def _body(self) -> dict[str, Any]:
        from .problems import invalid

        if not self.request.body:
            return {}
        try:
            body = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise invalid("The request's body is no JSON.") from error
        if not isinstance(body, dict):
            raise invalid("The request's body is a JSON object.")
        return body

    @property
    def _root(self) -> str:
        return str(getattr(self.contents_manager, "root_dir", ""))

    async def _refused(self, error: Exception) -> None:
        from . import problems

        problem = problems.of(error)
        if problem is problems.INTERNAL:
            self.log.error("sm_magics: %s %s failed.", self.request.method, self.request.path, exc_info=error)
        self.set_status(problem.status)
        await self.finish(json.dumps({"error": problem.shown()}))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Tell Jupyter's own refusals as all others are told."""
        error = kwargs.get("exc_info", (None, None))[1]
        said = error.log_message if isinstance(error, web.HTTPError) and error.log_message else ""
        codes = {400: "InvalidRequest", 404: "NotFound", 405: "MethodNotAllowed"}
        code = "Forbidden" if status_code in _FORBIDDEN else codes.get(status_code, "Internal")
        message = said or ("Not allowed: log in to the Jupyter server." if code == "Forbidden" else self._reason)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": {"code": code, "message": message, "hint": ""}}))
