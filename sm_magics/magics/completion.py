"""What Tab offers on a magic's line: its options, and what each of them takes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from sm_magics.settings import LOCAL

from . import packaging
from .session import SmMagics

# A choice of common types; SageMaker has hundreds.
INSTANCE_TYPES = (
    LOCAL,
    "ml.t2.medium",
    "ml.m5.large",
    "ml.m5.xlarge",
    "ml.c5.large",
    "ml.c5.xlarge",
    "ml.c7g.large",
    "ml.g4dn.xlarge",
    "ml.g5.xlarge",
    "ml.p3.2xlarge",
)
REGIONS = (
    LOCAL,
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-northeast-1",
    "ap-southeast-2",
)
CONTENT_TYPES = ("application/json", "text/csv", "application/x-npy")

_COMMAND = re.compile(r"\s*(?:[^%=]*=\s*)?(%%?)(sm_\w+)[ \t]+(.*)", re.DOTALL)  # %magic …, or NAME = %magic …


def matcher(session: SmMagics) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """Return the matcher that IPython's completer asks."""

    @context_matcher()
    def sm_magics_matcher(context: CompletionContext) -> SimpleMatcherResult:
        command = _COMMAND.match(context.text_until_cursor.rpartition("\n")[2])
        if command is None:
            return {"completions": []}
        percents, name, rest = command.groups()
        function = session.shell.magics_manager.magics["cell" if percents == "%%" else "line"].get(name)
        parser = getattr(function, "parser", None)
        if parser is None:
            return {"completions": []}
        *before, typed = rest.split(" ")
        flag, equals, value = typed.partition("=")
        if equals and flag.startswith("-"):  # --option=value is --option value
            before, typed = [*before, flag], value
        candidates = _candidates(session, name, parser, [word for word in before if word], typed)
        found = [word for word in candidates if word.startswith(typed)]
        return {
            "completions": [SimpleCompletion(text=word, type="magic option") for word in found],
            "suppress": bool(found),
            "matched_fragment": typed,
        }

    result: Callable[[CompletionContext], SimpleMatcherResult] = sm_magics_matcher
    return result


def _candidates(
    session: SmMagics, name: str, parser: argparse.ArgumentParser, before: list[str], typed: str
) -> Iterable[str]:
    actions = parser._actions  # noqa: SLF001 - argparse has no public list of its options
    flags = {flag: action for action in actions for flag in action.option_strings}
    previous = flags.get(before[-1]) if before else None
    if previous is not None and previous.nargs != 0:
        return _values(session, previous)
    if typed.startswith("-"):
        return [flag for flag in flags if flag.startswith("--") or len(typed) == 1]
    return _positional(session, name)


def _values(session: SmMagics, action: argparse.Action) -> Iterable[str]:
    if action.choices:
        return [str(choice) for choice in action.choices]
    values: dict[str, Callable[[], Iterable[str]]] = {
        "instance_type": lambda: INSTANCE_TYPES,
        "region": lambda: dict.fromkeys((*session.places(), *REGIONS)),
        "content_type": lambda: CONTENT_TYPES,
        "accept": lambda: CONTENT_TYPES,
        "endpoint_name": lambda: _endpoints(session),
        "sample": session.variables,
        "framework_version": _framework_versions,
        "expect": session.variables,
    }
    return values.get(action.dest, list)()


def _positional(session: SmMagics, name: str) -> Iterable[str]:
    if name in {"sm_status", "sm_logs", "sm_delete"}:
        return _endpoints(session)
    names: dict[str, Callable[[], Iterable[str]]] = {
        "sm_package": lambda: packaging.model_variables(session),
        "sm_deploy": lambda: [*packaging.model_variables(session), *_instances(session, "Package")],
        "sm_check": lambda: _instances(session, "Package"),
        "sm_inference": lambda: _sections(session),
        "sm_code": lambda: _files(session),
        "sm_predict": session.variables,  # IPython's own matchers find names after a magic only behind a dot
    }
    return names.get(name, list)()


def _framework_versions() -> list[str]:
    """Return the versions of torch whose container images are known."""
    from sm_magics.authoring.image import images_known

    return list(images_known())


def _sections(session: SmMagics) -> list[str]:
    """Return the sections of the script, and the handlers, which are sections' names too."""
    from sm_magics.authoring import CodeFolder
    from sm_magics.authoring.contract import HANDLERS
    from sm_magics.errors import SmMagicsError

    try:
        script = CodeFolder(session.directory()).read_script()
    except SmMagicsError:
        script = None
    there = [section.name for section in script.sections if " " not in section.name] if script else []
    return list(dict.fromkeys([*there, *HANDLERS]))


def _files(session: SmMagics) -> list[str]:
    """Return the files in ``code/`` that a cell may write."""
    code = session.directory() / "code"
    there = sorted(path.relative_to(code).as_posix() for path in code.rglob("*") if path.suffix in {".py", ".txt"})
    return list(dict.fromkeys(["requirements.txt", *(path for path in there if path != "inference.py")]))


def _endpoints(session: SmMagics) -> list[str]:
    """Return the names of endpoints, asking only a service that is running: Tab starts nothing and waits for nobody."""
    from sm_magics.errors import SmMagicsError
    from sm_magics.hosting import connect, endpoints, machine

    names = _instances(session, "Endpoint")
    try:
        if machine.running() is not None:
            names += [endpoint.name for endpoint in endpoints.listed(connect())]
    except SmMagicsError:
        pass  # completion is no place for an error
    return list(dict.fromkeys(names))


def _instances(session: SmMagics, kind: str) -> list[str]:
    def is_ours(value: Any) -> bool:
        return type(value).__name__ == kind and type(value).__module__.startswith("sm_magics.")

    return session.variables(is_ours)
