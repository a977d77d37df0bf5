"""Write labextension/src/magics.json: the magics and their options, for completion before a kernel is connected.

Read off the magics' own parsers; a test holds the file to them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sm_magics.magics import GROUPS, completion

TARGET = Path(__file__).resolve().parent.parent / "labextension" / "src" / "magics.json"
VALUES = {
    "instance_type": completion.INSTANCE_TYPES,
    "region": completion.REGIONS,
    "content_type": completion.CONTENT_TYPES,
    "accept": completion.CONTENT_TYPES,
}


def magics() -> dict[str, Any]:
    """Return every magic by its name, with its kinds, what it is for and its options."""
    found: dict[str, Any] = {}
    for group in GROUPS:
        for kind, names in group.magics.items():
            for name, member in names.items():
                function = getattr(group, member) if isinstance(member, str) else member
                about = found.setdefault(
                    name, {"kinds": [], "help": _first_line(function), "options": _options(function)}
                )
                about["kinds"].append(kind)
    return dict(sorted(found.items()))


def _first_line(function: Any) -> str:
    # argparse's description is the docstring; __doc__ is the whole help.
    return str(function.parser.description or "").strip().partition("\n")[0]


def _options(function: Any) -> list[dict[str, Any]]:
    return [
        {
            "flags": list(action.option_strings),
            "takes": action.nargs != 0,
            "help": (action.help or "").partition(";")[0],
            "values": [str(value) for value in action.choices or VALUES.get(action.dest, ())],
        }
        for action in function.parser._actions  # noqa: SLF001 - argparse has no public list of its options
        if action.option_strings
    ]


def text() -> str:
    """Return what the file has to be."""
    return json.dumps(magics(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text():
        TARGET.write_text(text(), encoding="utf-8")
    print(f"{TARGET.name}: {len(magics())} magics")
