"""``%sm_status``, ``%sm_endpoints`` and ``%sm_logs``: how things are."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument

from sm_magics import seen
from sm_magics.errors import SmMagicsError
from sm_magics.settings import LOCAL

from . import failures, following, parsing
from .session import SessionMagics

if TYPE_CHECKING:
    from sm_magics.hosting import Endpoint
    from sm_magics.hosting.cost import Cost

_MOST_PRICED = 50
"""Endpoints that are asked what they run on, two requests each."""


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
        """Show how an endpoint is, and return it.

        Where the last package has a --sample it is sent once, and its answer compared with the notebook's.
        """
        from sm_magics.display import render
        from sm_magics.hosting import cost

        options = parsing.parse(self.sm_status, line)
        endpoint = self.session.endpoint(options.endpoint, options)
        endpoint.outcome = ""  # how it is, not what a deployment did
        if options.wait:
            with failures.shown(self.session):
                endpoint.wait()
        else:
            endpoint.fetch()
        endpoint.notes, endpoint.verified = (), None
        endpoint.note_verification(self.session.samples(endpoint))
        if endpoint.where != LOCAL:
            cost.note(endpoint)
        shown = render.endpoint(endpoint, failures.located(self.session, endpoint.explain(), endpoint))
        self.session.show_endpoint(endpoint, shown)
        return self.session.result(endpoint, options.out)

    @line_magic
    @parsing.magic
    @parsing.placed
    @parsing.out
    def sm_endpoints(self, line: str) -> Any:
        """Show all endpoints, of this machine and of the AWS regions used in this session; return them as a list.

        Of those in AWS it says what they cost, as far as AWS's Price List API says it to you. Deployments and uploads
        from here that were broken off are listed, too.
        """
        from sm_magics.display import table, unfinished
        from sm_magics.hosting import connect, endpoints, leftovers

        options = parsing.parse(self.sm_endpoints, line)  # type: ignore[misc] # IPython types its decorators too wide
        settings, places = self.session.settings(options), self.session.places(options)
        found: list[Endpoint] = []
        connections, silent = [], {}
        for place in places:
            try:
                connection = connect(settings.override(region=place))
                there = endpoints.listed(connection)
            except SmMagicsError as error:
                if len(places) == 1:
                    raise
                silent[place] = error.message  # the others are shown all the same
                continue
            found += there
            connections.append(connection)
        in_aws = [endpoint for endpoint in found if not endpoint.connection.is_local]
        costs = _note(in_aws, {place for place in places if place not in silent})
        known = table.Listed(tuple(found), tuple(one.place for one in connections), costs, silent)
        self.session.show_alive(
            table.endpoints(known, datetime.now(timezone.utc)),
            lambda shown: self.session.cards.table(known, connections, shown),
        )
        left = leftovers.known({options.region} if options.region else ())
        if left:
            self.session.show(unfinished.listed(left))
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
        located = functools.partial(failures.located, self.session, endpoint=endpoint)
        self.session.show(render.log(endpoint.name, endpoint.place, lines, options.tail, located))
        return self.session.result(lines, options.out)


def _note(endpoints: Sequence[Endpoint], places: set[str]) -> dict[tuple[str, str], Cost]:
    """Return what endpoints in AWS cost; note it, so that loading the extension can say so without asking."""
    from sm_magics.hosting import cost

    alive = [one for one in endpoints if one.status not in cost.FREE and one.created is not None]
    for place in places - {LOCAL}:
        seen.only(place, {one.name: one.created.timestamp() for one in alive if one.where == place and one.created})
    return {(one.where, one.name): cost.note(one) for one in endpoints[:_MOST_PRICED]}
