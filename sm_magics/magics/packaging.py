"""``%sm_package``: a model variable becomes ``model.tar.gz``."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument

from sm_magics.errors import ExpressionError
from sm_magics.progress import Listener, ignore

from . import checking, parsing
from .live import Live
from .session import SessionMagics, SmMagics

if TYPE_CHECKING:
    from sm_magics.packaging import Package

FORMATS = ("state_dict", "torchscript", "module")


def package_options(function: parsing.Magic) -> parsing.Magic:
    """Add the options that say how a model is saved and what travels with it."""
    return parsing.with_options(
        function,
        argument("--sample", metavar="EXPR", help="an input that the model takes: a variable or a quoted expression"),
        argument(
            "--with",
            dest="objects",
            metavar="NAMES",
            action="append",
            default=[],
            help="variables that the handlers use: --with scaler,tokenizer; repeatable",
        ),
        argument(
            "--include", metavar="PATH", action="append", default=[], help="a further file or pattern; repeatable"
        ),
        argument("--save-as", choices=FORMATS, help="how the weights are saved; default: what model_fn loads"),
        argument("--name", help="the package's name; default: the variable's"),
        argument("--archive", metavar="PATH", help="where to write it; default: model.tar.gz in the model directory"),
        argument("--force", action="store_true", help="replace files that sm_magics did not write; copies are kept"),
    )


def build(
    session: SmMagics, model: Any, expression: str, options: argparse.Namespace, listener: Listener = ignore
) -> Package:
    """Package a model, the value of an expression or a path, as the options say."""
    from sm_magics.packaging import package

    settings = session.settings(options)
    result = package(
        model,
        name=options.name or _name(expression, model),
        model_dir=session.directory(options.model_dir),
        archive=Path(options.archive).expanduser() if options.archive else None,
        save_as=options.save_as,
        include=options.include,
        objects=[name.strip() for names in options.objects for name in names.split(",") if name.strip()],
        sample=session.evaluate(options.sample) if options.sample else None,
        cells=session.cells(),
        namespace=session.shell.user_ns,
        author=session.author(),
        force=options.force,
        framework_version=settings.framework_version,
        image_uri=settings.image_uri,
        listener=listener,
    )
    session.last_package = result
    return result


def resolve(session: SmMagics, expression: str, command: str = "%sm_package") -> Any:
    """Return what a command's argument names: a variable, an expression such as ``trainer.model``, or a file.

    Raises
    ------
    ExpressionError
        If it names nothing, with the model variables that there are.
    """
    path = os.path.expanduser(expression)  # noqa: PTH111 - pathlib's raises where there is no such user
    if expression not in session.shell.user_ns and os.path.isfile(path):  # noqa: PTH113 - or where it is too long
        return Path(path)
    if re.search(r"\.(pth?|ckpt|tar\.gz|safetensors)$", expression) or expression.startswith(("/", "./", "~")):
        raise ExpressionError(
            f"There is no file {expression!r}.", hint=f"{command} MODEL    # a variable, or a path that exists"
        )
    try:
        return session.evaluate(expression)
    except ExpressionError as error:
        models = model_variables(session)
        if models and "no variable" in error.message:
            raise ExpressionError(
                error.message, hint=f"{command} {models[0]}    # models: {', '.join(models)}"
            ) from error
        raise


def model_variables(session: SmMagics) -> list[str]:
    """Return the names of variables that hold a torch module. Imports nothing: without torch there is none."""
    from sm_magics.authoring.torch_modules import is_module

    return session.variables(lambda value: is_module(type(value)))


def _name(expression: str, model: Any) -> str:
    from sm_magics.hosting.names import suggest_name

    words = expression if not isinstance(model, Path) else model.name.split(".")[0]
    return suggest_name(words) or "model"


@magics_class
class PackagingMagics(SessionMagics):
    """Model variables become archives."""

    @no_var_expand
    @line_magic
    @parsing.magic
    @argument("model", metavar="MODEL", help="the model: a variable, or the path of a saved model")
    @package_options
    @checking.proof_options
    @checking.skippable
    @parsing.foldered
    @parsing.out
    def sm_package(self, line: str) -> Any:
        """Save the model and build model.tar.gz, ready for SageMaker: model.pth, code/inference.py and requirements.

        Where no cell wrote a model_fn, one is written. With a --sample the package is proven as the last step, as
        %sm_check does; where nobody watches, as under nbclient and papermill, a proof that fails is an error. The
        same inputs give the same archive, byte for byte.
        """
        from sm_magics.authoring import CodeFolder
        from sm_magics.display import render

        options = parsing.parse(self.sm_package, line, self.session.shell.user_ns)
        model = resolve(self.session, options.model)
        with Live(self.session, options.name or options.model) as live:
            package = build(self.session, model, options.model, options, live)
            stale = CodeFolder(package.model_dir).stale(self.session.author())
            proof = None
            if checking.is_known(package, options):
                proof = checking.prove(self.session, package, options, model=model, listener=live)
            shown = render.package(package, stale, proof)
            live.finish(
                shown,
                card=lambda seconds: self.session.cards.package(
                    package, shown, proof=proof, stale=stale, seconds=seconds
                ),
            )
        result = self.session.result(package, options.out)
        if proof is not None:
            checking.stop_failed(self.session, proof)
        return result
