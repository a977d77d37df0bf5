"""The code that is written for a model: ``sm_model.py``, which builds it again, and a ``model_fn`` that loads it.

``sm_model.py`` is the slice of the notebook that ``build_model()`` needs, as if that had been the notebook's last cell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.nn import functional

from sm_magics.authoring import CodeFolder, slice_of
from sm_magics.authoring.checks.imported import foreign_imports
from sm_magics.authoring.script import Script
from sm_magics.authoring.slicing.patched import is_used, replaced
from sm_magics.errors import InferenceScriptError

from .loaded import same_class
from .objects import NotebookValues
from .own_modules import own_files
from .rebuilding.rebuild import rebuild

MARK = "# Written by %sm_package"
"""How a section begins that was written here."""

_STATE_DICT = '''\
{mark}: what sm_model.py builds, with the weights in {file}.
import os

import torch

from sm_model import build_model


def model_fn(model_dir):
    """Return the trained model, ready to predict."""
    model = build_model()
    weights = torch.load(os.path.join(model_dir, "{file}"), map_location="cpu", weights_only=True, mmap=True)
    model.load_state_dict(weights, strict=True)
    return model{eval}
'''
_MODULE = '''\
{mark}: {file} is the pickled model, whose class must be importable.
import os

import torch


def model_fn(model_dir):
    """Return the trained model, ready to predict."""
    return torch.load(os.path.join(model_dir, "{file}"), map_location="cpu", weights_only=False).eval()
'''
_TORCHSCRIPT = '''\
{mark}: {file} is TorchScript, which needs no class.
import os

import torch


def model_fn(model_dir):
    """Return the trained model, ready to predict."""
    return torch.jit.load(os.path.join(model_dir, "{file}"), map_location="cpu").eval()
'''
_MODEL_FN = {"state_dict": _STATE_DICT, "module": _MODULE, "torchscript": _TORCHSCRIPT}


@dataclass(frozen=True)
class ModelCode:
    """``sm_model.py`` and what goes beside it.

    Attributes
    ----------
    source
        The file's text.
    names
        The classes and functions of the notebook in it.
    files
        The sources of the user's own modules that it imports, by their path below ``code/``.
    objects
        The notebook's values that it imports from ``sm_objects``.
    sets_mode
        Whether ``build_model()`` puts the model into its mode.
    notes
        Sentences on what the person should know.
    """

    source: str
    names: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, Any] = field(default_factory=dict)
    sets_mode: bool = False
    notes: tuple[str, ...] = ()


def model_fn(saved_as: str, file: str, *, sets_mode: bool = False) -> str:
    """Return the section of ``inference.py`` that loads a model file, which puts the model into evaluation mode.

    Unless the code that builds it `sets_mode` itself.
    """
    text = _MODEL_FN[saved_as].replace("{mark}", MARK).replace("{file}", file)
    return text.replace("{eval}", "" if sets_mode else ".eval()")


def is_edited(script: Script | None, folder: CodeFolder) -> bool:
    """Return whether the script's ``model_fn`` was written here and has been edited by hand since."""
    section = script.section("model_fn") if script else None
    return section is not None and section.source.startswith(MARK) and not folder.is_generated("model_fn")


def model_code(
    model: nn.Module,
    cells: Sequence[str],
    namespace: Mapping[str, Any],
    *,
    mentioned: Collection[str] = (),
    objects: Collection[str] = (),
) -> ModelCode:
    """Return the code that builds a module again, with the classes that it needs.

    Parameters
    ----------
    model
        The module. It is not changed.
    cells
        The sources of the notebook's cells executed so far, oldest first.
    namespace
        The notebook's variables.
    mentioned
        Attributes of the model that the handlers read.
    objects
        Variables that travel as files.

    Raises
    ------
    InferenceScriptError
        If the module cannot be built again from code, or the source of a class is not to be had.
    """
    made = rebuild(model, namespace, mentioned=mentioned)
    variables = {**namespace, **_classes(model), **made.stored}
    cell = "\n".join([*made.imports, "", made.code])
    scope: dict[str, Any] = {"__name__": "__main__", **made.defined, **made.stored}
    exec(compile(cell, "sm_model.py", "exec"), scope)  # noqa: S102 - written by rebuild, which ran it already
    found = slice_of(
        scope["build_model"],
        cells=[*cells, cell],
        namespace={**variables, **{name: value for name, value in scope.items() if not name.startswith("__")}},
        values=NotebookValues(variables),
        objects={*objects, *made.stored},
    )
    lost = [name for name in made.defined if name not in found.names]
    if lost or "build_model" not in found.names:
        raise InferenceScriptError(
            f"The source of {lost[0] if lost else type(model).__name__} is not to be found in the notebook's cells.",
            hint=f"Run the cell with {lost[0] if lost else type(model).__name__} again and make the model anew, "
            "or put it into a file of its own (%%writefile nets.py) and import it from there.",
        )
    attached = [name for name in found.missing if "." in name]
    if attached:
        owner, _, method = attached[0].rpartition(".")
        raise InferenceScriptError(
            f"{attached[0]} was put on the class after its definition, or has changed since, in a way that does not "
            "travel with its source.",
            hint=f"def {method}(self, …): …   # inside class {owner}, or a function, then: {owner}.{method} = {method}",
        )
    _check_libraries(model, cells, variables, found.source)
    names = tuple(name for name in found.names if name not in {"build_model", "_bare", "_object"})
    header = '"""The model as the notebook defines it, and how it is built again without its weights."""\n'
    source = f"{header}\n{found.source}"
    own = own_files([*found.modules, *(one.top for one in foreign_imports(source, "sm_model.py"))])
    notes = [*_redefined({**_classes(model), **made.defined}, namespace), *made.notes, *own.notes]
    return ModelCode(source, names, own.sources, found.objects, made.sets_mode, tuple(notes))


def _check_libraries(model: nn.Module, cells: Sequence[str], namespace: Mapping[str, Any], source: str) -> None:
    """Refuse a model that answers as it does because the notebook has replaced something in a library.

    Raises
    ------
    InferenceScriptError
        Naming it.
    """
    kinds = {type(module) for module in model.modules()}
    called = {name for kind in kinds for name in getattr(getattr(kind.forward, "__code__", None), "co_names", ())}
    for one in replaced(cells, namespace):
        if isinstance(one.owner, type):
            used = any(issubclass(kind, one.owner) for kind in kinds)
            own = one.owner.__name__
            way_out = (
                f"class My{own}({one.name.rpartition('.')[0]}): …   # with your {one.attribute}, used in the model"
            )
        else:
            used = one.owner is functional and one.attribute in called
            way_out = f"my_{one.attribute} = …   # a function of its own name, and call that in place of {one.name}"
        if used or is_used(one, source, namespace):
            raise InferenceScriptError(
                f"This notebook has replaced {one.name}, which the model uses: in the container it is the library's.",
                hint=way_out,
            )


def _classes(model: nn.Module) -> dict[str, type]:
    """Return the notebook's classes that the parts of a model are of, by name: they may have been defined again since.

    Raises
    ------
    InferenceScriptError
        If there are two of one name.
    """
    found: dict[str, type] = {}
    for module in model.modules():
        cls = type(module)
        if cls.__module__ != "__main__" or "." in cls.__qualname__:
            continue
        if not same_class(found.setdefault(cls.__name__, cls), cls):
            raise InferenceScriptError(
                f"The model has parts of two classes called {cls.__name__}: it was defined again while they were made.",
                hint=f"Run the cell with {cls.__name__} again and make the model anew.",
            )
    return found


def _redefined(defined: Mapping[str, object], namespace: Mapping[str, Any]) -> list[str]:
    again = [name for name, value in defined.items() if namespace.get(name, value) is not value]
    return [f"{name} has been defined again since this model was made; the model keeps its own." for name in again]


def uses_sm_model(script: Script | None) -> bool:
    """Return whether the script imports ``sm_model`` itself."""
    text = script.render() if script else ""
    return bool(re.search(r"^\s*(?:from sm_model import|import sm_model)\b", text, re.MULTILINE))
