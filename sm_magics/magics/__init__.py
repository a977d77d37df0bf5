"""The IPython magics: parse, call the library, show one thing, return one object."""

from __future__ import annotations

from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from . import reminder
from .attaching import AttachingMagics
from .authoring import AuthoringMagics
from .calling import CallingMagics
from .checking import CheckingMagics
from .completion import matcher
from .deleting import DeletingMagics
from .deployment import DeploymentMagics
from .packaging import PackagingMagics
from .session import SmMagics
from .status import StatusMagics

GROUPS = (
    AuthoringMagics,
    PackagingMagics,
    CheckingMagics,
    DeploymentMagics,
    CallingMagics,
    StatusMagics,
    DeletingMagics,
    AttachingMagics,
)

# How our objects look when they are a cell's last value. By name: nothing is imported until one exists.
_FORMATTERS = {
    ("sm_magics.packaging.package", "Package"): "package",
    ("sm_magics.packaging.report", "Report"): "report",
    ("sm_magics.hosting.endpoints", "Endpoint"): "endpoint",
    ("sm_magics.hosting.plan", "DeploymentPlan"): "plan",
    ("sm_magics.hosting.removal", "Removal"): "removal_plan",
    ("sm_magics.hosting.training", "TrainingJob"): "training_job",
    ("sm_magics.authoring.written", "Written"): "written",
    ("sm_magics.hosting.invoking", "Prediction"): "prediction",
}

_ATTRIBUTE = "sm_magics_session"


def load(shell: InteractiveShell) -> None:
    """Register the magics, their settings, their completion and their objects' looks with a shell."""
    unload(shell)
    session = SmMagics(shell)
    for group in GROUPS:
        shell.register_magics(group(session))
    configurables: list[Any] = shell.configurables  # annotated in IPython as if it held shells
    configurables.append(session)
    session.completer = matcher(session)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(session.completer)
    shell.events.register("pre_run_cell", session.executed.note)
    shell.events.register("post_run_cell", session.after_cell)
    formatter = session.formatters.mimebundle_formatter
    for (module, name), renderer in _FORMATTERS.items():
        formatter.for_type_by_name(module, name, _bundle(session, renderer))
    setattr(shell, _ATTRIBUTE, session)
    if session.is_alive:  # what nobody reads is not said, and not compared with by nbval
        reminder.remind()


def unload(shell: InteractiveShell) -> None:
    """Take back all that `load` registered. Loading again would pile up otherwise."""
    session = getattr(shell, _ATTRIBUTE, None)
    if session is None:
        return
    delattr(shell, _ATTRIBUTE)
    session.after_cell()
    session.cards.close()
    for group in GROUPS:
        for kind, names in group.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
        shell.magics_manager.registry.pop(group.__name__, None)
    configurables: list[Any] = shell.configurables
    configurables[:] = [one for one in configurables if one is not session and type(one) not in GROUPS]
    if shell.Completer is not None and session.completer in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(session.completer)
    shell.events.unregister("pre_run_cell", session.executed.note)
    shell.events.unregister("post_run_cell", session.after_cell)
    formatter = session.formatters.mimebundle_formatter
    for module, name in _FORMATTERS:
        formatter.pop(f"{module}.{name}", None)


def _bundle(session: SmMagics, renderer: str) -> Any:
    def bundle(value: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG001 - IPython's call
        from sm_magics.display import answers, jobs, planned, render, report

        modules = (render, answers, report, jobs, planned)
        draw = next(getattr(module, renderer) for module in modules if hasattr(module, renderer))
        shown = draw(value)
        card = _alive(session, renderer, value, shown)
        if card is not None:
            session.shell.display_pub.publish(card.bundle())
        made: dict[str, Any] = shown.bundle()
        return made

    return bundle


def _alive(session: SmMagics, renderer: str, value: Any, shown: Any) -> Any:
    """Return a card that goes on living, of what has one."""
    if renderer == "endpoint":
        return session.cards.of(value, shown)
    if renderer == "training_job":
        return session.cards.job(value, shown)
    return None
