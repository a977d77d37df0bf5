"""Which functions of the model's code run at the endpoint, as far as the source says.

Nobody calls a method that trains there, so it may use what stays in the notebook. A function counts as called if what
runs mentions its name: a mention too many refuses a package for its missing name, one too few fails at the endpoint.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from sm_magics.authoring.source import parse

_CALLED_FROM_OUTSIDE = {"forward", "build_model"}


def is_called(source: str, line: int, *, elsewhere: Iterable[str]) -> bool:
    """Return whether a line of the model's code may run at the endpoint.

    Parameters
    ----------
    source
        The text of ``sm_model.py``.
    line
        Counted from 1.
    elsewhere
        The texts of the other files, whose functions are all taken to run; what does not parse does not.
    """
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    around = [node for node in functions if node.lineno <= line <= (node.end_lineno or node.lineno)]
    if not around:
        return True
    others = [other for other in map(parse, elsewhere) if other]
    called = {name for other in others for name in _mentioned(other)} | {*_mentioned_outside(tree)}
    # Python itself calls the methods with two underscores.
    todo = [
        node
        for node in functions
        if node.name in called | _CALLED_FROM_OUTSIDE or (node.name.startswith("__") and node.name.endswith("__"))
    ]
    running: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    while todo:
        running.append(todo.pop())
        called = {*_mentioned(running[-1])}
        todo += [node for node in functions if node.name in called and node not in running and node not in todo]
    return any(node in running for node in around)


def is_only_annotated(source: str, line: int, name: str) -> bool:
    """Return whether a name on a line stands in an annotation that nothing evaluates.

    Those are strings, those of a function's variables, and with ``from __future__ import annotations`` all of them.
    """
    tree = ast.parse(source)
    postponed = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.names[0].name == "annotations"
        for node in tree.body
    )
    unevaluated: set[int] = set()
    for node in ast.walk(tree):
        local = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inside = [one.annotation for one in ast.walk(node) if isinstance(one, ast.AnnAssign)] if local else []
        if postponed:
            inside += [getattr(node, "annotation", None) or getattr(node, "returns", None) or ast.Pass()]  # type: ignore[list-item]
        unevaluated |= {id(part) for annotation in inside for part in ast.walk(annotation)}
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name and node.lineno == line]
    return all(id(node) in unevaluated for node in uses)


def _mentioned(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _mentioned_outside(node: ast.AST) -> Iterator[str]:
    """Yield the names that are mentioned at the level of the file and its classes, decorators among them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in child.decorator_list:
                yield from _mentioned(decorator)
        elif isinstance(child, ast.ClassDef):
            yield from _mentioned_outside(child)
        else:
            yield from _mentioned(child)
