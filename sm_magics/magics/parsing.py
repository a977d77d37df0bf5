"""A magic's line: options in the SageMaker SDK's words, then names, or the rest of the line raw."""

from __future__ import annotations

import argparse
import functools
import io
import keyword
import re
import tokenize
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.utils.text import DollarFormatter

from sm_magics.errors import Interrupted
from sm_magics.settings import LOCAL

Magic = TypeVar("Magic", bound=Callable[..., Any])

_QUOTED = r"""(?s:"((?:[^"\\]|\\.)*)"|'([^']*)')"""
_WORD = re.compile(rf"""\s*((?:[^\s"']|{_QUOTED})+)""")


def out(function: Magic) -> Magic:
    """Add ``-o NAME`` to a magic: where its result is stored."""
    help_text = "store the result in this variable"
    return _with(function, argument("-o", "--out", metavar="NAME", type=_variable, help=help_text))


def _variable(name: str) -> str:
    # Refused while the line is read: nothing has been deployed by then.
    if not name.isidentifier() or keyword.iskeyword(name):
        raise argparse.ArgumentTypeError(f"{name!r} cannot be a variable's name")
    return name


def placed(function: Magic) -> Magic:
    """Add ``--region`` to a magic: which SageMaker it speaks to."""
    help_text = f"'{LOCAL}' (this machine) or an AWS region"
    return _with(function, argument("--region", metavar="REGION", help=help_text))


def foldered(function: Magic) -> Magic:
    """Add ``--model-dir`` to a magic: the directory that holds ``code/``."""
    help_text = "directory of code/, model.pth and model.tar.gz; default: the notebook's"
    return _with(function, argument("--model-dir", metavar="DIR", help=help_text))


def hosted(function: Magic) -> Magic:
    """Add the options that decide what a deployment runs on."""
    valued = [
        ("--instance-type", "TYPE", f"'{LOCAL}' (the default) or an instance type such as ml.m5.large"),
        ("--role", "ARN", "execution role, for AWS"),
        ("--bucket", "NAME", "S3 bucket for the model data, for AWS"),
        ("--framework-version", "VERSION", "torch version of the container image, for AWS"),
        ("--py-version", "VERSION", "Python of the container image, such as py312, for AWS"),
        ("--image-uri", "URI", "container image, for AWS"),
        ("--profile", "NAME", "AWS profile"),
        ("--kms-key", "ARN", "key that encrypts the upload, the volumes and captured data"),
        ("--subnets", "IDS", "subnets of a VPC, separated by commas"),
        ("--security-group-ids", "IDS", "security groups of that VPC, separated by commas"),
    ]
    isolated = "containers that reach no network; code/requirements.txt could not be installed"
    return with_options(
        function,
        *(argument(flag, metavar=metavar, help=text) for flag, metavar, text in valued),
        argument("--enable-network-isolation", action="store_true", help=isolated),
    )


def with_options(function: Magic, *options: Any) -> Magic:
    """Add options to a magic, whose help shows them in this order: of decorators the last one takes effect first."""
    for option in reversed(options):
        function = _with(function, option)
    return function


def _with(function: Magic, option: Any) -> Magic:
    decorated: Magic = option(function)
    return decorated


def magic(function: Magic) -> Magic:
    """Finish a magic's options: makes its parser, which also writes the help that ``?`` shows.

    The help begins with how the magic is called: its options, which follow it one to a line, in one word. Where more
    follows than names, IPython's ``@kwds(usage=...)`` says so.
    """
    finished = magic_arguments()(function)
    parser: argparse.ArgumentParser = finished.parser
    parser.allow_abbrev = False
    names = [action for action in _actions(parser) if not action.option_strings]
    parser.usage = parser.usage or " ".join(["%(prog)s [options]", *map(_named, names)])
    finished.__doc__ = parser.format_help()

    @functools.wraps(finished)
    def interruptible(*args: Any, **kwargs: Any) -> Any:
        try:
            return finished(*args, **kwargs)
        except Interrupted:
            raise
        except KeyboardInterrupt as error:
            name = finished.__name__
            raise Interrupted(f"%{name} was interrupted. What it replaces is replaced whole or not at all.") from error

    wrapped: Magic = interruptible  # type: ignore[assignment] # wraps keeps what matters: name, help, parser
    return wrapped


def _named(action: argparse.Action) -> str:
    return {"?": f"[{action.metavar}]", "*": f"[{action.metavar} …]"}.get(str(action.nargs), str(action.metavar))


def words(line: str) -> list[str]:
    """Return the words of a magic's line, unquoted, without a trailing comment or semicolon.

    Raises
    ------
    UsageError
        If a quote is not closed.
    """
    found: list[str] = []
    position, line = 0, line.rstrip()
    while match := _WORD.match(line, position):
        if match[1].startswith("#"):
            break
        found.append(match[1])
        position = match.end()
    if not (match or line[position:].strip() == ""):
        raise UsageError(f"A quote is not closed: {line[position:].strip()}")
    if found and found[-1].endswith(";"):
        found[-1] = found[-1].rstrip(";")
    return [_unquoted(word) for word in found if word]


def _unquoted(word: str) -> str:
    def inside(match: re.Match[str]) -> str:
        # As in a POSIX shell: a backslash means something before a double quote or a backslash, in double quotes.
        return match[2] if match[1] is None else re.sub(r'\\(["\\])', r"\1", match[1])

    # Quotes that begin a word, or an option's or a variable's value; d["a"] is an expression and keeps its own.
    return re.sub(_QUOTED, inside, word) if re.match(r"""(-*\w[\w-]*=)?["']""", word) else word


def parse(function: Callable[..., Any], line: str, namespace: Mapping[str, Any] | None = None) -> argparse.Namespace:
    """Return the options and names on a magic's line.

    Parameters
    ----------
    namespace
        The notebook's variables: ``{name}`` and ``$name`` are expanded, as IPython does for every magic that does
        not forbid it, but not in an option's expression, where braces are Python's.

    Raises
    ------
    UsageError
        If the line is mistyped; names the option and says how to get help.
    """
    return _parse(function, _expanded(function, words(line), namespace or {}))


def _expanded(function: Callable[..., Any], given: list[str], namespace: Mapping[str, Any]) -> list[str]:
    parser: argparse.ArgumentParser = function.parser  # type: ignore[attr-defined]
    expressions = {flag for action in _actions(parser) if action.metavar == "EXPR" for flag in action.option_strings}
    formatter, result = DollarFormatter(), []
    for index, word in enumerate(given):
        is_expression = word.partition("=")[0] in expressions or (index > 0 and given[index - 1] in expressions)
        try:
            result.append(word if is_expression else formatter.vformat(word, [], dict(namespace)))
        except Exception:  # noqa: BLE001 - what is no expansion stays as it is, as in IPython
            result.append(word)
    return result


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public list of its options


def parse_leading(
    function: Callable[..., Any], line: str, namespace: Mapping[str, Any] | None = None
) -> tuple[argparse.Namespace, str]:
    """Return the options that a line starts with, and the rest of the line as it was typed.

    The rest is an expression: quotes, commas and brackets in it are left alone.
    """
    parser: argparse.ArgumentParser = function.parser  # type: ignore[attr-defined]
    takes_value = {flag: action.nargs != 0 for action in _actions(parser) for flag in action.option_strings}
    given: list[str] = []
    position = 0
    while match := _WORD.match(line, position):
        flag, equals, _ = match[1].partition("=")
        if flag not in takes_value:
            if re.match(r"--[A-Za-z]", match[1]):  # -x is an expression, --acept is a mistyped option
                given.append(match[1])
            break
        given.append(match[1])
        position = match.end()
        if takes_value[flag] and not equals:
            value = _WORD.match(line, position)
            if value:
                given.append(value[1])
                position = value.end()
    options = _expanded(function, words(" ".join(given)), namespace or {})
    return _parse(function, options), _expression(line[position:].strip())


def late_option(function: Callable[..., Any], expression: str) -> int | None:
    """Return where an option begins that stands behind an expression, as far as it looks; None if there is none."""
    flags = {flag for action in _actions(function.parser) for flag in action.option_strings}  # type: ignore[attr-defined]
    found = (match for match in re.finditer(r"\s(--?[A-Za-z][\w-]*)(?=[\s=])", expression) if match[1] in flags)
    return next((match.start(1) for match in found), None)


def _expression(text: str) -> str:
    """Return an expression without the comment and the semicolons after it."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                text = text[: token.start[1]]
                break
    except (tokenize.TokenError, SyntaxError, UnicodeError):  # the last from 3.13.0's own, for a lone carriage return
        pass  # no expression; who evaluates it says so
    return text.rstrip("; \t")


def _parse(function: Callable[..., Any], given: list[str]) -> argparse.Namespace:
    parser: argparse.ArgumentParser = function.parser  # type: ignore[attr-defined]

    def refuse(message: str) -> NoReturn:
        name = function.__name__
        raise UsageError(f"%{name}: {message}\n  hint: %{name}?")

    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_intermixed_args(given)  # names may stand before, between and after the options
