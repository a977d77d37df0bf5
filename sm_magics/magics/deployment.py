"""``%sm_deploy``: packages become endpoints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument

from sm_magics.errors import DeploymentError, ExpressionError
from sm_magics.settings import LOCAL

from . import checking, failures, packaging, parsing, planning
from .live import Live
from .session import SessionMagics

if TYPE_CHECKING:
    from sm_magics.display.page import Shown
    from sm_magics.hosting import Endpoint, Origin
    from sm_magics.hosting.plan import ModelData
    from sm_magics.packaging import Package


@magics_class
class DeploymentMagics(SessionMagics):
    """Packages become endpoints."""

    @no_var_expand
    @line_magic
    @parsing.magic
    @argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help="a model variable, a Package or its path, a training job; default: the last package",
    )
    @argument("-e", "--endpoint-name", metavar="NAME", help="default: from the notebook's and the variable's name")
    @argument("--update", action="store_true", help="update an endpoint of that name that is not this notebook's")
    @argument("--wait", action="store_true", help="return once it is in service (the default on this machine)")
    @argument("--no-wait", action="store_true", help="return at once")
    @parsing.placed
    @parsing.hosted
    @planning.deployment_options
    @packaging.package_options
    @checking.proof_options
    @checking.skippable
    @parsing.foldered
    @parsing.out
    def sm_deploy(self, line: str) -> Any:
        """Deploy a model to an endpoint: on this machine, or with --instance-type ml.… in AWS.

        A model variable is packaged first; a training job's model is combined with code/. A PyTorchModel, an Estimator
        or a ModelTrainer of the SageMaker SDK is deployed, too. With a --sample the package is proven, as %sm_check
        does, unless it has been; one that fails is not deployed but with --no-check. An endpoint that this notebook
        made is updated in place, and answers all the while; the same package again changes nothing. Once it is in
        service and was waited for, it is sent the sample, and its answer compared with the notebook's.

        --dry-run shows every request first, --export writes them as a script; both send nothing.
        """
        from sm_magics.display import render
        from sm_magics.hosting import cost, deploy, machine, prepare
        from sm_magics.hosting.names import check_name
        from sm_magics.packaging import Package

        options = parsing.parse(self.sm_deploy, line, self.session.shell.user_ns)
        if options.wait and options.no_wait:
            raise UsageError("%sm_deploy: --wait and --no-wait exclude each other.\n  hint: %sm_deploy?")
        wanted = planning.asked(options)
        session, settings = self.session, self.session.settings(options)
        name = check_name(options.endpoint_name or self._default_name(options.what))
        what = self._what(options)  # before anything is started
        is_local = settings.where == LOCAL
        if is_local:
            machine.prepare()
        with Live(session, name) as live:
            package = self._deployable(what, options, live)
            if isinstance(package, Package) and checking.is_known(package, options):
                model = None if package is what else what
                patience = checking.PATIENCE if is_local else 0.0
                proof = checking.prove(session, package, options, model=model, patience=patience, listener=live)
                checking.refuse_failed(session, proof)
            told: dict[str, Any] = {"settings": settings, "origin": self._origin(package), "update": options.update}
            if planning.is_only_planned(options):
                plan = prepare(package, name, options=wanted, **told)
                live.finish(planning.show(plan, options))
                return session.result(plan, options.out)
            with failures.shown(session, lambda failed, card: self._finish(live, failed, card)):
                endpoint = deploy(
                    package,
                    name,
                    **told,
                    **vars(wanted),
                    wait=options.wait or (not options.no_wait and (is_local or not session.is_watched)),
                    proof=checking.own_proof(session, package) if isinstance(package, Package) else None,
                    listener=live,
                )
            if not is_local:
                cost.note(endpoint)
            self._finish(live, endpoint, render.endpoint(endpoint))
        return session.result(endpoint, options.out)

    def _finish(self, live: Live, endpoint: Endpoint, shown: Shown) -> None:
        """Show what came of a deployment. The endpoint is the latest one, also where it failed."""
        self.session.last_endpoint = endpoint
        self.session.regions.add(endpoint.where)
        live.finish(shown, endpoint)

    def _what(self, options: argparse.Namespace) -> Any:
        """Return the package, the model or the training job that a command names; else the last package."""
        from sm_magics.packaging import Package

        if not options.what:
            if self.session.last_package is None:
                raise DeploymentError(
                    "Nothing has been packaged in this session yet.", hint=self._example("%sm_deploy")
                )
            return self.session.last_package
        try:
            value = packaging.resolve(self.session, options.what, "%sm_deploy")
        except ExpressionError:
            if not planning.is_job_name(options.what):
                raise
            return self._job(options)
        if isinstance(value, Path) and value.name.endswith((".tar.gz", ".tgz")):
            return Package.open(value)
        return value

    def _job(self, options: argparse.Namespace) -> Any:
        """Return the training job that a word is the name of."""
        from sm_magics.hosting.training import attach

        return attach(options.what, self.session.settings(options))

    def _deployable(self, what: Any, options: argparse.Namespace, live: Live) -> Package | ModelData:
        """Return a package of whatever a command names, or what an SDK's model has in S3."""
        from sm_magics.hosting import native
        from sm_magics.packaging import Package

        session = self.session
        if isinstance(what, Package):
            return what
        if native.is_model(what):
            return native.model_data(what, session.settings(options))
        if not native.is_job(what):
            return packaging.build(session, what, options.what, options, live)
        package = native.training_job(what, session.settings(options)).package(
            name=options.name or "",
            model_dir=session.directory(options.model_dir),
            archive=Path(options.archive).expanduser() if options.archive else None,
            sample=session.evaluate(options.sample) if options.sample else None,
            author=session.author(),
            force=options.force,
            listener=live,
        )
        session.last_package = package
        return package

    def _default_name(self, what: str | None) -> str:
        """Return a name from the notebook and the variable."""
        from sm_magics.hosting.names import suggest_name

        session = self.session
        notebook = Path(session.notebook_path).stem if session.notebook_path else session.directory().name
        package = session.last_package
        variable = Path(what).name.split(".")[0] if what else (package.name if package else "model")
        value = session.shell.user_ns.get(what or "")
        variable = getattr(value, "name", variable) if type(value).__name__ == "Package" else variable
        return suggest_name(notebook[: 62 - len(variable[:40])], variable[:40]) or "model"

    def _origin(self, package: Package | ModelData) -> Origin:
        from sm_magics.hosting import Origin

        directory = getattr(package, "model_dir", None) or self.session.directory()
        return Origin(self.session.notebook_path, str(directory))

    def _example(self, command: str) -> str:
        models = packaging.model_variables(self.session)
        return f"{command} {models[0] if models else 'MODEL'}"
