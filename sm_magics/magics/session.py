"""What the magics of one kernel share: the settings, who the notebook is, what was made last, how things are shown."""

from __future__ import annotations

import difflib
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics
from traitlets import Bool, Unicode
from traitlets.config import Configurable

from sm_magics.errors import ExpressionError, SmMagicsError
from sm_magics.settings import LOCAL, Settings, resolve

from .cards import Cards
from .executed import Executed
from .samples import Samples

if TYPE_CHECKING:
    from sm_magics.authoring import Author
    from sm_magics.display.page import Shown
    from sm_magics.display.widgets import Card
    from sm_magics.hosting import Endpoint
    from sm_magics.packaging import Package, Report

    from .checking import Proven


class SmMagics(Configurable):
    """Settings of the sm_magics extension. Each can be given on the line instead, and is then the stronger.

    ``%config SmMagics`` shows them, ``%config SmMagics.instance_type = "ml.m5.large"`` sets one.
    """

    instance_type = Unicode("", help="'local' (the default) or an instance type such as ml.m5.large.").tag(config=True)
    region = Unicode("", help="'local' (the default) or an AWS region.").tag(config=True)
    role = Unicode("", help="ARN of the execution role, for AWS.").tag(config=True)
    bucket = Unicode("", help="S3 bucket for model data, for AWS.").tag(config=True)
    profile = Unicode("", help="AWS profile.").tag(config=True)
    framework_version = Unicode("", help="torch version of the container image, for AWS.").tag(config=True)
    py_version = Unicode("", help="Python of the container image, such as py312, for AWS.").tag(config=True)
    image_uri = Unicode("", help="Container image, for AWS.").tag(config=True)
    kms_key = Unicode("", help="Key that encrypts the upload, the volumes and captured data, for AWS.").tag(config=True)
    subnets = Unicode("", help="Subnets of a VPC, separated by commas, for AWS.").tag(config=True)
    security_group_ids = Unicode("", help="Security groups of that VPC, separated by commas.").tag(config=True)
    enable_network_isolation = Bool(default_value=False, help="Containers that reach no network.").tag(config=True)
    model_dir = Unicode("", help="Directory of code/, model.pth and model.tar.gz.").tag(config=True)
    notebook = Unicode("", help="The notebook's path, where the front end does not tell it.").tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(parent=shell)
        self.shell = shell
        self.id = uuid.uuid4().hex
        self.last_package: Package | None = None
        self.last_endpoint: Endpoint | None = None
        self.regions: set[str] = set()
        self.proofs: list[tuple[Report, Proven]] = []
        self.completer: Any = None
        self.cards = Cards(self)
        self.samples = Samples(self)
        self.executed = Executed(shell)
        self._results: list[Any] = []  # of the running cell
        self._formatters: dict[type, Any] = {}  # what showed their types before

    # -- settings -------------------------------------------------------------------------------------------------

    def settings(self, options: Any = None) -> Settings:
        """Return the settings that hold for a command with these options."""
        flags = {name: value for name, value in vars(options).items() if value} if options else {}
        configured = {name: getattr(self, name) for name in self.trait_names(config=True)}
        return resolve(flags, configured)

    def directory(self, given: str | None = None) -> Path:
        """Return the model directory: the option's, the configured one, else the notebook's own (the kernel's cwd)."""
        return Path(given or self.model_dir or os.curdir).expanduser().absolute()

    @property
    def notebook_path(self) -> str:
        """The notebook's path, empty where nothing tells it (nbclient, a terminal)."""
        told = self.shell.user_ns.get("__vsc_ipynb_file__")  # Visual Studio Code
        return self.notebook or (told if isinstance(told, str) else "") or os.environ.get("JPY_SESSION_NAME", "")

    def author(self) -> Author:
        """Return who writes files for the running cell."""
        from sm_magics.authoring import Author

        kernel = getattr(self.shell, "kernel", None)
        parent: Mapping[str, Any] = kernel.get_parent() if kernel is not None else {}
        cell_id = parent.get("metadata", {}).get("cellId", "") if parent else ""
        return Author(self.notebook_path, self.id, self._running(), cell_id)

    def _running(self) -> int:
        """Return the number of the running cell.

        The shell's own count is the next one's while a cell runs since IPython 9.18, and was the running one's before.
        """
        history = getattr(self.shell, "history_manager", None)
        return len(history.input_hist_parsed) - 1 if history is not None else self.shell.execution_count

    @property
    def is_watched(self) -> bool:
        """Whether somebody is there: under nbclient, papermill and nbval the kernel is not allowed to ask for input."""
        kernel = getattr(self.shell, "kernel", None)
        return kernel is None or bool(getattr(kernel, "_allow_stdin", True))

    @property
    def is_alive(self) -> bool:
        """Whether what is shown can go on living: somebody watches, in a front end that a kernel talks to."""
        return getattr(self.shell, "kernel", None) is not None and self.is_watched

    # -- the notebook's own values --------------------------------------------------------------------------------

    def evaluate(self, expression: str, local: Mapping[str, Any] | None = None) -> Any:
        """Return the value of an expression in the notebook.

        Parameters
        ----------
        local
            The variables of the function that the magic was called in, if it was.

        Raises
        ------
        ExpressionError
            If it raises, or a name in it does not exist.
        """
        try:
            return self.shell.ev(expression) if local is None else eval(expression, {**self.shell.user_ns, **local})  # noqa: S307 - the user's own expression
        except SmMagicsError:
            raise
        except (SyntaxError, ValueError) as error:
            if isinstance(error, ValueError) and "null bytes" not in str(error):  # what Python 3.10 and 3.11 raise
                raise self._raised(expression, error) from error
            raise ExpressionError(
                f"{expression!r} is not a Python expression: {getattr(error, 'msg', error)}.",
                hint='%sm_predict -o y x[:2]    # options first; an option\'s expression is quoted: --sample "x[:2]"',
            ) from error
        except Exception as error:
            if isinstance(error, NameError) and error.name:
                raise self._unknown(error.name) from error
            raise self._raised(expression, error) from error

    def _raised(self, expression: str, error: Exception) -> ExpressionError:
        return ExpressionError(
            f"{expression} raised {type(error).__name__}: {error}",
            hint=f"{expression}    # in a cell of its own, shows where",
        )

    def _unknown(self, name: str) -> ExpressionError:
        close = difflib.get_close_matches(name, self.variables(lambda value: not isinstance(value, ModuleType)), 1)
        hint = f"{close[0]}    # did you mean this variable?" if close else "%who    # lists the variables there are"
        return ExpressionError(f"There is no variable {name!r} in this notebook.", hint=hint)

    def run(self, cell: str) -> None:
        """Run a cell's code in the notebook.

        Raises
        ------
        ExpressionError
            If it raises. IPython has shown its traceback by then.
        """
        result = self.shell.run_cell(cell, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise ExpressionError(
                f"The cell is written, and raised {type(error).__name__} in the notebook.",
                hint="%%sm_inference    # without --run it is only written",
            )

    def variables(self, accept: Callable[[Any], bool] | None = None) -> list[str]:
        """Return the names of the notebook's own variables, those whose value is accepted."""
        hidden = self.shell.user_ns_hidden
        return [
            name
            for name, value in self.shell.user_ns.items()
            if not name.startswith("_") and name not in hidden and (accept is None or accept(value))
        ]

    def cells(self) -> list[str]:
        """Return the sources of the cells run so far, oldest first, as Python."""
        return self.executed.sources()

    # -- results --------------------------------------------------------------------------------------------------

    def show(self, shown: Shown) -> None:
        """Show one thing in the cell."""
        # Not IPython.display.display: that one asks for the process's shell, and this is the session's.
        self.shell.display_pub.publish(shown.bundle())

    def show_endpoint(self, endpoint: Endpoint, shown: Shown) -> None:
        """Show what is given, and where somebody watches a card of the endpoint that goes on living."""
        self.show_alive(shown, lambda shown: self.cards.of(endpoint, shown))

    def show_alive(self, shown: Shown, card: Callable[[Shown], Card | None]) -> None:
        """Show what is given, and the card that is made where somebody watches."""
        self.show(shown)
        made = card(shown)
        if made is not None:
            self.shell.display_pub.publish(made.bundle())

    def result(self, value: Any, name: str | None) -> Any:
        """Store a magic's result where ``-o`` says, and return it; it displays nothing further in this cell."""
        if name:
            self.shell.user_ns[name] = value
        self._silence(value)
        return value

    @property
    def formatters(self) -> Any:
        """IPython's formatters."""
        return self.shell.display_formatter

    def _silence(self, value: Any) -> None:
        """Keep the display hook from showing a value that has been shown, until the cell ends.

        A formatter that raises NotImplementedError leaves a value to the next formatter (IPython), so other values
        of the same type are shown as ever.
        """
        kind = type(value)
        self._results.append(value)
        if value is None or kind in self._formatters:
            return

        def show_unless_shown(candidate: Any) -> None:
            if any(candidate is result for result in self._results):
                return
            former = self._formatters.get(kind)
            if former is None:
                raise NotImplementedError
            former(candidate)

        formatter = self.formatters.ipython_display_formatter
        self._formatters[kind] = formatter.for_type(kind, show_unless_shown)

    def after_cell(self, *_result: Any) -> None:
        """Forget what this cell has shown; called by IPython when the cell has ended."""
        formatter = self.formatters.ipython_display_formatter
        for kind, former in self._formatters.items():
            formatter.pop(kind, None)
            if former is not None:
                formatter.for_type(kind, former)
        self._formatters.clear()
        self._results.clear()

    # -- endpoints ------------------------------------------------------------------------------------------------

    def places(self, options: Any = None) -> list[str]:
        """Return where a command looks for endpoints: where it says.

        Else on this machine, in the region that is configured and in those used so far.
        """
        if getattr(options, "region", None):
            return [self.settings(options).where]
        known = {self.settings().region, *self.regions} - {"", LOCAL}
        return [LOCAL, *sorted(known)]

    def endpoint(self, given: str | None, options: Any = None) -> Endpoint:
        """Return the endpoint that a command is about: an `Endpoint` variable, a name, else the latest one.

        Raises
        ------
        EndpointNotFound
            If there is none of that name at the places this session knows.
        ConfigurationError
            If there is one at several of them.
        BackendError
            If there is none, and one of the places cannot be asked.
        """
        from sm_magics.errors import ConfigurationError, EndpointNotFound
        from sm_magics.hosting import Endpoint, connect, endpoints

        if not given:
            return self.last_endpoint or self._latest()
        value = self.shell.user_ns.get(given)
        if isinstance(value, Endpoint):
            return value
        settings = self.settings(options)
        places = self.places(options)
        last = self.last_endpoint
        if last is not None and last.name == given and places in ([last.where], [LOCAL]):
            return endpoints.recalled(last)  # it knows which configuration was asked for
        matches, refusals = [], []
        for place in places:
            try:
                found = endpoints.get(given, connect(settings.override(region=place)))
            except SmMagicsError as error:
                refusals.append(error)
                continue
            matches += [found] if found is not None else []
        if len(matches) > 1:
            both = " and ".join(match.place for match in matches)
            raise ConfigurationError(
                f"There is an endpoint {given!r} on {both}: say which.", hint=f"--region {matches[-1].where}"
            )
        if not matches and refusals:
            raise refusals[0]
        if not matches:
            where = " or ".join("this machine" if place == LOCAL else place for place in places)
            raise EndpointNotFound(
                f"There is no endpoint {given!r} on {where}.", hint="%sm_endpoints    # lists those there are"
            )
        return matches[0]

    def _latest(self) -> Endpoint:
        """Return the newest endpoint on this machine that this notebook made, in this session or an earlier one."""
        from sm_magics.errors import EndpointNotFound
        from sm_magics.hosting import Origin, connect, endpoints, machine

        if machine.running() is not None:
            connection = connect(self.settings().override(region=LOCAL))
            origin = Origin(self.notebook_path, str(self.directory()), connection.user)
            for endpoint in endpoints.listed(connection):
                if origin.owns(endpoint.tags()):
                    return endpoint
        raise EndpointNotFound(
            "This notebook has no endpoint on this machine.",
            hint="%sm_deploy MODEL    # or %sm_endpoints: all there are",
        )


class SessionMagics(Magics):
    """Magics of one group, which share the kernel's session with all others."""

    def __init__(self, session: SmMagics) -> None:
        super().__init__(session.shell)
        self.session = session
