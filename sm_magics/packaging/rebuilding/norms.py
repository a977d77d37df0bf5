"""Weight and spectral norm that were put on a module: the call that puts them on again, around its constructor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

Applied = tuple[nn.Module, Callable[[str], str]]


def applied(module: nn.Module) -> Applied | None:
    """Return a module as it was before the norm on it, and what writes the call around the expression for that one.

    None for a module without a norm, or with several.
    """
    found = [*_older(module), *_newer(module)]
    return found[0] if len(found) == 1 else None


def _older(module: nn.Module) -> Iterator[Applied]:
    """Look for the norms of ``torch.nn.utils``, which are hooks."""
    hooks = module._forward_pre_hooks  # noqa: SLF001 - how they work
    for key, hook in hooks.items():
        options: dict[str, Any]
        parts: tuple[str, ...]
        if type(hook) is WeightNorm:
            function, weight, parts = "weight_norm", "v", ("g", "v")
            options = {"dim": None if hook.dim == -1 else hook.dim}
        elif type(hook) is SpectralNorm:
            function, weight, parts = "spectral_norm", "orig", ("orig", "u", "v")
            options = {"n_power_iterations": hook.n_power_iterations, "eps": hook.eps, "dim": hook.dim}
        else:
            continue
        bare = _copied(module, type(module))
        bare._forward_pre_hooks = type(hooks)((other, one) for other, one in hooks.items() if other != key)  # noqa: SLF001
        bare.__dict__.pop(hook.name, None)
        original = module._parameters[f"{hook.name}_{weight}"]  # noqa: SLF001
        for part in parts:
            bare._parameters.pop(f"{hook.name}_{part}", None)  # noqa: SLF001
            bare._buffers.pop(f"{hook.name}_{part}", None)  # noqa: SLF001
        bare._parameters[hook.name] = original  # noqa: SLF001
        yield bare, _call(f"torch.nn.utils.{function}", hook.name, options)


def _newer(module: nn.Module) -> Iterator[Applied]:
    """Look for the norms of ``torch.nn.utils.parametrizations``."""
    if not parametrize.is_parametrized(module):
        return
    held: Any = module.parametrizations
    for name, chain in held.items():
        kind = type(chain[0]).__name__
        options: dict[str, Any]
        if len(chain) != 1 or len(held) != 1:
            return
        if kind == "_WeightNorm":
            function, options = "weight_norm", {"dim": None if chain[0].dim == -1 else chain[0].dim}
        elif kind == "_SpectralNorm":
            function = "spectral_norm"
            options = {"n_power_iterations": chain[0].n_power_iterations, "eps": chain[0].eps, "dim": chain[0].dim}
        else:
            return
        bare = _copied(module, type(module).__bases__[0])
        del bare._modules["parametrizations"]  # noqa: SLF001
        bare._parameters[name] = nn.Parameter(getattr(module, name).detach())  # noqa: SLF001
        yield bare, _call(f"torch.nn.utils.parametrizations.{function}", name, options)


def _copied(module: nn.Module, cls: type[Any]) -> nn.Module:
    """Return a copy of a module, as one of this class, that shares its tensors."""
    bare: nn.Module = object.__new__(cls)
    vars(bare).update(vars(module))
    for held in ("_parameters", "_buffers", "_modules"):
        bare.__dict__[held] = module.__dict__[held].copy()
    return bare


def _call(function: str, name: str, options: dict[str, Any]) -> Callable[[str], str]:
    # 0 and None are the defaults of `dim`, but not for every kind of layer: it is written out.
    written = ", ".join(f"{option}={value!r}" for option, value in options.items())
    return lambda inner: f'{function}({inner}, "{name}", {written})'
