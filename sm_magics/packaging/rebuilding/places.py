"""Where the parts of a model are, and how code gets at them: ``model.blocks[0].conv``."""

from __future__ import annotations

import torch
from torch import nn

from .likeness import modules
from .literals import quoted


def places(model: nn.Module) -> dict[str, str]:
    """Return the expression for each module, by its path: ``model.blocks[0].conv``."""
    found = {"": "model"}
    for path, module in modules(model).items():
        for name, child in module._modules.items():  # noqa: SLF001
            if child is not None:
                found[join(path, name)] = member(found[path], name, module)
    return found


def member(place: str, name: str, parent: nn.Module) -> str:
    """Return the expression for a child of a module at a place."""
    if isinstance(parent, (nn.Sequential, nn.ModuleList)) and name.isdecimal():
        return f"{place}[{name}]"
    if isinstance(parent, nn.ModuleDict):
        return f"{place}[{quoted(name)}]"
    return f"{place}.{name}" if name.isidentifier() else f"{place}.get_submodule({quoted(name)})"


def tensor_at(place: str, name: str, tensor: torch.Tensor) -> str:
    """Return the expression for a parameter or buffer of the module at a place."""
    if name.isidentifier():
        return f"{place}.{name}"
    return f"{place}.{'get_parameter' if isinstance(tensor, nn.Parameter) else 'get_buffer'}({quoted(name)})"


def set_tensor(place: str, name: str, tensor: torch.Tensor, text: str) -> str:
    """Return the statement that gives the module at a place a parameter or buffer."""
    if name.isidentifier():
        return f"{place}.{name} = {text}"
    register = "register_parameter" if isinstance(tensor, nn.Parameter) else "register_buffer"
    return f"{place}.{register}({quoted(name)}, {text})"


def empty(tensor: torch.Tensor) -> str:
    """Return the expression for a tensor of the same shape and type, without its values."""
    dtype = "" if tensor.dtype is torch.float32 else f", dtype={tensor.dtype}"
    gradient = "" if tensor.is_floating_point() else ", requires_grad=False"
    return f"torch.empty({tuple(tensor.shape)!r}{dtype}){gradient if isinstance(tensor, nn.Parameter) else ''}"


def join(path: str, name: str) -> str:
    """Return the path of a part."""
    return f"{path}.{name}" if path else name
