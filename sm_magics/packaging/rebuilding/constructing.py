"""Constructor calls that make a module again, found by trying.

What a constructor was called with is not kept anywhere, but most classes keep each argument as an attribute of the same
name, as those of ``torch.nn`` do.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import random
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from .likeness import changed_attributes, plain_attributes, same_structure, tensors
from .literals import Inexpressible, Writer, quoted
from .norms import applied

_WIDTH = 100
_BUILT_ANYWAY = 32 << 20  # bytes of weights up to which a constructor that fails on the meta device is run on the CPU


def construct(make: Callable[[], nn.Module], like: nn.Module, *, seed: int = 0x5EED_CAFE) -> nn.Module:
    """Run a constructor where its weights cost no memory, leaving no trace in the process.

    Parameters
    ----------
    make
        What to call.
    like
        The module that should come out. If it is small, and the meta device does not do (``.item()`` has no value
        there, nor have tensors that are plain attributes), it is constructed on the CPU.
    seed
        Of the random numbers that the constructor draws: the same every time, and none that a person would choose, so
        that what is random does not come out as it is here.

    Raises
    ------
    Exception
        Whatever the constructor raises.
    """
    usual = torch.get_default_dtype()
    with _chance(seed), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float32)  # the endpoint's, whatever the notebook has set
        small = sum(tensor.nbytes for tensor in tensors(like).values()) <= _BUILT_ANYWAY
        try:
            if small and _keeps_tensors(like):
                return make()
            with torch.device("meta"):
                return make()
        except Exception:
            if not small:
                raise
            return make()
        finally:
            torch.set_default_dtype(usual)


@contextlib.contextmanager
def _chance(seed: int) -> Iterator[None]:
    """Seed the random number generators, and leave them as they were."""
    numpy = sys.modules.get("numpy")
    with torch.random.fork_rng(devices=[]), contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        torch.manual_seed(seed)
        random.seed(seed)
        if numpy is not None:
            stack.callback(numpy.random.set_state, numpy.random.get_state())
            numpy.random.seed(seed & 0xFFFF_FFFF)
        yield


def _keeps_tensors(model: nn.Module) -> bool:
    return any(
        isinstance(value, torch.Tensor) for module in model.modules() for value in plain_attributes(module).values()
    )


def call(head: str, arguments: Sequence[str]) -> str:
    """Return a call's source, over several lines if one would be too long."""
    line = f"{head}({', '.join(arguments)})"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    return f"{head}(\n" + "".join(textwrap.indent(argument, "    ") + ",\n" for argument in arguments) + ")"


def expression(module: nn.Module, writer: Writer) -> str | None:
    """Return the expression that constructs a module like this one, or None if none was found.

    The best is one that needs nothing more; else one after which only plain attributes have to be set. Data types and
    shared weights are not looked at.
    """
    best: tuple[int, str] | None = None
    for text in _candidates(module, writer):
        changes = _changes_after(text, module, writer)
        if changes == 0:
            return text
        if changes is not None and (best is None or changes < best[0]):
            best = (changes, text)
    return best[1] if best else None


def _changes_after(text: str, module: nn.Module, writer: Writer) -> int | None:
    """Return how many attributes have to be set after constructing, or None if the structure is another."""
    scope: dict[str, Any] = {**writer.read, **writer.defined, **writer.stored}
    try:
        exec("\n".join([*writer.imports, *writer.definitions]), scope)  # noqa: S102 - import statements that were just written
        built = construct(lambda: eval(text, scope), module)  # noqa: S307 - likewise
    except Exception:  # noqa: BLE001 - whatever a constructor raises, it is not the way
        return None
    if not isinstance(built, nn.Module) or not same_structure(module, built):
        return None
    return len(changed_attributes(module, built))


def _candidates(module: nn.Module, writer: Writer) -> Iterator[str]:
    if (norm := applied(module)) is not None:
        bare, around = norm
        inner = expression(bare, writer)
        if inner is not None:
            writer.imports.add("import torch")
            yield around(inner)
    try:
        name = writer.reference(type(module))
        if isinstance(module, _CONTAINERS) and type(module) in _CONTAINERS:
            yield _container(name, module, writer)
            return
        parameters = _parameters(type(module))
    except (Inexpressible, ValueError, TypeError):
        return
    if all(item.default is not item.empty for item in parameters):
        yield f"{name}()"
    with contextlib.suppress(Inexpressible):
        yield call(name, _arguments(module, parameters, writer))


def _parameters(cls: type[nn.Module]) -> list[inspect.Parameter]:
    """Return the named parameters of a class's constructor.

    Raises
    ------
    ValueError, TypeError
        If it has no signature.
    """
    found = [*inspect.signature(cls).parameters.values()]
    if issubclass(cls, nn.RNNBase) and cls.__module__.startswith("torch."):
        # LSTM and its kin take (*args, **kwargs); the base class says which, and adds the mode that is theirs to give.
        found = [item for item in inspect.signature(nn.RNNBase).parameters.values() if item.name != "mode"]
        found.append(inspect.Parameter("nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh"))
    return [item for item in found if item.kind not in {item.VAR_POSITIONAL, item.VAR_KEYWORD}]


def _arguments(module: nn.Module, parameters: Sequence[inspect.Parameter], writer: Writer) -> list[str]:
    """Return arguments out of the attributes that are named like them, those that are as by default left out.

    Raises
    ------
    Inexpressible
        If one that is required is not to be had.
    """
    of_torch = type(module).__module__.startswith("torch.nn.")
    by_position = True
    arguments: list[str] = []
    for parameter in parameters:
        found = _attribute(module, parameter.name)
        if found is None or (parameter.default is not parameter.empty and _is_default(found[0], parameter.default)):
            if parameter.default is parameter.empty:
                raise Inexpressible(f"has no attribute {parameter.name}")
            by_position = False
            continue
        value = found[0]
        if of_torch and type(value) is tuple and len(set(value)) == 1 and type(value[0]) is int:
            value = value[0] if parameter.name != "normalized_shape" else value
        text = _child(value, writer) if isinstance(value, nn.Module) else writer.named(parameter.name, value)
        positional = parameter.kind is parameter.POSITIONAL_ONLY or (
            of_torch and by_position and parameter.default is parameter.empty
        )
        arguments.append(text if positional else f"{parameter.name}={text}")
    return arguments


def _attribute(module: nn.Module, name: str) -> tuple[Any] | None:
    """Return an instance's attribute in a tuple, or None if it has none that a constructor may have been given."""
    if name in module._parameters:  # noqa: SLF001 - one that is None counts
        return (module._parameters[name] is not None,)  # noqa: SLF001 - torch.nn's `bias=True`
    if name in module._modules:  # noqa: SLF001
        return (module._modules[name],)  # noqa: SLF001
    attributes = plain_attributes(module)
    for spelling in (name, f"_{name}"):
        if spelling in attributes:
            return (attributes[spelling],)
    return None


def _is_default(value: Any, default: Any) -> bool:
    if type(value) is tuple and type(default) is int:
        return value == (default,) * len(value)
    return type(value) is type(default) and bool(value == default)


def _child(child: nn.Module, writer: Writer) -> str:
    text = expression(child, writer)
    if text is None or _changes_after(text, child, writer) != 0:
        raise Inexpressible(f"has a {type(child).__name__} that no single call constructs")
    return text


def _container(name: str, module: nn.Module, writer: Writer) -> str:
    children = {key: _child(child, writer) for key, child in module._modules.items() if child is not None}  # noqa: SLF001
    numbered = list(children) == [str(index) for index in range(len(children))]
    if isinstance(module, nn.Sequential) and numbered:
        return call(name, list(children.values()))
    if isinstance(module, nn.ModuleList) and numbered:
        return call(name, [_brackets("[", list(children.values()), "]")]) if children else f"{name}()"
    if isinstance(module, nn.ModuleDict):
        return call(name, [_brackets("{", [f"{quoted(key)}: {text}" for key, text in children.items()], "}")])
    writer.imports.add("from collections import OrderedDict")
    pairs = [f"({quoted(key)}, {text})" for key, text in children.items()]
    return call(name, [call("OrderedDict", [_brackets("[", pairs, "]")])])


def _brackets(opening: str, items: Sequence[str], closing: str) -> str:
    line = f"{opening}{', '.join(items)}{closing}"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    return f"{opening}\n" + "".join(textwrap.indent(item, "    ") + ",\n" for item in items) + closing


_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
