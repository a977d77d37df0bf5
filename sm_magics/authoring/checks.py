"""What can be said about any file in ``code/`` without running it, beyond the handler contract."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from sm_magics.errors import CellSyntaxError

from .bindings import imports
from .findings import Finding, not_silenced
from .source import parse, parse_cell

_TORCH_LOAD = {"torch.load": 1, "torch.jit.load": 1}
"""Functions that bring weights back to the device they were saved on, and the position of ``map_location``."""

MODEL_MODULE = "code/sm_model.py"
"""The module that packaging writes from the notebook's classes, relative to the model directory."""

# Packages that the container's server or the handlers' defaults import, beyond the standard library.
_NEEDED = {
    "boto3", "botocore", "numpy", "pkg_resources", "psutil", "retrying", "sagemaker_inference",
    "sagemaker_pytorch_serving_container", "scipy", "six", "torch", "ts",
}  # fmt: skip


def check_module(source: str, path: str = "code/inference.py") -> tuple[Finding, ...]:
    """Return what is wrong with one Python file, whose path is relative to the model directory."""
    if (tree := parse(source)) is None:
        return (_syntax(source, path),)
    found = [*_undefined_names(tree, path), *_device_bound_loads(tree, path), *_own_name(tree, path)]
    return not_silenced(found, source)


def check_layout(paths: Iterable[str]) -> tuple[Finding, ...]:
    """Return which files hide a module that the container needs; ``paths`` are relative to the model directory.

    The container puts ``code/`` at the front of the module search path, before the standard library
    (``PYTHONPATH``, in ``sagemaker_pytorch_serving_container/torchserve.py``).
    """
    found = []
    for path in sorted(paths):
        parts = PurePosixPath(path).parts[1:]
        if not parts or not path.endswith(".py"):
            continue
        is_package = parts[1:] == ("__init__.py",)
        if len(parts) > 1 and not is_package:
            continue
        name = parts[0] if is_package else parts[0].removesuffix(".py")
        if name in _NEEDED or name in sys.stdlib_module_names:
            found.append(
                Finding(
                    "SM131",
                    "error",
                    f"{path} hides the module {name}: the container would import this file instead of it.",
                    f"Give the file another name, such as {'/'.join(['code', f'my_{name}', *parts[1:]])}"
                    + ("" if is_package else ".py")
                    + ".",
                    path=path,
                )
            )
        elif name == "inference" and is_package:
            found.append(
                Finding(
                    "SM131",
                    "error",
                    f"The package {path} hides code/inference.py: the container would take its handlers from there.",
                    "Give the package another name.",
                    path=path,
                )
            )
    return tuple(found)


def unreadable(path: str, error: Exception) -> Finding:
    """Return what is wrong with a Python file that has no text."""
    return Finding(
        "SM101",
        "error",
        f"{path} cannot be read as Python ({error}): importing it would fail, and the model would never load.",
        "Save the file as UTF-8.",
        path=path,
    )


def _syntax(source: str, path: str) -> Finding:
    line, message = 0, "it cannot be read"
    try:
        parse_cell(source, filename=path)
    except CellSyntaxError as error:
        cause = error.__context__
        if isinstance(cause, SyntaxError):
            line, message = cause.lineno or 0, str(cause.msg)
    return Finding(
        "SM101",
        "error",
        f"{path} is not Python ({message}): importing it would fail, and the model would never load.",
        "Correct the line.",
        path=path,
        line=line,
    )


def _undefined_names(tree: ast.Module, path: str) -> Iterator[Finding]:
    from pyflakes import checker, messages

    for message in checker.Checker(tree, filename=path).messages:
        if isinstance(message, messages.UndefinedName | messages.UndefinedLocal):
            name = message.message_args[0]
            fix = f"Define or import {name} in a cell that is written to code/; the notebook's own names are not there."
            if path == MODEL_MODULE:  # which no cell writes: what it is to have, the model has to
                fix = (
                    f'self.register_buffer("{name}", {name}) in __init__ if it is a tensor, else self.{name} = {name}; '
                    f"and self.{name} where it is used: so its value goes with the model."
                )
            yield Finding(
                "SM111",
                "error",
                f"{name} is not defined in {path}: in the container, this line would raise NameError.",
                fix,
                path=path,
                line=message.lineno,
            )


def _device_bound_loads(tree: ast.Module, path: str) -> Iterator[Finding]:
    # Handlers often import inside the function.
    every_import = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    origins = imports(ast.Module(body=list(every_import), type_ignores=[]))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        root, _, rest = name.partition(".")
        for origin in origins.get(root, ()):
            function = f"{origin}.{rest}" if rest else origin
            position = _TORCH_LOAD.get(function)
            if position is None or any(keyword.arg in {"map_location", None} for keyword in node.keywords):
                continue
            if len(node.args) > position or any(isinstance(argument, ast.Starred) for argument in node.args):
                continue
            yield Finding(
                "SM121",
                "warning",
                f"{function} without map_location: weights saved on a GPU would not load on an instance without one.",
                f'{name}(..., map_location="cpu"), or the device that the model is to run on.',
                path=path,
                line=node.lineno,
            )


def _own_name(tree: ast.Module, path: str) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        if any(name.partition(".")[0] == "inference" for name in names):
            yield Finding(
                "SM132",
                "warning",
                "inference is the script itself here, not a package of that name: the import goes in a circle.",
                "Move what both need into a file of its own under code/, and import that.",
                path=path,
                line=node.lineno,
            )


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for such an expression, and nothing for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""
