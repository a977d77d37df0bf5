"""``%sm_status``, ``%sm_endpoints`` and ``%sm_logs``: how things are."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument

from . import following, parsing
from .session import SessionMagics


@magics_class
class StatusMagics(SessionMagics):
    """How endpoints are."""

    @line_magic
    @parsing.magic
    @argument("endpoint", nargs="?", metavar="ENDPOINT", help="a name or an Endpoint variable; default: the latest one")
    @argument("--wait", action="store_true", help="wait until its state settles; one that failed is an error")
    @parsing.placed
    @parsing.out
    def sm_status(self, line: str) -> Any:
        """Show how an endpoint is, and return it."""
        from sm_magics.display import render
        from sm_magics.hosting import diagnosis

        options = parsing.parse(self.sm_status, line)
        endpoint = self.session.endpoint(options.endpoint, options)
        endpoint.outcome = ""  # how it is, not what a deployment did
        endpoint = endpoint.wait() if options.wait else endpoint.fetch()
        has_failed = endpoint.status == "Failed" or endpoint.is_rolled_back
        shown = render.endpoint(endpoint, diagnosis.read(endpoint.logs()) if has_failed else None)
        self.session.show_endpoint(endpoint, shown)
        return self.session.result(endpoint, options.out)

    @line_magic
    @parsing.magic
    @parsing.placed
    @parsing.out
    def sm_endpoints(self, line: str) -> Any:
        """Show all endpoints, of this machine and of the AWS regions used in this session; return them as a list."""
        from sm_magics.display import render
        from sm_magics.hosting import connect, endpoints

        options = parsing.parse(self.sm_endpoints, line)  # type: ignore[misc] # IPython types its decorators too wide
        settings = self.session.settings(options)
        connections = [connect(settings.override(region=place)) for place in self.session.places(options)]
        found = [endpoint for connection in connections for endpoint in endpoints.listed(connection)]
        self.session.show(render.endpoints(found, [connection.place for connection in connections]))
        return self.session.result(found, options.out)

    @line_magic
    @parsing.magic
    @argument("endpoint", nargs="?", metavar="ENDPOINT", help="a name or an Endpoint variable; default: the latest one")
    @argument("-n", "--tail", type=int, default=200, metavar="LINES", help="how many of the last lines to show; 0: all")
    @argument("-f", "--follow", action="store_true", help="show it while it grows, until the cell is interrupted")
    @parsing.placed
    @parsing.out
    def sm_logs(self, line: str) -> Any:
        """Show what an endpoint's containers printed, and return it as a list of lines."""
        from sm_magics.display import render

        options = parsing.parse(self.sm_logs, line)
        endpoint = self.session.endpoint(options.endpoint, options)
        if options.follow and self.session.is_watched:
            return self.session.result(following.follow(self.session, endpoint, options.tail), options.out)
        lines = endpoint.logs()
        self.session.show(render.log(endpoint.name, endpoint.place, lines, options.tail))
        return self.session.result(lines, options.out)
