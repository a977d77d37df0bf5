"""How far a rebuilt module is like the one in the notebook, their weights' values aside.

The rebuilt one usually lies on the meta device, where tensors have shapes but no memory.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .lambdas import behaviour

_BY_IDENTITY: Any = object.__eq__
_OWN = frozenset(vars(nn.Module()))  # what every module has; compared by what it means, not attribute by attribute


@dataclass(frozen=True)
class Change:
    """An attribute of a rebuilt module that has to be set.

    Attributes
    ----------
    module
        The path of the module, empty for the whole.
    name
        The attribute.
    value
        What it is in the notebook.
    """

    module: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        """Where the attribute is in the model: ``blocks.0.scale``."""
        return f"{self.module}.{self.name}".lstrip(".")


def kind(value: object) -> tuple[str, str]:
    """Return what a value's class is called; a class that was defined again by the same code is called the same."""
    cls = type(value)
    return cls.__module__, cls.__qualname__


def modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module by its path; one that stands in several places is there several times."""
    return dict(model.named_modules(remove_duplicate=False))


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return every parameter and buffer by its path, the buffers that state_dict leaves out too."""
    found: dict[str, torch.Tensor] = {}
    for path, module in modules(model).items():
        for name, tensor in _registered(module):
            if tensor is not None:
                found[f"{path}.{name}".lstrip(".")] = tensor
    return found


def _registered(module: nn.Module) -> Iterator[tuple[str, torch.Tensor | None]]:
    yield from module._parameters.items()  # noqa: SLF001 - the public iterators leave out what is None
    yield from module._buffers.items()  # noqa: SLF001


def plain_attributes(module: nn.Module, *, computed: bool = False) -> dict[str, Any]:
    """Return what a module has of its own beside parameters, buffers and children.

    The weight that the old weight_norm and spectral_norm compute before each call, and keep as an attribute, is left
    out unless what is computed is asked for.
    """
    hooks = () if computed else module._forward_pre_hooks.values()  # noqa: SLF001
    left_out = _OWN | {getattr(hook, "name", None) for hook in hooks}
    return {name: value for name, value in vars(module).items() if name not in left_out}


def same_structure(live: nn.Module, built: nn.Module, *, exactly: bool = False) -> bool:
    """Return whether both have the same tree of modules with parameters and buffers of the same names and shapes.

    Exactly the same structure is also shared in the same places and has the same data types; otherwise, the built one
    shares no more than the live one.
    """
    if _structure(live) != _structure(built):
        return False
    here, there = tensors(live), tensors(built)
    ties = [(shared(here), shared(there)), (shared(modules(live)), shared(modules(built)))]
    if not exactly:
        return all(built_ties.items() <= live_ties.items() for live_ties, built_ties in ties)
    same_types = all(tensor.dtype == there[path].dtype for path, tensor in here.items())
    return same_types and all(built_ties == live_ties for live_ties, built_ties in ties)


def _structure(model: nn.Module) -> list[Any]:
    return [
        (
            path,
            kind(module),
            {name: _shape(tensor) for name, tensor in module._parameters.items()},  # noqa: SLF001
            {name: _shape(tensor) for name, tensor in module._buffers.items()},  # noqa: SLF001
            # Those that belong to a parameter, as the old weight_norm's; functions may be registered afterwards.
            [kind(hook) for hook in module._forward_pre_hooks.values() if not _is_function(hook)],  # noqa: SLF001
        )
        for path, module in modules(model).items()
    ]


def _shape(tensor: torch.Tensor | None) -> tuple[int, ...] | None:
    if tensor is None or torch.nn.parameter.is_lazy(tensor):
        return None if tensor is None else (-1,)
    return tuple(tensor.shape)


def _is_function(hook: Any) -> bool:
    return isinstance(hook, types.FunctionType | types.MethodType | types.BuiltinFunctionType | functools.partial)


def hooks(module: nn.Module) -> list[tuple[str, Any, dict[str, bool]]]:
    """Return what runs before and after a module's forward: what registers it, the function, and the options."""
    found: list[tuple[str, Any, dict[str, bool]]] = []
    for register, held, with_kwargs, always in (
        ("register_forward_pre_hook", module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs, {}),  # noqa: SLF001
        (
            "register_forward_hook",
            module._forward_hooks,  # noqa: SLF001
            module._forward_hooks_with_kwargs,  # noqa: SLF001
            module._forward_hooks_always_called,  # noqa: SLF001
        ),
    ):
        for key, function in held.items():
            options = {"with_kwargs": key in with_kwargs, "always_call": key in always}
            found.append((register, function, {name: True for name, is_on in options.items() if is_on}))
    return found


def added_hooks(live: nn.Module, built: nn.Module) -> dict[str, list[tuple[str, Any, dict[str, bool]]]] | None:
    """Return the hooks that the built module lacks, by path; None where it has others than the live one."""
    comparison = _Comparison(live, built, trusting=True)
    twins = modules(built)
    added: dict[str, list[tuple[str, Any, dict[str, bool]]]] = {}
    seen: set[int] = set()
    for path, module in modules(live).items():
        if id(module) in seen:
            continue
        seen.add(id(module))
        for register in ("register_forward_pre_hook", "register_forward_hook"):
            here = [hook for hook in hooks(module) if hook[0] == register]
            there = [hook for hook in hooks(twins[path]) if hook[0] == register]
            if len(there) > len(here) or not all(
                comparison.same(one[1], two[1]) and one[2] == two[2] for one, two in zip(here, there, strict=False)
            ):
                return None
            if len(here) > len(there):
                added.setdefault(path, []).extend(here[len(there) :])
    return added


def changed_attributes(live: nn.Module, built: nn.Module, *, trusting: bool = False) -> list[Change]:
    """Return the plain attributes that the built module lacks or has with another value, in the modules' order.

    A tensor on the meta device has no value; trusting, only its shape and type are compared.
    """
    here, there = modules(live), modules(built)
    comparison = _Comparison(live, built, trusting=trusting)
    changes: list[Change] = []
    seen: set[int] = set()
    for path, module in here.items():
        if id(module) in seen:
            continue
        seen.add(id(module))
        twins = plain_attributes(there[path])
        for name, value in plain_attributes(module).items():
            if name not in twins or not comparison.same(value, twins[name]):
                changes.append(Change(path, name, value))
    return changes


def shared(items: dict[str, Any]) -> dict[str, str]:
    """Return which paths hold the same object as an earlier one: path to the first path."""
    first: dict[int, str] = {}
    return {path: first[id(item)] for path, item in items.items() if first.setdefault(id(item), path) != path}


class _Comparison:
    """Compares attributes of two modules, in which a part of the one stands for the same part of the other."""

    def __init__(self, live: nn.Module, built: nn.Module, *, trusting: bool) -> None:
        self._trusting = trusting
        self._parts = (_paths(live), _paths(built))

    def same(self, one: Any, two: Any, depth: int = 0) -> bool:
        if one is two or (isinstance(one, torch.device) and isinstance(two, torch.device)):
            return True  # of devices, the endpoint has its own
        if kind(one) != kind(two) or depth > 8:  # noqa: PLR2004 - deeper than any configuration
            return False
        path = self._parts[0].get(id(one))
        if path is not None or isinstance(one, nn.Module):
            return path is not None and path == self._parts[1].get(id(two))
        if isinstance(one, torch.Tensor):
            alike = one.shape == two.shape and one.dtype == two.dtype
            return alike and (self._trusting if two.is_meta else _equal(one, two))
        if isinstance(one, weakref.ReferenceType):
            one, two = one(), two()
            return self.same(one, two, depth + 1)
        return self._same_contents(one, two, depth + 1)

    def _same_contents(self, one: Any, two: Any, depth: int) -> bool:
        if isinstance(one, (list, tuple)) and len(one) == len(two):
            return all(self.same(*pair, depth) for pair in zip(one, two, strict=True))
        if isinstance(one, dict) and list(one) == list(two):
            return all(self.same(one[key], two[key], depth) for key in one)
        if isinstance(one, type):
            return (one.__module__, one.__qualname__) == (two.__module__, two.__qualname__)
        if isinstance(one, (types.FunctionType, types.MethodType, functools.partial)):
            return self.same(_function_parts(one), _function_parts(two), depth)
        slots = [name for base in type(one).__mro__ for name in vars(base).get("__slots__", ())]
        if type(one).__eq__ is not _BY_IDENTITY or not (slots or hasattr(one, "__dict__")):
            return _equal(one, two)
        return self.same(_held(one, slots), _held(two, slots), depth)


def _held(value: Any, slots: list[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | dict(getattr(value, "__dict__", {}))


def _function_parts(function: Any) -> list[Any]:
    if isinstance(function, types.MethodType):
        return [function.__func__, function.__self__]
    if isinstance(function, functools.partial):
        return [function.func, function.args, function.keywords]
    closed_over = inspect.getclosurevars(function).nonlocals
    return [behaviour(function.__code__), function.__defaults__, function.__kwdefaults__, closed_over]


def _paths(model: nn.Module) -> dict[int, str]:
    everything: dict[str, Any] = {**tensors(model), **{f"{path}/": module for path, module in modules(model).items()}}
    return {id(item): path for path, item in reversed(everything.items())}


def _equal(one: Any, two: Any) -> bool:
    try:
        if isinstance(one, torch.Tensor) and one.layout is torch.sparse_coo:
            parts = one.detach().cpu().coalesce(), two.detach().cpu().coalesce()
            same = (torch.equal(*(part.indices() for part in parts)), torch.equal(*(part.values() for part in parts)))
            return one.shape == two.shape and all(same)
        if isinstance(one, torch.Tensor):
            return torch.equal(one.detach().cpu(), two.detach().cpu())
        equal = one == two
        if not hasattr(equal, "all") and not isinstance(one, (float, complex)):
            return bool(equal)
        nan = (one != one) & (two != two)  # noqa: PLR0124 - NaN is like NaN
        if hasattr(equal, "all"):  # arrays
            return bool(one.dtype == two.dtype and (equal | nan).all())
        return bool(equal or nan)
    except Exception:  # noqa: BLE001 - whatever a user's own __eq__ raises, the two are not known to be equal
        return False
