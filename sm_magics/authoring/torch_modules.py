"""Telling torch's modules from other objects without importing torch: where it is not imported, there is none."""

from __future__ import annotations


def is_module(cls: type) -> bool:
    """Return whether a class is a kind of ``nn.Module``."""
    return any(base.__module__ == "torch.nn.modules.module" and base.__name__ == "Module" for base in cls.__mro__)
