"""How ``torch.load`` is called, and what it would do in the container; and calls that need a GPU."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from sm_magics.authoring.findings import Finding
from sm_magics.authoring.image import Image
from sm_magics.authoring.slicing.bindings import imports
from sm_magics.authoring.slicing.executed import executed

from .dotted import dotted

_POSITION = {"torch.load": 1, "torch.jit.load": 1}
"""Functions that bring weights back to the device they were saved on, and the position of ``map_location``."""

_WEIGHTS_ONLY = (2, 6)  # the first torch whose torch.load refuses anything but weights, unless told otherwise
_OF_A_MODULE = {"eval", "to", "cpu", "cuda", "half", "float", "double", "train", "requires_grad_", "forward"}
_ASKS = {"is_available", "device_count", "is_initialized", "accelerator", "current_accelerator"}


def check_loads(tree: ast.Module, path: str, image: Image | None) -> Iterator[Finding]:
    """Yield calls that would fail on an instance without a GPU, and pickled modules that newer versions refuse."""
    origins = imported_names(tree)
    nodes = list(executed(tree))
    kept_on_cpu = _saves_on_cpu(tree, origins)
    for node in nodes:
        if isinstance(node, ast.Call) and not kept_on_cpu:
            function = origin(node.func, origins)
            if function in _POSITION and not _given(node, "map_location", _POSITION[function]):
                yield Finding(
                    "SM121",
                    "warning",
                    f"{function} without map_location: weights saved on a GPU would not load on an instance without "
                    "one.",
                    f'{dotted(node.func)}(..., map_location="cpu"), or the device that the model is to run on.',
                    path=path,
                    line=node.lineno,
                )
    if image is None or tuple(map(int, image.torch.split(".")[:2])) >= _WEIGHTS_ONLY:
        yield from _pickled(nodes, origins, path)
    yield from _gpu(nodes, origins, path, tree)


def imported_names(tree: ast.Module) -> Mapping[str, frozenset[str]]:
    """Return what each imported name stands for, wherever in the file it is imported: handlers often do so inside."""
    every = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return imports(ast.Module(body=list(every), type_ignores=[]))


def origin(function: ast.expr, origins: Mapping[str, frozenset[str]]) -> str:
    """Return the full name of what is called, with imports resolved; empty where it is no imported name."""
    root, _, rest = dotted(function).partition(".")
    base = min(origins.get(root, {""}))
    return f"{base}.{rest}" if base and rest else base


def _saves_on_cpu(tree: ast.Module, origins: Mapping[str, frozenset[str]]) -> bool:
    """Return whether a file that trains as well saves its weights on the CPU: ``torch.save(model.cpu()…)``."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    saved = [call.args[0] for call in calls if origin(call.func, origins) == "torch.save" and call.args]
    moved = [any(isinstance(part, ast.Attribute) and part.attr == "cpu" for part in ast.walk(one)) for one in saved]
    return bool(moved) and all(moved)


def _given(call: ast.Call, keyword: str, position: int) -> bool:
    by_name = any(one.arg in {keyword, None} for one in call.keywords)
    return by_name or len(call.args) > position or any(isinstance(one, ast.Starred) for one in call.args)


def _pickled(nodes: list[ast.AST], origins: Mapping[str, frozenset[str]], path: str) -> Iterator[Finding]:
    """Find loads whose value is used as a module is: ``torch.load(…).eval()``, also by way of a name."""
    named = _loaded_names(nodes, origins)
    found: dict[ast.Call, None] = {}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in _OF_A_MODULE:
            whole = named.get(node.value.id) if isinstance(node.value, ast.Name) else node.value
            if isinstance(whole, ast.Call) and _is_refusing_load(whole, origins):
                found[whole] = None
    for call in found:
        yield Finding(
            "SM122",
            "error",
            "torch.load of a whole module: from torch 2.6 on it reads nothing but weights unless told otherwise, and "
            "raises UnpicklingError. Told otherwise, it would still need the module's class where it was when saved.",
            "Save the weights, and load them into the class: model.load_state_dict(torch.load(..., "
            "weights_only=True)). %sm_package MODEL does both for you.",
            path=path,
            line=call.lineno,
        )


def _loaded_names(nodes: list[ast.AST], origins: Mapping[str, frozenset[str]]) -> dict[str, ast.Call]:
    """Return the names that are assigned the value of a load, and nothing else."""
    found: dict[str, ast.Call] = {}
    others: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if isinstance(node.value, ast.Call) and _is_refusing_load(node.value, origins):
                found[name] = node.value
            elif not _is_method_of(node.value, name):
                others.add(name)
    return {name: call for name, call in found.items() if name not in others}


def _is_refusing_load(call: ast.Call, origins: Mapping[str, frozenset[str]]) -> bool:
    """Return whether a call is a ``torch.load`` that does not say ``weights_only=False``, nor leaves it open."""
    if origin(call.func, origins) != "torch.load" or any(keyword.arg is None for keyword in call.keywords):
        return False
    said = [keyword.value for keyword in call.keywords if keyword.arg == "weights_only"]
    return not said or (isinstance(said[0], ast.Constant) and said[0].value is True)


def _is_method_of(value: ast.expr, name: str) -> bool:
    """Return whether an expression is a chain of calls on a name: ``model.to(device).eval()``."""
    while isinstance(value, ast.Call | ast.Attribute):
        value = value.func if isinstance(value, ast.Call) else value.value
    return isinstance(value, ast.Name) and value.id == name


def _gpu(nodes: list[ast.AST], origins: Mapping[str, frozenset[str]], path: str, tree: ast.Module) -> Iterator[Finding]:
    """Find what needs a GPU, in a file that nowhere asks whether there is one."""
    if any(isinstance(node, ast.Attribute) and node.attr in _ASKS for node in ast.walk(tree)):
        return
    if not any("torch" in one for names in origins.values() for one in names):
        return
    for node in nodes:
        if isinstance(node, ast.Call) and (what := _on_gpu(node, origins)):
            yield Finding(
                "SM123",
                "warning",
                f"{what} needs a GPU: on an instance without one, and on this machine, it would raise RuntimeError.",
                'device = "cuda" if torch.cuda.is_available() else "cpu"; and .to(device)',
                path=path,
                line=node.lineno,
            )


def _on_gpu(call: ast.Call, origins: Mapping[str, frozenset[str]]) -> str:
    def is_cuda(value: ast.expr) -> bool:
        return isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.startswith("cuda")

    attribute = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if attribute == "cuda":
        return f".cuda({', '.join(ast.unparse(one) for one in call.args)})"
    if attribute == "to" and any(map(is_cuda, call.args)):
        return f".to({', '.join(map(ast.unparse, call.args))})"
    if origin(call.func, origins) == "torch.device" and any(map(is_cuda, call.args)):
        return f"torch.device({ast.unparse(call.args[0])})"
    for keyword in call.keywords:
        if keyword.arg in {"device", "map_location"} and is_cuda(keyword.value):
            return f"{keyword.arg}={ast.unparse(keyword.value)}"
    return ""
