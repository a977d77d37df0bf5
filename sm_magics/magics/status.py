"""``%sm_status``, ``%sm_endpoints`` and ``%sm_logs``: how things are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument

from sm_magics import seen
from sm_magics.errors import SmMagicsError
from sm_magics.settings import LOCAL

from . import following, parsing
from .cards import located
from .session import SessionMagics, SmMagics

if TYPE_CHECKING:
    from sm_magics.hosting import Endpoint
    from sm_magics.hosting.cost import Cost

_MOST_PRICED = 50
"""Endpoints that are asked what they run on, two requests each."""


@magics_class
class StatusMagics(SessionMagics):
    """How endpoints are."""

    def __init__(self, session: SmMagics) -> None:
        super().__init__(session)
        self._answers: dict[tuple[str, str, str], str] = {}  # to the recorded sample, by place, name, configuration

    @line_magic
    @parsing.magic
    @argument("endpoint", nargs="?", metavar="ENDPOINT", help="a name or an Endpoint variable; default: the latest one")
    @argument("--wait", action="store_true", help="wait until its state settles; one that failed is an error")
    @parsing.placed
    @parsing.out
    def sm_status(self, line: str) -> Any:
        """Show how an endpoint is, and return it."""
        from sm_magics.display import render

        options = parsing.parse(self.sm_status, line)
        endpoint = self.session.endpoint(options.endpoint, options)
        endpoint.outcome = ""  # how it is, not what a deployment did
        endpoint = endpoint.wait() if options.wait else endpoint.fetch()
        endpoint.notes = self._verified(endpoint)
        shown = render.endpoint(endpoint, located(self.session, endpoint.explain(), endpoint))
        self.session.show_endpoint(endpoint, shown)
        return self.session.result(endpoint, options.out)

    @line_magic
    @parsing.magic
    @parsing.placed
    @parsing.out
    def sm_endpoints(self, line: str) -> Any:
        """Show all endpoints, of this machine and of the AWS regions used in this session; return them as a list.

        Of those in AWS it says what they cost, as far as AWS's Price List API says it to you.
        """
        from sm_magics.display import jobs
        from sm_magics.hosting import connect, cost, endpoints

        options = parsing.parse(self.sm_endpoints, line)  # type: ignore[misc] # IPython types its decorators too wide
        settings, places = self.session.settings(options), self.session.places(options)
        found, shown_places, silent = [], [], {}
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
            shown_places.append(connection.place)
        in_aws = [endpoint for endpoint in found if not endpoint.connection.is_local]
        costs = {(one.where, one.name): cost.of(one) for one in in_aws[:_MOST_PRICED]}
        _note(in_aws, costs, {place for place in places if place not in silent})
        now = datetime.now(timezone.utc)
        self.session.show(jobs.endpoints(found, shown_places, costs, now=now, unreachable=silent))
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

    def _verified(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return what came of the package's recorded sample, which is sent once for each configuration in service."""
        package = self.session.last_package
        if package is None or package.sample is None:
            return ()
        from sm_magics.hosting import verifying

        key = (endpoint.where, endpoint.name, endpoint.config_name)
        if key not in self._answers and verifying.serves(endpoint, package):
            found = verifying.verify(endpoint, package)
            if found is None or found.answered is None:
                return (found.what,) if found else ()
            self._answers[key] = found.what
        return (self._answers[key],) if key in self._answers and endpoint.is_in_service else ()


def _note(endpoints: Sequence[Endpoint], costs: Mapping[tuple[str, str], Cost], places: set[str]) -> None:
    """Note what is in service in AWS, so that loading the extension can say so without asking."""
    alive = [one for one in endpoints if one.status != "Deleting" and one.created is not None]
    for place in places - {LOCAL}:
        seen.only(place, {one.name: one.created.timestamp() for one in alive if one.where == place and one.created})
    for one in alive:
        cost = costs.get((one.where, one.name))
        if cost is not None and cost.per_hour is not None and one.created:
            seen.note(one.where, one.name, one.created.timestamp(), str(cost.per_hour))
