"""Names that code looks up by their text: ``globals()[name]``, ``eval(name)``.

Which those are is known only when the code runs. As a rule they are spelled out somewhere near: in a default argument,
in a configuration, in a dictionary.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

_LOOK_UP = {"globals", "eval"}
_NAME = re.compile(r"[^\W\d]\w*")


def spelled(nodes: Iterable[ast.stmt]) -> set[str]:
    """Return the words in the texts of some statements, if any of these looks up names by their text."""
    parts = [part for node in nodes for part in ast.walk(node)]
    if not any(isinstance(part, ast.Call) and _name(part.func) in _LOOK_UP for part in parts):
        return set()
    texts = (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return {word for text in texts for word in _NAME.findall(text)}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""
