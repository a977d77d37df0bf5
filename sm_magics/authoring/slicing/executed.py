"""Which part of a file the container executes: a training script that serves too holds much that it never does."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from sm_magics.authoring.contract import HANDLERS


def executed(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes that importing a file, or calling its handlers, may execute.

    That is everything but ``if __name__ == "__main__"`` and, in a file that has handlers, the functions and classes
    that neither the top level nor a handler names, nor what those name in turn.
    """
    definitions: dict[str, list[ast.stmt]] = {}
    top: list[ast.AST] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions.setdefault(node.name, []).append(node)
        elif not is_main_guard(node):
            top.append(node)
    roots = [name for name in HANDLERS if name in definitions] or list(definitions)
    todo: list[ast.AST] = [*top, *(node for name in roots for node in definitions.pop(name))]
    while todo:
        for part in ast.walk(todo.pop()):
            yield part
            name = part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else ""
            todo += definitions.pop(name, ())


def is_main_guard(node: ast.AST) -> bool:
    """Return whether a statement is ``if __name__ == "__main__"``."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
    )
