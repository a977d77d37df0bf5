"""``%sm_delete``: endpoints go, with all that was made for them, after it was listed and agreed to."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument

from sm_magics.errors import DeploymentError, EndpointNotFound

from . import parsing
from .session import SessionMagics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm_magics.hosting import Endpoint, Removal
    from sm_magics.hosting.begun import Begun


@magics_class
class DeletingMagics(SessionMagics):
    """Endpoints go."""

    @line_magic
    @parsing.magic
    @argument("endpoints", nargs="*", metavar="ENDPOINT", help="names or Endpoint variables; default: the latest one")
    @argument("--dry-run", action="store_true", help="only list what would go")
    @argument("--yes", action="store_true", help="do not ask; in AWS needed where nobody can answer")
    @argument("--artifacts", action="store_true", help="in AWS, delete the model data in S3 too (here it always goes)")
    @argument("--unfinished", action="store_true", help="what deployments and uploads left that were broken off")
    @parsing.placed
    def sm_delete(self, line: str) -> Any:
        """Delete endpoints with their configurations and models. What something else uses stays.

        What is in AWS is listed first, and asked about. An endpoint that AWS will not delete in the state that it is
        in is waited for. What an interrupted deployment has left goes by its endpoint's name, too; --unfinished takes
        away all that %sm_endpoints lists as such, and no endpoint.
        """
        from sm_magics.display import render
        from sm_magics.hosting import removal

        options = parsing.parse(self.sm_delete, line)
        session = self.session
        if options.unfinished:
            if options.endpoints:
                raise UsageError("%sm_delete: --unfinished takes no names.\n  hint: %sm_delete --unfinished")
            self._delete_unfinished(options)
            return
        # All are looked up before the first one goes: a mistyped name deletes nothing.
        plans = [self._removal(name, options) for name in dict.fromkeys(options.endpoints) or [None]]
        if options.dry_run:
            for plan in plans:
                session.show(render.removal_plan(plan))
            return
        self._agreed(plans, options)
        for looked_up in plans:
            # Again: what the one before it used too is free by now.
            plan = self._limited(removal.of(looked_up.endpoint), options)
            removal.remove(plan)
            last = session.last_endpoint
            if last is not None and (last.where, last.name) == (plan.endpoint.where, plan.endpoint.name):
                session.last_endpoint = None
            session.show(render.removal(plan))

    def _removal(self, name: str | None, options: argparse.Namespace) -> Removal:
        """Return what goes: with an endpoint, or else what a deployment left that did not get to it."""
        from sm_magics.hosting import Endpoint, removal

        session = self.session
        try:
            endpoint = session.endpoint(name, options)
        except EndpointNotFound:
            if not name:
                raise
            for place in session.places(options):
                with suppress(EndpointNotFound):
                    found = removal.of(Endpoint(name, place, settings=session.settings(options)))
                    return self._limited(found, options)
            raise
        return self._limited(removal.of(endpoint), options)

    def _delete_unfinished(self, options: argparse.Namespace) -> None:
        """Take away what was begun from here and not brought to an end; no endpoint."""
        from sm_magics.display import render, unfinished
        from sm_magics.hosting import begun, connect, leftovers, removal

        session = self.session
        found = leftovers.known({options.region} if options.region else ())
        if found:
            session.show(unfinished.listed(found))
        else:
            session.show(unfinished.nothing())
        endpoints = [self._begun(one, options) for one in found.deployments]
        plans = [self._limited(removal.unused(endpoint), options) for endpoint in endpoints]
        if options.dry_run:
            for plan in plans:
                session.show(render.removal_plan(plan))
            return
        self._agreed([plan for plan in plans if plan.rows], options)
        for endpoint, plan in zip(endpoints, plans, strict=True):
            if plan.rows:
                removal.remove(plan)
                session.show(render.removal(plan))
            begun.forget(endpoint.where, endpoint.name)
        for region in dict.fromkeys(one.region for one in found.uploads):
            ended = leftovers.end_uploads(connect(session.settings(options).override(region=region)))
            session.show(unfinished.ended(*ended))

    def _begun(self, one: Begun, options: argparse.Namespace) -> Endpoint:
        """Return the endpoint that a deployment was begun for."""
        from sm_magics.hosting import Endpoint

        settings = self.session.settings(options)
        return Endpoint(one.name, one.where, settings=settings.override(profile=settings.profile or one.profile))

    def _limited(self, plan: Removal, options: argparse.Namespace) -> Removal:
        """Return what goes without the model data where that stays."""
        return plan if options.artifacts or plan.endpoint.connection.is_local else plan.keeping_data()

    def _agreed(self, plans: Sequence[Removal], options: argparse.Namespace) -> None:
        """Ask whether what is in AWS is to go.

        Raises
        ------
        DeploymentError
            If the answer is no, or nobody can answer.
        """
        from sm_magics.display import render

        asked = [plan for plan in plans if not plan.endpoint.connection.is_local]
        if options.yes or not asked:
            return
        names = " ".join(plan.endpoint.name for plan in asked)
        command = "%sm_delete --unfinished --yes"
        if not options.unfinished:
            command = f"%sm_delete {names} --region {asked[0].endpoint.where} --yes"
        what = f"what is left of {names}" if options.unfinished else names
        nobody = DeploymentError(
            f"Not deleted: {what} in AWS, since nobody can be asked here.", hint=f"{command}    # does not ask"
        )
        if not self.session.is_watched:
            raise nobody
        for plan in asked:
            self.session.show(render.removal_plan(plan))
        try:
            agreed = self.session.shell.ask_yes_no(f"Delete {what}? (y/n)", default="n")
        except (OSError, EOFError, NotImplementedError) as error:  # no terminal, a front end without a prompt
            raise nobody from error
        if not agreed:
            raise DeploymentError(f"Not deleted: {what}.", hint=f"{command}    # when it may go")
