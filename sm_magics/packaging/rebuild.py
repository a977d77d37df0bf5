"""Code that makes a module again without the arguments that its constructor was called with.

The simplest way that works is taken: the constructor without arguments; with arguments named like attributes of the
instance; one of them with what differs set afterwards; else the module is put together part by part without its
constructor. That it works is seen by running the code on the meta device, where weights take no memory.
"""

from __future__ import annotations

import ast
import contextlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from sm_magics.errors import InferenceScriptError

from .constructing import call, construct, expression
from .likeness import changed_attributes, modules, plain_attributes, same_structure, shared, tensors
from .literals import Inexpressible, Writer, quoted
from .suggestions import own_model_fn

_BARE = '''\
def _bare(cls, **attributes):
    """Return a module of the class that has these attributes, without running its constructor."""
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    vars(module).update(attributes)
    return module


'''
_OLD_NORMS: dict[type, str] = {WeightNorm: "remove_weight_norm", SpectralNorm: "remove_spectral_norm"}
"""The hooks of the norms from before ``torch.nn.utils.parametrizations``, and what takes each off."""

_PERSIST = """\
# state_dict leaves some buffers out. They are saved with the weights, so here they are part of it.
for module in model.modules():
    for name, buffer in list(module.named_buffers(recurse=False)):
        module.register_buffer(name, buffer)"""


@dataclass(frozen=True)
class Rebuild:
    """The code of ``build_model()``.

    Attributes
    ----------
    imports
        The import statements that it needs.
    code
        The definition, without imports.
    defined
        Name to class or function that the code uses and ``__main__`` defines.
    imported
        Classes and functions that the imports give.
    """

    imports: tuple[str, ...]
    code: str
    defined: Mapping[str, object]
    imported: tuple[object, ...]


def rebuild(model: nn.Module, namespace: Mapping[str, Any]) -> Rebuild:
    """Return code that makes a module like this one, up to the values of its weights.

    Parameters
    ----------
    model
        The module in the notebook. It is not changed.
    namespace
        The notebook's variables: names that they take are not used for anything else.

    Raises
    ------
    InferenceScriptError
        If the module holds what cannot be written as code; names the attribute and the way out.
    """
    return _Draft(model, namespace).finished()


def unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the buffers that a module's own state_dict leaves out, by their path in it.

    The module that the code makes has them in its state_dict, since nothing else would carry their values.
    """
    return {
        _join(path, name): buffer
        for path, module in modules(model).items()
        for name, buffer in module._buffers.items()  # noqa: SLF001 - which ones persist is said nowhere else
        if buffer is not None and name in module._non_persistent_buffers_set  # noqa: SLF001
    }


class _Draft:
    """``build_model()`` as it is being written: lines that make the variable ``model``."""

    def __init__(self, model: nn.Module, namespace: Mapping[str, Any]) -> None:
        self._model = model
        named = (name for name, value in namespace.items() if value is model and not name.startswith("_"))
        self._variable = next(named, "model")
        self._places = _places(model)
        self._writer = Writer(namespace)
        self._lines: list[str] = []
        self._bare = False
        self._place("model", "model = {}", model)
        self._lines += self._dtypes("", self._run())
        self._lines += self._ties(self._run())
        if unsaved_buffers(model):
            self._lines.append(_PERSIST)
        self._lines += self._attributes(self._run())
        built = self._run()
        if not same_structure(model, built, exactly=True):
            raise self._failure(": what its class makes has other parts, shapes or shared weights than it has here")
        if changes := changed_attributes(model, built, trusting=True):
            raise self._failure(f": its attribute {changes[0].path!r} never comes out equal to what it is here")

    def finished(self) -> Rebuild:
        """Return the code with those imports that it uses."""
        code = self._text()
        used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
        imports = [line for line in sorted(self._writer.imports) if _bound_by(line) in used]
        defined = {name: value for name, value in self._writer.defined.items() if name in used}
        imported = [value for value in self._writer.imported if getattr(value, "__name__", "") in used]
        return Rebuild(tuple(imports), code, defined, tuple(dict.fromkeys(imported)))

    def _text(self) -> str:
        if len(self._lines) == 1:
            body = f"return {self._lines[0].removeprefix('model = ')}"
        else:
            body = "\n".join([*self._lines, "return model"])
        body = f'"""Build the model as it was in the notebook. Its weights are loaded afterwards."""\n{body}\n'
        code = "def build_model():\n" + textwrap.indent(body, "    ")
        return _BARE + code if self._bare else code

    def _run(self) -> nn.Module:
        """Run what stands there so far."""
        scope: dict[str, Any] = dict(self._writer.defined)
        source = "\n".join([*sorted(self._writer.imports), self._text()])
        try:
            exec(compile(source, "sm_model.py", "exec"), scope)  # noqa: S102 - what was written here a moment ago
            return construct(scope["build_model"], self._model)
        except Exception as error:
            raise self._failure(f" ({error})") from error

    def _refusal(self, message: str) -> InferenceScriptError:
        return InferenceScriptError(message, hint=own_model_fn(type(self._model).__name__))

    def _reparametrized(self) -> InferenceScriptError | None:
        """Return the error for weight_norm and its kin that no constructor applies, with what undoes them."""
        for path, module in modules(self._model).items():
            place = self._variable + self._places[path].removeprefix("model")
            undo = ""
            if parametrize.is_parametrized(module):
                name, cls = next(iter(module.parametrizations)), type(module).__bases__[0].__name__  # type: ignore[arg-type]
                undo = f'torch.nn.utils.parametrize.remove_parametrizations({place}, "{name}")'
            for hook in module._forward_pre_hooks.values():  # noqa: SLF001 - how the older ones work
                if type(hook) in _OLD_NORMS:
                    name, cls = hook.name, type(module).__name__  # type: ignore[attr-defined]
                    undo = f'torch.nn.utils.{_OLD_NORMS[type(hook)]}({place}, "{name}")'
            if undo:
                return InferenceScriptError(
                    f"The {name} of the {cls} at {place} is parametrized (weight_norm, spectral_norm or the like), and "
                    "no constructor was found that does so.",
                    hint=f"{undo}    # leaves the weight as it is; or do it in the __init__ of a class",
                )
        return None

    def _failure(self, reason: str) -> InferenceScriptError:
        if (known := self._reparametrized()) is not None:
            return known
        hooked = [type(module).__name__ for module in self._model.modules() if module._forward_hooks]  # noqa: SLF001
        hooked += [type(module).__name__ for module in self._model.modules() if module._forward_pre_hooks]  # noqa: SLF001
        because = f": a hook is registered on its {hooked[0]}" if hooked else reason
        return self._refusal(f"No code was found that builds this {type(self._model).__name__} again{because}.")

    def _place(self, place: str, put: str, module: nn.Module) -> None:
        """Write what makes a module like this one; `put` is the statement that puts the expression at its place."""
        text = expression(module, self._writer)
        if text is not None:
            self._lines.append(put.replace("{}", text))
            return
        self._writer.imports |= {"import torch", "from torch import nn"}
        self._lines.append(put.replace("{}", self._without_constructor(module)))
        for name, parameter in module._parameters.items():  # noqa: SLF001 - those that are None count
            text = "None" if parameter is None else f"nn.Parameter({_empty(parameter)})"
            self._lines.append(f"{place}.register_parameter({quoted(name)}, {text})")
        for name, buffer in module._buffers.items():  # noqa: SLF001
            text = "None" if buffer is None else _empty(buffer)
            self._lines.append(f"{place}.register_buffer({quoted(name)}, {text})")
        by_name = not isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
        for name, child in module._modules.items():  # noqa: SLF001
            put = (
                f"{place}.{name} = {{}}"
                if by_name and name.isidentifier()
                else f"{place}.add_module({quoted(name)}, {{}})"
            )
            if child is None:
                self._lines.append(put.replace("{}", "None"))
            else:
                self._place(_member(place, name, module), put, child)

    def _without_constructor(self, module: nn.Module) -> str:
        if type(module) in {nn.Sequential, nn.ModuleList, nn.ModuleDict}:
            return f"nn.{type(module).__name__}()"
        self._bare = True
        arguments = [self._reference(type(module))]
        for name, value in plain_attributes(module).items():
            # One that refers to parts of the model is set when they are there, or found to be inexpressible then.
            with contextlib.suppress(Inexpressible):
                arguments.append(f"{name}={self._writer.value(value)}")
        return call("_bare", arguments)

    def _reference(self, cls: type) -> str:
        try:
            return self._writer.reference(cls)
        except Inexpressible as reason:
            raise self._reparametrized() or self._refusal(
                f"The class {cls.__qualname__} {reason}, so it cannot be built again from code."
            ) from reason

    def _dtypes(self, path: str, built: nn.Module) -> list[str]:
        """Return lines that give the floating-point tensors below a path the type that they have in the notebook."""
        live, twin = self._model.get_submodule(path), built.get_submodule(path)
        here, there = tensors(live), tensors(twin)
        differing = [name for name in here if here[name].dtype != there[name].dtype]
        if not differing:
            return []
        floating = {tensor.dtype for tensor in here.values() if tensor.is_floating_point()}
        if len(floating) == 1 and all(here[name].is_floating_point() for name in differing):
            self._writer.imports.add("import torch")
            return [f"{self._places[path]}.to({floating.pop()})"]
        lines = [line for name, _ in live.named_children() for line in self._dtypes(_join(path, name), built)]
        own = (name for name in differing if "." not in name)
        lines.extend(self._converted(self._places[path], name, here[name]) for name in own)
        return lines

    def _converted(self, place: str, name: str, tensor: torch.Tensor) -> str:
        self._writer.imports |= {"import torch", "from torch import nn"}
        text = f"{_tensor(place, name, tensor)}.to({tensor.dtype})"
        if isinstance(tensor, nn.Parameter):
            gradient = "" if tensor.is_floating_point() else ", requires_grad=False"
            text = f"nn.Parameter({text}{gradient})"
        return _set_tensor(place, name, tensor, text)

    def _ties(self, built: nn.Module) -> list[str]:
        """Return lines that make shared what the notebook shares: whole modules first, then single tensors."""
        tied = shared(modules(self._model))
        already = shared(modules(built))
        lines = []
        for path, first in tied.items():
            parent = path.rpartition(".")[0]
            if already.get(path) != first and parent not in tied:
                lines.append(f"{self._places[path]} = {self._places[first]}")
        already = shared(tensors(built))
        everything = tensors(self._model)
        for path, first in shared(everything).items():
            module, _, name = path.rpartition(".")
            of, _, original = first.rpartition(".")
            if already.get(path) != first and module not in tied:
                text = _tensor(self._places[of], original, everything[path])
                lines.append(_set_tensor(self._places[module], name, everything[path], text))
        return lines

    def _attributes(self, built: nn.Module) -> list[str]:
        """Return lines that set the plain attributes that differ."""
        for path, tensor in reversed(tensors(self._model).items()):
            module, _, name = path.rpartition(".")
            self._writer.parts[id(tensor)] = _tensor(self._places[module], name, tensor)
        for path, part in reversed(modules(self._model).items()):
            self._writer.parts[id(part)] = self._places[path]
        lines = []
        for change in changed_attributes(self._model, built):
            owner = type(self._model.get_submodule(change.module)).__name__
            try:
                lines.append(f"{self._places[change.module]}.{change.name} = {self._writer.value(change.value)}")
            except Inexpressible as reason:
                raise self._refusal(
                    f"The attribute {change.name!r} of {owner} {reason}, so it cannot be built again from code."
                ) from reason
        return lines


def _places(model: nn.Module) -> dict[str, str]:
    """Return the expression for each module, by its path: ``model.blocks[0].conv``."""
    found = {"": "model"}
    for path, module in modules(model).items():
        for name, child in module._modules.items():  # noqa: SLF001
            if child is not None:
                found[_join(path, name)] = _member(found[path], name, module)
    return found


def _member(place: str, name: str, parent: nn.Module) -> str:
    if isinstance(parent, (nn.Sequential, nn.ModuleList)) and name.isdecimal():
        return f"{place}[{name}]"
    if isinstance(parent, nn.ModuleDict):
        return f"{place}[{quoted(name)}]"
    return f"{place}.{name}" if name.isidentifier() else f"{place}.get_submodule({quoted(name)})"


def _tensor(place: str, name: str, tensor: torch.Tensor) -> str:
    if name.isidentifier():
        return f"{place}.{name}"
    return f"{place}.{'get_parameter' if isinstance(tensor, nn.Parameter) else 'get_buffer'}({quoted(name)})"


def _set_tensor(place: str, name: str, tensor: torch.Tensor, text: str) -> str:
    if name.isidentifier():
        return f"{place}.{name} = {text}"
    register = "register_parameter" if isinstance(tensor, nn.Parameter) else "register_buffer"
    return f"{place}.{register}({quoted(name)}, {text})"


def _empty(tensor: torch.Tensor) -> str:
    dtype = "" if tensor.dtype is torch.float32 else f", dtype={tensor.dtype}"
    gradient = "" if tensor.is_floating_point() else ", requires_grad=False"
    return f"torch.empty({tuple(tensor.shape)!r}{dtype}){gradient if isinstance(tensor, nn.Parameter) else ''}"


def _bound_by(statement: str) -> str:
    return statement.rsplit(maxsplit=1)[-1].partition(".")[0]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
