"""Code that makes a module again without the arguments that its constructor was called with.

The simplest way that works is taken: the constructor without arguments; with arguments named like attributes of the
instance; one of them with what differs set afterwards; else the module is put together part by part without its
constructor. That it works is seen by running the code on the meta device, where weights take no memory.
"""

from __future__ import annotations

import ast
import contextlib
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from sm_magics.errors import InferenceScriptError
from sm_magics.packaging.suggestions import moved_out, own_model_fn

from .constructing import call, construct, expression
from .likeness import (
    Change,
    added_hooks,
    changed_attributes,
    hooks,
    modules,
    plain_attributes,
    same_structure,
    shared,
    tensors,
)
from .literals import Inexpressible, Writer, quoted
from .places import empty, join, member, places, set_tensor, tensor_at
from .reading import is_read

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
    stored
        Name to value, for what the code takes from a file.
    sets_mode
        Whether the code puts the model into its mode: parts of it stay in training mode at the endpoint.
    notes
        Sentences on what the person should know.
    """

    imports: tuple[str, ...]
    code: str
    defined: Mapping[str, object]
    imported: tuple[object, ...]
    stored: Mapping[str, object]
    sets_mode: bool
    notes: tuple[str, ...] = ()


def rebuild(model: nn.Module, namespace: Mapping[str, Any], *, mentioned: Collection[str] = ()) -> Rebuild:
    """Return code that makes a module like this one, up to the values of its weights.

    Parameters
    ----------
    model
        The module in the notebook. It is not changed.
    namespace
        The notebook's variables: names that they take are not used for anything else.
    mentioned
        Attributes that the handlers read.

    Raises
    ------
    InferenceScriptError
        If the module holds what cannot be written as code; names the attribute and the way out.
    """
    return _Draft(model, namespace, mentioned).finished()


def unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the buffers that a module's own state_dict leaves out, by their path in it.

    The module that the code makes has them in its state_dict, since nothing else would carry their values.
    """
    return {
        join(path, name): buffer
        for path, module in modules(model).items()
        for name, buffer in module._buffers.items()  # noqa: SLF001 - which ones persist is said nowhere else
        if buffer is not None and name in module._non_persistent_buffers_set  # noqa: SLF001
    }


class _Draft:
    """``build_model()`` as it is being written: lines that make the variable ``model``."""

    def __init__(self, model: nn.Module, namespace: Mapping[str, Any], mentioned: Collection[str]) -> None:
        self._model = model
        self._mentioned = mentioned
        self._notes: list[str] = []
        self._left_out: set[str] = set()
        named = (name for name, value in namespace.items() if value is model and not name.startswith("_"))
        self._variable = next(named, "model")
        self._places = places(model)
        self._writer = Writer(namespace)
        self._lines: list[str] = []
        self._bare = False
        self._place("model", "model = {}", model)
        self._lines += self._dtypes("", self._run())
        self._lines += self._ties(self._run())
        if unsaved_buffers(model):
            self._lines.append(_PERSIST)
        self._lines += self._attributes(self._run(), self._run(seed=0xFACADE))
        self._lines += self._hooks(self._run())
        self._lines += (modes := self._modes())
        self._sets_mode = bool(modes)
        built = self._run()
        if not same_structure(model, built, exactly=True):
            raise self._failure(": what its class makes has other parts, shapes or shared weights than it has here")
        changes = [one for one in changed_attributes(model, built, trusting=True) if one.path not in self._left_out]
        if changes:
            raise self._failure(f": its attribute {changes[0].path!r} never comes out equal to what it is here")

    def finished(self) -> Rebuild:
        """Return the code with those imports that it uses."""
        code = self._text()
        used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
        imports = [line for line in sorted(self._writer.imports) if _bound_by(line) in used]
        defined = {name: value for name, value in self._writer.defined.items() if name in used}
        imported = [value for value in self._writer.imported if getattr(value, "__name__", "") in used]
        stored = {name: value for name, value in self._writer.stored.items() if name in used}
        imported = list(dict.fromkeys(imported))
        return Rebuild(
            tuple(imports), code, defined, tuple(imported), stored, self._sets_mode, tuple(dict.fromkeys(self._notes))
        )

    def _text(self) -> str:
        if len(self._lines) == 1:
            body = f"return {self._lines[0].removeprefix('model = ')}"
        else:
            body = "\n".join([*self._lines, "return model"])
        body = f'"""Build the model as it was in the notebook. Its weights are loaded afterwards."""\n{body}\n'
        code = "def build_model():\n" + textwrap.indent(body, "    ")
        definitions = [one for one in sorted(self._writer.definitions) if f"{_defines(one)}(" in code]
        return "".join([*(f"{one}\n\n" for one in definitions), _BARE if self._bare else "", code])

    def _run(self, **options: int) -> nn.Module:
        """Run what stands there so far."""
        scope: dict[str, Any] = {**self._writer.read, **self._writer.defined, **self._writer.stored}
        source = "\n".join([*sorted(self._writer.imports), self._text()])
        try:
            exec(compile(source, "sm_model.py", "exec"), scope)  # noqa: S102 - what was written here a moment ago
            return construct(scope["build_model"], self._model, **options)
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

    def _held_modules(self, change: Change, message: str) -> InferenceScriptError | None:
        """Return the error for modules in a list or dictionary, with what makes them parts of the model."""
        value = change.value
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        if not parts or not all(isinstance(part, nn.Module) for part in parts):
            return None
        place = f"{self._variable}{self._places[change.module].removeprefix('model')}.{change.name}"
        kind = "ModuleDict" if isinstance(value, dict) else "ModuleList"
        return InferenceScriptError(message, hint=f"{place} = torch.nn.{kind}({place})    # or in its class's __init__")

    def _compiled(self) -> InferenceScriptError | None:
        """Return the error for a part that torch.compile wraps, which only its process has."""
        for path, module in modules(self._model).items():
            if "_orig_mod" in module._modules:  # noqa: SLF001 - what torch.compile wraps is called so
                place = self._variable + self._places[path].removeprefix("model")
                return InferenceScriptError(
                    f"{place} is compiled (torch.compile), and what is compiled does not leave its process.",
                    hint=f"{place} = {place}._orig_mod    # the same module; the model may be compiled in model_fn",
                )
            if ".quantized." in type(module).__module__:
                place = self._variable + self._places[path].removeprefix("model")
                return InferenceScriptError(
                    f"{place} is quantised ({type(module).__name__}), which does not survive "
                    "a change of torch version.",
                    hint=f"%sm_package {self._variable} --save-as torchscript",
                )
        return None

    def _failure(self, reason: str) -> InferenceScriptError:
        if (known := self._reparametrized()) is not None:
            return known
        if (known := self._compiled()) is not None:
            return known
        hooked = [type(module).__name__ for module in self._model.modules() if hooks(module)]
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
            text = "None" if parameter is None else f"nn.Parameter({empty(parameter)})"
            self._lines.append(f"{place}.register_parameter({quoted(name)}, {text})")
        for name, buffer in module._buffers.items():  # noqa: SLF001
            text = "None" if buffer is None else empty(buffer)
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
                self._place(member(place, name, module), put, child)

    def _without_constructor(self, module: nn.Module) -> str:
        if type(module) in {nn.Sequential, nn.ModuleList, nn.ModuleDict}:
            return f"nn.{type(module).__name__}()"
        self._bare = True
        arguments = [self._reference(type(module))]
        for name, value in plain_attributes(module).items():
            # One that refers to parts of the model is set when they are there, or found to be inexpressible then.
            with contextlib.suppress(Inexpressible):
                arguments.append(f"{name}={self._writer.named(name, value)}")
        return call("_bare", arguments)

    def _reference(self, cls: type) -> str:
        try:
            return self._writer.reference(cls)
        except Inexpressible as reason:
            message = f"The class {cls.__qualname__} {reason}, so it cannot be built again from code."
            hint = moved_out(cls) if "<locals>" in cls.__qualname__ else own_model_fn(type(self._model).__name__)
            raise self._reparametrized() or InferenceScriptError(message, hint=hint) from reason

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
        lines = [line for name, _ in live.named_children() for line in self._dtypes(join(path, name), built)]
        own = (name for name in differing if "." not in name)
        lines.extend(self._converted(self._places[path], name, here[name]) for name in own)
        return lines

    def _converted(self, place: str, name: str, tensor: torch.Tensor) -> str:
        self._writer.imports |= {"import torch", "from torch import nn"}
        text = f"{tensor_at(place, name, tensor)}.to({tensor.dtype})"
        if isinstance(tensor, nn.Parameter):
            gradient = "" if tensor.is_floating_point() else ", requires_grad=False"
            text = f"nn.Parameter({text}{gradient})"
        return set_tensor(place, name, tensor, text)

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
                text = tensor_at(self._places[of], original, everything[path])
                lines.append(set_tensor(self._places[module], name, everything[path], text))
        return lines

    def _hooks(self, built: nn.Module) -> list[str]:
        """Return lines that register what the notebook has registered."""
        added = added_hooks(self._model, built)
        if added is None:
            raise self._failure(": its hooks are not those that its class registers")
        lines = []
        for path, found in added.items():
            for register, function, options in found:
                try:
                    arguments = [self._writer.value(function), *(f"{name}=True" for name in options)]
                except Inexpressible as reason:
                    raise self._failure(f": a hook is registered on its {path}, which {reason}") from reason
                lines.append(f"{self._places[path]}.{register}({', '.join(arguments)})")
        return lines

    def _modes(self) -> list[str]:
        """Return lines that leave in training mode what is so in a model that is otherwise in evaluation mode."""
        everything = modules(self._model)
        if self._model.training or not any(module.training for module in everything.values()):
            return []
        lines = ["# In the notebook, these parts are in training mode while the model is not.", "model.eval()"]
        for path, module in everything.items():
            parent = everything[path.rpartition(".")[0]]
            if path and module.training is not parent.training:
                lines.append(f"{self._places[path]}.{'train' if module.training else 'eval'}()")
        return lines

    def _attributes(self, built: nn.Module, again: nn.Module) -> list[str]:
        """Return lines that set the plain attributes that differ in either of two modules: chance sets them apart."""
        for path, tensor in reversed(tensors(self._model).items()):
            module, _, name = path.rpartition(".")
            self._writer.parts[id(tensor)] = tensor_at(self._places[module], name, tensor)
        for path, part in reversed(modules(self._model).items()):
            self._writer.parts[id(part)] = self._places[path]
        lines = []
        changes = [*changed_attributes(self._model, built), *changed_attributes(self._model, again)]
        for change in {change.path: change for change in changes}.values():
            owner = type(self._model.get_submodule(change.module)).__name__
            try:
                lines.append(
                    f"{self._places[change.module]}.{change.name} = {self._writer.named(change.name, change.value)}"
                )
            except Inexpressible as reason:
                if not is_read(change.name, self._model, self._mentioned):
                    self._left_out.add(change.path)
                    self._notes.append(
                        f"The attribute {change.name} of {owner}, which nothing reads at the endpoint, stays behind."
                    )
                    continue
                if (known := self._compiled()) is not None:
                    raise known from reason
                message = f"The attribute {change.name!r} of {owner} {reason}, so it cannot be built again from code."
                raise self._held_modules(change, message) or self._refusal(message) from reason
        return lines


def _defines(definition: str) -> str:
    return definition.removeprefix("def ").partition("(")[0]


def _bound_by(statement: str) -> str:
    return statement.rsplit(maxsplit=1)[-1].partition(".")[0]
