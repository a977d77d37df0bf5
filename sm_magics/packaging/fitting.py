"""How a model is to be saved so that ``code/inference.py`` loads it, and what is written where it does not say."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sm_magics.authoring import CodeFolder, LoadedBy, Script, code_expectations
from sm_magics.authoring.notebook_names import OBJECTS_SECTION, unknown
from sm_magics.authoring.slicing.values import OBJECTS
from sm_magics.authoring.source import parse
from sm_magics.authoring.torch_modules import is_module
from sm_magics.errors import InferenceScriptError, PackagingError, UnsupportedModelError

from .archive import SCRIPT
from .records import Records
from .subject import Subject
from .suggestions import own_model_fn

FORMATS = ("state_dict", "torchscript", "module")
_POSSIBLE = {"module": FORMATS, "torchscript": ("torchscript", "state_dict"), "state_dict": ("state_dict",)}
_USUAL = {"module": "state_dict", "torchscript": "torchscript", "state_dict": "state_dict"}
_WORDS = {"module": "a pickled module", "torchscript": "TorchScript", "state_dict": "a state_dict"}
_OBJECTS_MARK = "# Written by %sm_package: objects of the notebook that the handlers use."
_NO_OBJECTS = "# nothing any more\n"
_NO_HANDLERS = '"""Handlers that are not defined here are the container\'s own."""\n'


@dataclass(frozen=True)
class Notebook:
    """Where the model comes from: the sources of the cells executed so far, oldest first, and the variables."""

    cells: Sequence[str]
    namespace: Mapping[str, Any]


@dataclass(frozen=True)
class Fit:
    """How one model goes with one ``code/`` folder.

    Attributes
    ----------
    saved_as
        One of `FORMATS`.
    file
        The model file's name in the archive.
    note
        A few words on the model file.
    stream
        Returns the model as it is to be saved.
    save
        Writes the model into a file of its own, if its format cannot be had as a stream. For a model that is saved
        already, this and `stream` are None.
    files
        What is written below ``code/``, by relative path.
    objects
        The notebook's values that travel as files.
    sections
        What is written into ``inference.py``, by section.
    names
        The notebook's classes and functions in ``sm_model.py``.
    sets_mode
        Whether ``sm_model.py`` puts the model into its mode.
    notes
        Sentences on what the person should know.
    """

    saved_as: str
    file: str
    note: str
    stream: Callable[[], Records] | None = None
    save: Callable[[Path], None] | None = None
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    objects: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    sets_mode: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_saved(self) -> bool:
        """Whether the model file is to be written."""
        return self.stream is not None or self.save is not None


def fit(
    subject: Subject,
    folder: CodeFolder,
    *,
    notebook: Notebook,
    save_as: str | None,
    sample: Any,
    objects: Sequence[str] = (),
) -> Fit:
    """Decide how a model is saved and which code is written. Changes nothing.

    Parameters
    ----------
    subject
        The model.
    folder
        The code that there is.
    notebook
        Where the model comes from.
    save_as
        How it is to be saved, if not as the code loads it.
    sample
        An input, for tracing.
    objects
        Variables of the notebook that the handlers need.

    Raises
    ------
    PackagingError
        If an object is not there, or cannot be kept in a file.
    InferenceScriptError
        If nothing loads the model: a state_dict without a ``model_fn``, a module that no code builds again.
    UnsupportedModelError
        If the model cannot be saved in that way.
    """
    named = chosen([*objects, *imported_objects(folder.read_script())], notebook.namespace)
    fitting = _fitted(subject, folder, notebook=notebook, save_as=save_as, sample=sample, objects=[*named])
    return with_objects(fitting, named, folder)


def _fitted(
    subject: Subject,
    folder: CodeFolder,
    *,
    notebook: Notebook,
    save_as: str | None,
    sample: Any,
    objects: Sequence[str],
) -> Fit:
    from .generated import is_edited, model_fn, uses_sm_model

    script = folder.read_script()
    mentioned = set(re.findall(r"\w+", script.render())) if script else set()
    generated = folder.is_generated("model_fn")
    own = None if generated else _own_model_fn(script)
    saved_as = _format(subject, own, save_as)
    file = (own.filename if own else None) or "model.pth"
    if own is not None:
        edited = ("model_fn was edited since it was written for you: it is kept as yours.",)
        notes = edited if is_edited(script, folder) else ()
        fitting = Fit(saved_as, file, saved_as, notes=(*notes, *_differing(own, saved_as)))
        complete = subject.kind == "module" and saved_as == "state_dict" and uses_sm_model(script)
        fitting = _with_code(subject, fitting, notebook, mentioned, objects) if complete else fitting
        return _with_saving(subject, fitting, sample, complete=complete)
    if saved_as == "state_dict" and subject.kind != "module":
        where = "has no model_fn" if script else "is missing"
        raise InferenceScriptError(
            f"A state_dict holds weights but no code, and {folder.model_dir / SCRIPT} {where}: nothing would load it.",
            hint=_loaded_by(subject, notebook),
        )
    fitting = Fit(saved_as, file, saved_as)
    if saved_as == "state_dict":
        fitting = _with_code(subject, fitting, notebook, mentioned, objects)
    elif saved_as == "module":
        fitting = _with_importable_classes(subject, fitting)
    if saved_as != "torchscript" or generated:
        fitting = replace(fitting, sections={"model_fn": model_fn(saved_as, file, sets_mode=fitting.sets_mode)})
    elif script is None:
        fitting = replace(fitting, sections={"handlers": _NO_HANDLERS})
    return _with_saving(subject, fitting, sample, complete=saved_as == "state_dict")


def chosen(names: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of these names.

    Raises
    ------
    PackagingError
        If there is none of a name, or it cannot be one of a module's.
    """
    for name in names:
        if name not in namespace or not name.isidentifier():
            near = difflib.get_close_matches(name, [known for known in namespace if not known.startswith("_")], n=1)
            raise PackagingError(
                f"There is no variable {name} in this notebook to take along.",
                hint=f"--with {near[0]}" if near else "--with scaler    # the name of a variable",
            )
    return {name: namespace[name] for name in names}


def imported_objects(script: Script | None) -> list[str]:
    """Return the names that the script imports from ``sm_objects``, or did when it was packaged last and still uses."""
    found: list[str] = []
    if script is None:
        return found
    used = unknown(script, but=OBJECTS_SECTION)
    for section in script.sections:
        names = _imported_from_objects(section.source)
        found += [name for name in names if section.name != OBJECTS_SECTION or name in used]
    return found


def _imported_from_objects(source: str) -> list[str]:
    tree = parse(source)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)] if tree else []
    return [alias.name for node in nodes if node.module == OBJECTS for alias in node.names if alias.name != "*"]


def with_objects(fitting: Fit, wanted: Mapping[str, Any], folder: CodeFolder) -> Fit:
    """Add the files of the objects, and what makes them known to the handlers."""
    script = folder.read_script()
    others = [section for section in script.sections if section.name != OBJECTS_SECTION] if script else []
    known = {name for section in others for name in [*section.defined, *_imported_from_objects(section.source)]}
    section = ""
    if missing := sorted(set(wanted) - known):
        section = f"{_OBJECTS_MARK}\nfrom {OBJECTS} import {', '.join(missing)}\n"
    elif folder.is_generated(OBJECTS_SECTION):
        section = _NO_OBJECTS
    sections = {OBJECTS_SECTION: section, **fitting.sections} if section else fitting.sections
    if not {**fitting.objects, **wanted}:
        return replace(fitting, sections=sections)
    from .objects import store

    stored = store({**fitting.objects, **wanted})
    return replace(
        fitting,
        files={**fitting.files, f"{OBJECTS}/__init__.py": stored.source, **stored.files},
        sections=sections,
        notes=(*fitting.notes, *stored.notes),
    )


def _loaded_by(subject: Subject, notebook: Notebook) -> str:
    """Return what to do with a state_dict: package the model that it is of, if that is here, or write a model_fn."""
    for name, value in notebook.namespace.items():
        fits = subject.model is not None and is_module(type(value)) and not name.startswith("_")
        if fits and list(value.state_dict()) == list(subject.model):
            return f"%sm_package {name}    # the model itself: its class goes with it"
    return own_model_fn("Net")


def _own_model_fn(script: Script | None) -> LoadedBy | None:
    """Return what the script's ``model_fn`` loads; None if there is none."""
    if script is None or "model_fn" not in script.defined():
        return None
    return code_expectations(script.render()) or LoadedBy("unknown", None)


def _format(subject: Subject, own: LoadedBy | None, save_as: str | None) -> str:
    if save_as is not None and save_as not in FORMATS:
        raise PackagingError(f"There is no way to save a model as {save_as!r}.", hint=f"--save-as {FORMATS[0]}")
    usual = subject.kind if subject.path else _USUAL[subject.kind]
    wanted = save_as or (own.format if own and own.format in FORMATS else usual)
    if wanted not in ((subject.kind,) if subject.path else _POSSIBLE[subject.kind]):
        is_what = "TorchScript" if subject.kind == "torchscript" else _WORDS[subject.kind]
        reason = "" if save_as else " (which is what model_fn loads)"
        raise UnsupportedModelError(
            f"{subject.source} is {is_what} and cannot be saved as {_WORDS[wanted]}{reason}.", hint=f"--save-as {usual}"
        )
    return wanted


def _differing(own: LoadedBy, saved_as: str) -> tuple[str, ...]:
    if own.format not in FORMATS or own.format == saved_as:
        return ()
    return (f"model_fn loads {_WORDS[own.format]}, but the model is saved as {_WORDS[saved_as]}.",)


def _with_code(
    subject: Subject, fitting: Fit, notebook: Notebook, mentioned: Collection[str], objects: Sequence[str]
) -> Fit:
    """Add ``sm_model.py`` and the user's own modules that it imports."""
    from .generated import model_code

    code = model_code(subject.model, notebook.cells, notebook.namespace, mentioned=mentioned, objects=objects)
    return replace(
        fitting,
        files={**code.files, "sm_model.py": code.source},
        objects=code.objects,
        names=code.names,
        sets_mode=code.sets_mode,
        notes=(*fitting.notes, *code.notes),
    )


def _with_importable_classes(subject: Subject, fitting: Fit) -> Fit:
    """Add the user's own modules whose classes a pickled module refers to."""
    from .own_modules import own_files

    homes: set[str] = set()
    if subject.model is not None:
        homes = {type(module).__module__ for module in subject.model.modules()}
        notebook = [
            type(module).__name__ for module in subject.model.modules() if type(module).__module__ == "__main__"
        ]
        if notebook:
            raise InferenceScriptError(
                f"Pickled, the model refers to the class {notebook[0]}, which exists only in this notebook.",
                hint=f"%sm_package {subject.source} --save-as state_dict",
            )
    own = own_files(homes)
    note = "A pickled module loads only where its classes can be imported as they were: prefer a state_dict."
    return replace(fitting, files=own.sources, notes=(*fitting.notes, *own.notes, note))


def _with_saving(subject: Subject, fitting: Fit, sample: Any, *, complete: bool) -> Fit:
    """Add what writes the model file."""
    if subject.path is not None:
        return replace(fitting, note=f"{fitting.saved_as}, from {subject.path.name}")
    from . import artifact

    model = subject.model
    if getattr(model, "training", False) and subject.kind == "module":
        note = "The model is in training mode here; the endpoint runs it in evaluation mode."
        fitting = replace(fitting, notes=(*fitting.notes, note))
    if fitting.saved_as == "state_dict":
        state = artifact.state_of(model, complete=complete)
        count = artifact.count_tensors(state)
        words = f"state_dict, {count} tensor{'s' if count != 1 else ''}"
        return replace(fitting, note=words, stream=lambda: artifact.of_state(state))
    if fitting.saved_as == "module":
        return replace(fitting, stream=lambda: artifact.of_module(model))
    from .torchscript import as_torchscript, save_torchscript

    script, notes = as_torchscript(model, sample)
    fitting = replace(fitting, notes=(*fitting.notes, *notes))
    return replace(fitting, save=lambda path: save_torchscript(script, path))
