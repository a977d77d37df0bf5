"""What a notebook has replaced in libraries: ``nn.GELU.forward = mine``, ``F.relu = F.leaky_relu``.

None of it travels with a class. The container's library has its own.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sm_magics.authoring.cells import history
from sm_magics.authoring.checks.dotted import dotted
from sm_magics.authoring.source import parse

from .live import NOTHING, own_file


@dataclass(frozen=True)
class Replaced:
    """Something of a library that the notebook has replaced, and that is still so.

    Attributes
    ----------
    name
        As the notebook wrote it: ``nn.GELU.forward``.
    owner, attribute
        The class or module, and the name in it.
    """

    name: str
    owner: type | ModuleType
    attribute: str


def replaced(cells: Sequence[str], namespace: Mapping[str, Any]) -> Iterator[Replaced]:
    """Yield the functions and classes that a notebook has replaced in installed libraries."""
    for statement in history(cells):
        for name in _targets(statement.node):
            path, _, attribute = name.rpartition(".")
            owner = _value(path, namespace)
            value = getattr(owner, attribute, None)
            if not isinstance(owner, type | ModuleType) or not _is_installed(owner) or not callable(value):
                continue
            foreign = getattr(value, "__module__", None) in {"__main__", namespace.get("__name__", "__main__")}
            if foreign or getattr(value, "__name__", attribute) != attribute:
                yield Replaced(name, owner, attribute)


def is_used(one: Replaced, source: str, namespace: Mapping[str, Any]) -> bool:
    """Return whether source refers to what was replaced, by whichever name of its owner."""
    tree = parse(source)
    nodes: Collection[ast.AST] = list(ast.walk(tree)) if tree else []
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == one.attribute
        and _value(dotted(node.value), namespace) is one.owner
        for node in nodes
    )


def _targets(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Assign(targets):
            yield from (name for target in targets if "." in (name := dotted(target)))
        case ast.Expr(ast.Call(ast.Name("setattr"), [owner, ast.Constant(str(attribute)), _])):
            if name := dotted(owner):
                yield f"{name}.{attribute}"


def _value(path: str, namespace: Mapping[str, Any]) -> Any:
    first, *rest = path.split(".")
    value = namespace.get(first, NOTHING)
    for part in rest:
        value = getattr(value, part, NOTHING)
    return value


def _is_installed(owner: type | ModuleType) -> bool:
    home = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
    return home not in {"__main__", "builtins"} and own_file(home) is None
