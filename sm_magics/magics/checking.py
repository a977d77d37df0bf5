"""``%sm_check``: a package is proven in a clean process, before anybody deploys it."""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument

from sm_magics.errors import ExpressionError, PackagingError, PayloadError, ProofFailed
from sm_magics.payload import encode
from sm_magics.progress import Listener, ignore

from . import parsing
from .live import Live
from .session import SessionMagics, SmMagics

if TYPE_CHECKING:
    from sm_magics.packaging import Package, Report

JSON = "application/json"
TOLERANCE = 1e-4
Proven = tuple[str, tuple[Any, ...], object, object]
"""Which package a proof is of, how it was asked, with which sample, and which answer was expected."""
PATIENCE = 20.0
"""Seconds that a proof waits for the warm process of the service that is just starting."""


def proof_options(function: parsing.Magic) -> parsing.Magic:
    """Add the options that say how a package is proven."""
    return parsing.with_options(
        function,
        argument("--expect", metavar="EXPR", help="the answer to the sample; default: what the live model gives"),
        argument("--content-type", metavar="TYPE", default=JSON, help=f"how the sample is sent; default: {JSON}"),
        argument("--accept", metavar="TYPE", default=JSON, help=f"how the answer is asked for; default: {JSON}"),
        argument(
            "--tolerance",
            type=_share,
            default=TOLERANCE,
            metavar="SHARE",
            help=f"how far a number may be off, as a share of the largest beside it; default: {TOLERANCE:g}",
        ),
        argument(
            "--like-container",
            action="store_true",
            help="prove it under the container's own versions of Python and torch, in an environment made for that",
        ),
    )


def skippable(function: parsing.Magic) -> parsing.Magic:
    """Add ``--no-check`` to a magic: it goes on without a proof, or although one has failed."""
    help_text = "do without the proof in a clean process, which is made where a --sample is known"
    decorated: parsing.Magic = argument("--no-check", action="store_true", help=help_text)(function)
    return decorated


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, from 0 up to 1")
    return value


def prove(
    session: SmMagics,
    package: Package,
    options: argparse.Namespace,
    *,
    model: Any = None,
    patience: float = 0.0,
    listener: Listener = ignore,
) -> Report:
    """Prove a package as the options say. What was proven in the same way before is not proven again."""
    from sm_magics.packaging import proof

    nothing = proof.NOTHING
    sample = session.evaluate(options.sample) if options.sample else package.sample
    sample = nothing if sample is None and not options.sample else sample
    expect = session.evaluate(options.expect) if options.expect else nothing
    way = (options.content_type, options.accept, options.tolerance, options.like_container, *_environment(options))
    key: Proven = (package.digest, way, _content(sample, options.content_type), _content(expect, JSON))
    for known, its_key in session.proofs:
        if its_key == key:
            return known
    live = model if model is not None else session.shell.user_ns.get(package.source)
    report = proof.prove(
        package,
        sample=sample,
        model=live,
        expect=expect,
        content_type=options.content_type,
        accept=options.accept,
        tolerance=options.tolerance,
        environ=dict(_environment(options)),
        container=_container(session, package, options),
        like=options.like_container,
        author=session.author(),
        ran=session.executed.cells(),
        patience=patience,
        listener=listener,
    )
    session.proofs.append((report, key))
    return report


def own_proof(session: SmMagics, package: Package) -> Report | None:
    """Return the last proof in this session that a package passed with its own sample, None if there was none."""
    for report, (digest, way, sample, _) in reversed(session.proofs):
        if digest == package.digest and report.passed and sample == _content(package.sample, way[0]):
            return report
    return None


def _content(value: Any, content_type: str) -> object:
    """Return what is the same for values that are sent as the same bytes; for what cannot be sent, it never is."""
    from sm_magics.packaging import proof

    if value is proof.NOTHING:
        return None
    try:
        return sha256(encode(value, content_type)).digest()
    except PayloadError:
        return object()


def is_known(package: Package, options: argparse.Namespace) -> bool:
    """Return whether a command proves the package: a sample is known, and nothing says not to."""
    return not options.no_check and bool(options.sample or package.sample is not None)


def refuse_failed(session: SmMagics, report: Report) -> None:
    """Refuse a package whose proof has failed, after showing why.

    Raises
    ------
    ProofFailed
        If it has.
    """
    from sm_magics.display import report as drawn

    if report.passed:
        return
    session.show(drawn.report(report))
    raise _failed(report, "is not deployed, its proof failed", "deploys it all the same")


def stop_failed(session: SmMagics, report: Report) -> None:
    """Stop the run of a notebook that nobody watches at a package whose proof has failed; it is shown already.

    Raises
    ------
    ProofFailed
        If it has. Who watches sees it, and may look into the package.
    """
    if not (report.passed or session.is_watched):
        raise _failed(report, "is packaged, but its proof failed", "packages it without the proof")


def _failed(report: Report, what: str, way_out: str) -> ProofFailed:
    said = report.failure.summary if report.failure else "it does not work in a clean process"
    return ProofFailed(
        f"{report.name} {what}: {said.splitlines()[0]}", hint=f"--no-check    # {way_out}", report=report
    )


def _environment(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    pairs = [pair.partition("=") for pair in getattr(options, "env", [])]
    return tuple((name, value) for name, _, value in pairs)


def _container(session: SmMagics, package: Package, options: argparse.Namespace) -> Any:
    """Return what is known of the container's image: the one that is asked for, else the one nearest to the package."""
    from sm_magics.authoring.image import image
    from sm_magics.packaging.proving.container import Container

    settings = session.settings(options)
    found = None if settings.image_uri else image(settings.framework_version, torch=package.torch or None)
    return Container() if found is None else Container(found.python, found.torch, found.packages)


@magics_class
class CheckingMagics(SessionMagics):
    """Packages are proven."""

    @no_var_expand
    @line_magic
    @parsing.magic
    @argument("package", nargs="?", metavar="PACKAGE", help="a Package variable or a path; default: the last package")
    @argument("--sample", metavar="EXPR", help="what the endpoint would be sent; default: the package's own sample")
    @proof_options
    @argument("--framework-version", metavar="VERSION", help="torch version of the container image")
    @parsing.out
    def sm_check(self, line: str) -> Any:
        """Prove a package in a clean process that sees nothing of the notebook.

        The archive is extracted, loaded by its own model_fn, and called with the sample; its answer is compared with
        what the same handlers give with the live model. Only what the container image has and code/requirements.txt
        asks for can be imported there. An error is shown at the line of the cell that caused it.
        """
        from sm_magics.display import report as drawn

        options = parsing.parse(self.sm_check, line, self.session.shell.user_ns)
        package = self._package(options.package)
        with Live(self.session, package.name) as live:
            report = prove(self.session, package, options, listener=live)
            live.finish(drawn.report(report))
        return self.session.result(report, options.out)

    def _package(self, expression: str | None) -> Package:
        from sm_magics.packaging import Package

        session = self.session
        if not expression:
            if session.last_package is None:
                raise PackagingError(
                    "Nothing has been packaged in this session yet.", hint="%sm_package MODEL --sample EXPR"
                )
            return session.last_package
        value = session.shell.user_ns.get(expression)
        if value is None and expression.endswith((".tar.gz", ".tgz")):
            return Package.open(Path(expression).expanduser())
        value = session.evaluate(expression) if value is None else value
        if isinstance(value, Package):
            return value
        if isinstance(value, Path):
            return Package.open(value)
        raise ExpressionError(
            f"{expression} is a {type(value).__name__}; %sm_check takes a Package, or the path of a model.tar.gz.",
            hint=f"%sm_package {expression} --sample EXPR    # packages it, and proves it",
        )
