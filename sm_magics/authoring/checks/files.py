"""What can be said about any file in ``code/`` without running it, beyond the handler contract."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from sm_magics.authoring.findings import Finding, not_silenced
from sm_magics.authoring.image import Image
from sm_magics.authoring.needs.dependencies import removed_modules
from sm_magics.authoring.slicing.executed import executed
from sm_magics.authoring.source import parse, parse_cell
from sm_magics.errors import CellSyntaxError

from .dotted import dotted
from .imported import imports_in
from .loads import check_loads
from .paths import check_paths

__all__ = ["MODEL_MODULE", "check_layout", "check_module", "dotted", "unreadable"]

MODEL_MODULE = "code/sm_model.py"
"""The module that packaging writes from the notebook's classes, relative to the model directory."""

# Packages that the container's server or the handlers' defaults import, beyond the standard library.
_NEEDED = {
    "boto3", "botocore", "numpy", "pkg_resources", "psutil", "retrying", "sagemaker_inference",
    "sagemaker_pytorch_serving_container", "scipy", "six", "torch", "ts",
}  # fmt: skip

HIDING = frozenset({
    "default_pytorch_inference_handler", "handler_service", "serving", "torchserve", "ts_environment", "ts_parameters",
})  # fmt: skip
"""Modules of the container's toolkit whose directory comes even before ``code/`` on a worker's search path
(``sagemaker_pytorch_serving_container``: TorchServe starts the handler service from there)."""


def check_module(source: str, path: str = "code/inference.py", image: Image | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with one Python file.

    Parameters
    ----------
    source
        Its text.
    path
        Where it is, relative to the model directory.
    image
        The image that is to run it, None where its contents are not known.
    """
    if (tree := parse(source)) is None:
        return (_syntax(source, path),)
    found = [
        *_undefined_names(tree, path),
        *check_loads(tree, path, image),
        *check_paths(tree, path),
        *_own_name(tree, path),
    ]
    if image:
        found += [*_newer_syntax(source, path, image), *_removed(tree, path, image)]
    return not_silenced(found, source)


def check_layout(paths: Iterable[str]) -> tuple[Finding, ...]:
    """Return which files hide a module that the container needs, or are hidden by one of its own.

    ``paths`` are relative to the model directory. The container puts ``code/`` before the standard library on the
    module search path (``PYTHONPATH``, in ``sagemaker_pytorch_serving_container/torchserve.py``).
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
                    _another_name(parts, name, is_package=is_package),
                    path=path,
                )
            )
        elif name in HIDING:
            found.append(
                Finding(
                    "SM133",
                    "error",
                    f"{path} is hidden by the container's own module {name}: importing it gives that one.",
                    _another_name(parts, name, is_package=is_package),
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


def _another_name(parts: tuple[str, ...], name: str, *, is_package: bool) -> str:
    other = "/".join(["code", f"my_{name}", *parts[1:]])
    return f"Give the file another name, such as {other}{'' if is_package else '.py'}."


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


def _newer_syntax(source: str, path: str, image: Image) -> Iterator[Finding]:
    """Find syntax that the image's Python does not know, as far as the parser can tell."""
    if image.python_minor >= sys.version_info[:2]:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(source, feature_version=image.python_minor)
        except SyntaxError as error:
            yield Finding(
                "SM109",
                "error",
                f"{image} has Python {image.python}, which cannot read this line ({error.msg}): importing {path} would "
                "fail, and the model would never load.",
                f"Write it as Python {'.'.join(map(str, image.python_minor))} has it.",
                path=path,
                line=error.lineno or 0,
            )


def _removed(tree: ast.Module, path: str, image: Image) -> Iterator[Finding]:
    gone = removed_modules(image)
    for one in imports_in(tree, path) if gone else ():
        if one.top in gone and one.kind != "optional":
            yield Finding(
                "SM145",
                "error" if one.kind == "top" else "warning",
                f"{image} has Python {image.python}, whose standard library no longer has {one.top}: the import would "
                "fail.",
                "Use what took its place: the documentation of Python names it.",
                path=path,
                line=one.line,
            )


def _undefined_names(tree: ast.Module, path: str) -> Iterator[Finding]:
    from pyflakes import checker, messages

    put_there = _put_into_globals(tree)
    if put_there is None:
        return
    nodes = list(executed(tree))
    lines = {node.lineno for node in nodes if isinstance(node, ast.expr)}
    dotted_names = {
        node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    raised = {part.lineno for node in nodes if isinstance(node, ast.Raise) and node.exc for part in _names(node.exc)}
    for message in checker.Checker(tree, filename=path).messages:
        if isinstance(message, messages.UndefinedName | messages.UndefinedLocal):
            name = message.message_args[0]
            if name in put_there or message.lineno not in lines:
                continue
            fix = (
                f"Define or import {name} in a cell that is written to code/; the notebook's own names are not there, "
                "unless %%sm_inference --with-notebook-names takes them along."
            )
            if path == MODEL_MODULE:  # which no cell writes: what it is to have, the model has to
                fix = (
                    f'self.register_buffer("{name}", {name}) in __init__ if it is a tensor, else self.{name} = {name}; '
                    f"and self.{name} where it is used: so its value goes with the model."
                )
            elif name in sys.stdlib_module_names and name in dotted_names:
                fix = f"import {name}    # in the cell, or in another one that is written to {path}"
            yield Finding(
                "SM111",
                # What raises anyway raises something else.
                "warning" if message.lineno in raised else "error",
                f"{name} is not defined in {path}: in the container, this line would raise NameError.",
                fix,
                path=path,
                line=message.lineno,
            )


def _names(node: ast.expr) -> list[ast.Name]:
    return [part for part in ast.walk(node) if isinstance(part, ast.Name)]


def _put_into_globals(tree: ast.Module) -> set[str] | None:
    """Return the names that are made by ``globals()["name"] = …``; None where there is no saying which are made."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Call(func=ast.Name(id="globals")), slice=ast.Constant(value=str() as name), ctx=ast.Store()
            ):
                found.add(name)
            case ast.Subscript(value=ast.Call(func=ast.Name(id="globals")), ctx=ast.Store()):
                return None
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="globals")), attr="update" | "setdefault")
            ):
                return None
            case ast.Call(func=ast.Name(id="exec")):
                return None
    return found


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
