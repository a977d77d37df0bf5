"""``%sm_predict``: a value goes to an endpoint, its answer is shown and returned."""

from __future__ import annotations

import argparse
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, kwds

from sm_magics.errors import ExpressionError, ModelError, PayloadError
from sm_magics.payload import natural

from . import failures, parsing
from .session import SessionMagics

if TYPE_CHECKING:
    from sm_magics.display.answers import Labels
    from sm_magics.hosting import Endpoint

JSON = "application/json"


@magics_class
class CallingMagics(SessionMagics):
    """Values go to endpoints."""

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @parsing.magic
    @kwds(usage="%(prog)s [options] EXPRESSION")
    @argument(
        "-e", "--endpoint-name", metavar="ENDPOINT", help="a name or an Endpoint variable; default: the latest one"
    )
    @argument(
        "--content-type", metavar="TYPE", help=f"how the value is sent; default: {JSON}, of an image its own type"
    )
    @argument("--accept", metavar="TYPE", default=JSON, help=f"how the answer is asked for; default: {JSON}")
    @argument(
        "--custom-attributes", metavar="TEXT", default="", help="text that handlers find in their context, as a header"
    )
    @argument("--file", metavar="PATH", help="send this file's bytes, as the type that its name says")
    @argument("--labels", metavar="EXPR", help="what the classes are called: a list, or a file with one a line")
    @argument("--repeat", type=int, default=1, metavar="N", help="send it N times, and show how long that took")
    @parsing.placed
    @parsing.out
    def sm_predict(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Send a value to an endpoint, show the answer and return it.

        After the options the rest of the line is a Python expression, taken as it stands: %sm_predict x[:2, 0].
        As a cell magic the cell itself is the payload, sent as it is.
        """
        from sm_magics.display import answers

        options, expression = parsing.parse_leading(
            self.sm_predict, line, {**self.session.shell.user_ns, **(local_ns or {})}
        )
        if options.repeat < 1:
            raise UsageError("%sm_predict: --repeat is at least 1.\n  hint: %sm_predict?")
        if sum((bool(expression), bool(options.file), cell is not None)) > 1:
            raise UsageError("%sm_predict sends one thing: an expression, --file, or the cell.\n  hint: %sm_predict?")
        kind = JSON
        labels = self._labels(options.labels, local_ns) if options.labels else ()
        if cell is not None:
            payload: Any = cell.rstrip("\n").encode()
        elif options.file:
            payload, kind = _file(options.file)
        elif expression:
            payload, kind = natural(self._value(expression, local_ns))
        elif self.session.is_alive:
            return self._panel(options)
        else:
            raise UsageError("%sm_predict needs a value to send.\n  hint: %sm_predict x[:2]    # or %sm_predict?")
        endpoint = self.session.endpoint(options.endpoint_name, options)
        seconds: list[float] = []
        try:
            with failures.shown(self.session):  # it may be on its way still
                for _ in range(options.repeat):
                    prediction = endpoint.predict(
                        payload,
                        content_type=options.content_type or kind,
                        accept=options.accept,
                        custom_attributes=options.custom_attributes,
                    )
                    seconds.append(prediction.seconds)
        except ModelError as error:
            self._show_failure(error, endpoint)
            self._mind_the_type(error, options.content_type or kind)
            raise
        self.session.show(answers.prediction(prediction, labels, seconds if options.repeat > 1 else ()))
        return self.session.result(prediction.value, options.out)

    def _value(self, expression: str, local_ns: dict[str, Any] | None) -> Any:
        """Return the value of the expression; an option behind it, which it cannot be told from, is said."""
        try:
            return self.session.evaluate(expression, local_ns)
        except ExpressionError as error:
            at = parsing.late_option(self.sm_predict, expression)
            if at is None:
                raise
            option, first = expression[at:].strip(), expression[:at].strip()
            raise UsageError(
                f"%sm_predict: {option.split()[0]} stands behind the expression; options stand before it.\n"
                f"  hint: %sm_predict {option} {first}"
            ) from error

    def _show_failure(self, error: ModelError, endpoint: Endpoint) -> None:
        """Show the line of the cell that raised, where that is known: the error itself is text, without a link."""
        from sm_magics.display import followed

        why = failures.name_cell(self.session, error, endpoint)
        if why is not None and why.frame is not None:
            self.session.show(followed.refusal(endpoint, why, self.session.notebook_path))
            failures.leave_traceback_to_card(self.session, error)

    def _mind_the_type(self, error: ModelError, content_type: str) -> None:
        """Hint at the content type that the package was proven with, if something else was sent."""
        package = self.session.last_package
        known = [
            report.content_type
            for report, _ in self.session.proofs
            if package is not None and report.digest == package.digest and report.passed and report.content_type
        ]
        if known and content_type not in known:
            error.hint = f"--content-type {known[-1]}    # is what its proof was sent, this was {content_type}"

    def _panel(self, options: argparse.Namespace) -> None:
        """Show the panel that sends what is typed into it."""
        from sm_magics.display.panel import Panel

        endpoint = self.session.endpoint(options.endpoint_name, options)
        panel = Panel(endpoint, self.session.evaluate)
        self.session.show(panel.shown)
        self.session.shell.display_pub.publish(panel.bundle())

    def _labels(self, given: str, local_ns: dict[str, Any] | None) -> Labels:
        """Return the names of the classes: a file's lines, or the expression's list or dict."""
        path = Path(given).expanduser()
        if path.suffix and path.is_file():
            return _lines(given)
        value = self.session.evaluate(given, local_ns)
        if isinstance(value, Mapping):
            return {key: str(name) for key, name in value.items()}
        try:
            return [str(name) for name in value]
        except TypeError as error:
            raise PayloadError(
                f"--labels takes a list of names, one for each class, not {type(value).__name__}.",
                hint="--labels \"['cat', 'dog']\"    # or a variable, or a file with one name a line",
            ) from error


def _file(given: str) -> tuple[bytes, str]:
    return _read(given), mimetypes.guess_type(Path(given).name)[0] or "application/octet-stream"


def _read(given: str) -> bytes:
    try:
        return Path(given).expanduser().read_bytes()
    except OSError as error:
        raise PayloadError(f"{given} cannot be read: {error.strerror}.", hint="%ls    # what is here") from error


def _lines(given: str) -> list[str]:
    try:
        return _read(given).decode().splitlines()
    except UnicodeDecodeError as error:
        raise PayloadError(f"{given} is not text in UTF-8.", hint=f"!file {given}") from error
