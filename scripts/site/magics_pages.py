"""The magics' reference, from their own parsers and docstrings; and the settings, from their traits."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator

from sm_magics.magics import GROUPS
from sm_magics.magics.session import SmMagics

_WORD = re.compile(r"^(\(?)(--[a-z][\w-]*|%%?\w[^,.;:)]*|(?:code|docs)/[\w./]*\w)([,.;:)]*)$")


def pages() -> dict[str, str]:
    """Return a page for each magic, by its path."""
    return {f"reference/{name}.md": _page(name, kinds, parser) for name, kinds, parser in magics()}


def magics() -> Iterator[tuple[str, list[str], argparse.ArgumentParser]]:
    """Yield each magic's name, the kinds it is, and its parser."""
    for group in GROUPS:
        names = {name: method for kind in ("cell", "line") for name, method in group.magics[kind].items()}
        for name, method in names.items():
            kinds = [kind for kind in ("line", "cell") if name in group.magics[kind]]
            yield name, kinds, getattr(group, method).parser


def overview() -> str:
    """Return the table of all magics."""
    rows = ["| magic | what it does |", "|---|---|"]
    for name, kinds, parser in magics():
        text = (parser.description or "").strip().splitlines()[0]
        rows.append(f"| [`{_called(name, kinds)}`](reference/{name}.md) | {_escaped(text)} |")
    return "\n".join(rows)


def settings() -> str:
    """Return the table of the settings."""
    rows = ["| setting | what it is | variable |", "|---|---|---|"]
    for name, trait in SmMagics.class_traits(config=True).items():
        variable = f"`SM_MAGICS_{name.upper()}`" if name not in {"model_dir", "notebook"} else ""
        rows.append(f"| `{name}` | {_escaped(trait.help)} | {variable} |")
    return "\n".join(rows)


def _page(name: str, kinds: list[str], parser: argparse.ArgumentParser) -> str:
    summary, _, rest = inspect.cleandoc(parser.description or "").partition("\n")
    positional = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001 - no public list
    options = [action for action in parser._actions if action.option_strings]  # noqa: SLF001
    called = f"%{(parser.usage or '%(prog)s') % {'prog': name}}"  # what the help begins with
    usage = {"line": called, "cell": f"%{called.removesuffix(' EXPRESSION')}" if "line" in kinds else called}
    usage["cell"] += "\nthe cell"
    shown = "\n\n".join(usage[kind] for kind in kinds)
    parts = [f"# {_called(name, kinds)}", _escaped(summary), f"```\n{shown}\n```"]
    parts.append(_escaped(rest.strip()))
    if positional:
        parts.append(_table("argument", positional))
    if options:
        parts.append(f"## Options\n\n{_table('option', options)}")
    parts.append(f"`%{name}?` shows the same in a notebook, and ++tab++ completes it.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _called(name: str, kinds: list[str]) -> str:
    return f"%%{name}" if kinds == ["cell"] else f"%{name}"


def _table(what: str, actions: list[argparse.Action]) -> str:
    rows = [f"| {what} | |", "|---|---|"]
    for action in actions:
        value = "{" + ",".join(action.choices) + "}" if action.choices else str(action.metavar or action.dest.upper())
        value = (
            "" if action.nargs == 0 else f"[{value}]" if action.nargs == "?" and action.option_strings else str(value)
        )
        flags = ", ".join(action.option_strings)
        shown = f"{flags} {value}".strip()
        rows.append(f"| `{shown}` | {_escaped(action.help or '')} |")
    return "\n".join(rows)


def _escaped(text: str) -> str:
    """Return help as Markdown: what is an option or a magic in it as code."""
    words = re.split(r"(\s+)", text)
    return "".join(_WORD.sub(r"\1`\2`\3", word) for word in words).replace("|", "\\|").replace("<", "&lt;")
