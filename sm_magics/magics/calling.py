"""``%sm_predict``: a value goes to an endpoint, its answer is shown and returned."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument

from sm_magics.errors import PayloadError

from . import parsing
from .session import SessionMagics

JSON = "application/json"


@magics_class
class CallingMagics(SessionMagics):
    """Values go to endpoints."""

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @parsing.magic
    @argument(
        "-e", "--endpoint-name", metavar="ENDPOINT", help="a name or an Endpoint variable; default: the latest one"
    )
    @argument("--content-type", metavar="TYPE", help=f"how the value is sent; default: {JSON}")
    @argument("--accept", metavar="TYPE", default=JSON, help=f"how the answer is asked for; default: {JSON}")
    @argument("--file", metavar="PATH", help="send this file's bytes, as the type that its name says")
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
        kind = options.content_type or JSON
        if sum((bool(expression), bool(options.file), cell is not None)) > 1:
            raise UsageError("%sm_predict sends one thing: an expression, --file, or the cell.\n  hint: %sm_predict?")
        if cell is not None:
            payload: Any = cell.rstrip("\n").encode()
        elif options.file:
            payload, guessed = _file(options.file)
            kind = options.content_type or guessed
        elif expression:
            payload = self.session.evaluate(expression, local_ns)
        else:
            raise UsageError("%sm_predict needs a value to send.\n  hint: %sm_predict x[:2]    # or %sm_predict?")
        endpoint = self.session.endpoint(options.endpoint_name, options)
        prediction = endpoint.predict(payload, content_type=kind, accept=options.accept)
        self.session.show(answers.prediction(prediction))
        return self.session.result(prediction.value, options.out)


def _file(given: str) -> tuple[bytes, str]:
    path = Path(given).expanduser()
    try:
        return path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    except OSError as error:
        raise PayloadError(f"{given} cannot be read: {error.strerror}.", hint="%ls    # what is here") from error
