"""``%sm_deploy``: packages become endpoints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument

from sm_magics.errors import DeploymentError
from sm_magics.settings import LOCAL

from . import checking, packaging, parsing
from .live import Live
from .session import SessionMagics

if TYPE_CHECKING:
    from sm_magics.hosting import Origin
    from sm_magics.packaging import Package


@magics_class
class DeploymentMagics(SessionMagics):
    """Packages become endpoints."""

    @no_var_expand
    @line_magic
    @parsing.magic
    @argument(
        "what", nargs="?", metavar="WHAT", help="a model variable, a Package or its path; default: the last package"
    )
    @argument("-e", "--endpoint-name", metavar="NAME", help="default: from the notebook's and the variable's name")
    @argument("--initial-instance-count", type=int, default=1, metavar="N", help="instances; on this machine: workers")
    @argument("--env", metavar="NAME=VALUE", action="append", default=[], help="variable of the container; repeatable")
    @argument("--update", action="store_true", help="update an endpoint of that name that is not this notebook's")
    @argument("--wait", action="store_true", help="return once it is in service (the default on this machine)")
    @argument("--no-wait", action="store_true", help="return at once")
    @parsing.hosted
    @packaging.package_options
    @checking.proof_options
    @checking.skippable
    @parsing.placed
    @parsing.foldered
    @parsing.out
    def sm_deploy(self, line: str) -> Any:
        """Deploy a model to an endpoint: on this machine, or with --instance-type ml.… in AWS.

        A model variable is packaged first. With a --sample the package is proven, as %sm_check does, unless it has
        been; one that fails is not deployed but with --no-check. An endpoint that this notebook made is updated in
        place, and answers all the while; the same package again changes nothing.
        """
        from sm_magics.display import render
        from sm_magics.hosting import deploy, machine
        from sm_magics.hosting.plan import check_name
        from sm_magics.packaging import Package

        options = parsing.parse(self.sm_deploy, line, self.session.shell.user_ns)
        if options.wait and options.no_wait:
            raise UsageError("%sm_deploy: --wait and --no-wait exclude each other.\n  hint: %sm_deploy?")
        if options.initial_instance_count < 1:
            raise UsageError("%sm_deploy: --initial-instance-count is at least 1.\n  hint: %sm_deploy?")
        env = _environment(options.env)
        session, settings = self.session, self.session.settings(options)
        name = check_name(options.endpoint_name or self._default_name(options.what))
        what = self._what(options)  # before anything is started
        is_local = settings.where == LOCAL
        if is_local:
            machine.prepare()
        with Live(session, name) as live:
            package = what if isinstance(what, Package) else packaging.build(session, what, options.what, options, live)
            if checking.is_known(package, options):
                model = None if package is what else what
                patience = checking.PATIENCE if is_local else 0.0
                proof = checking.prove(session, package, options, model=model, patience=patience, listener=live)
                checking.refuse_failed(session, proof)
            endpoint = deploy(
                package,
                name,
                settings=settings,
                origin=self._origin(package),
                initial_instance_count=options.initial_instance_count,
                env=env,
                update=options.update,
                wait=options.wait or (not options.no_wait and (is_local or not session.is_watched)),
                listener=live,
            )
            session.last_endpoint = endpoint
            session.regions.add(endpoint.where)
            live.finish(render.endpoint(endpoint), endpoint)
        return session.result(endpoint, options.out)

    def _what(self, options: argparse.Namespace) -> Any:
        """Return the package, or else the model, that a command names; the last package where it names none."""
        from sm_magics.packaging import Package

        if not options.what:
            if self.session.last_package is None:
                raise DeploymentError(
                    "Nothing has been packaged in this session yet.", hint=self._example("%sm_deploy")
                )
            return self.session.last_package
        value = packaging.resolve(self.session, options.what, "%sm_deploy")
        if isinstance(value, Path) and value.name.endswith((".tar.gz", ".tgz")):
            return Package.open(value)
        return value

    def _default_name(self, what: str | None) -> str:
        """Return a name from the notebook and the variable."""
        from sm_magics.hosting.plan import suggest_name

        session = self.session
        notebook = Path(session.notebook_path).stem if session.notebook_path else session.directory().name
        package = session.last_package
        variable = Path(what).name.split(".")[0] if what else (package.name if package else "model")
        value = session.shell.user_ns.get(what or "")
        variable = getattr(value, "name", variable) if type(value).__name__ == "Package" else variable
        return suggest_name(notebook[: 62 - len(variable[:40])], variable[:40]) or "model"

    def _origin(self, package: Package) -> Origin:
        from sm_magics.hosting import Origin

        return Origin(self.session.notebook_path, str(package.model_dir))

    def _example(self, command: str) -> str:
        models = packaging.model_variables(self.session)
        return f"{command} {models[0] if models else 'MODEL'}"


def _environment(given: list[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise UsageError(f"--env takes NAME=VALUE, not {name!r}.\n  hint: %sm_deploy --env MODEL_SIZE=small …")
    return {name: value for name, _, value in pairs}
