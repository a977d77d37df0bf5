"""The notebook's objects that travel as files: ``code/sm_objects/``, a module that loads each under its name.

Tensors go as ``torch.save`` writes them, arrays as ``.npy``, plain values as text, Hugging Face objects by
``save_pretrained``, and other fitted objects (scikit-learn's) by joblib. Only the last are pickles, and of the user's
own making.
"""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch

from sm_magics.authoring.needs.dependencies import READS_ANY_VERSION, pinned
from sm_magics.authoring.needs.distributions import bringing
from sm_magics.authoring.slicing.live import is_plain, literal
from sm_magics.authoring.slicing.values import OBJECTS, AsSource
from sm_magics.errors import PackagingError

from . import weights
from .rebuilding.kinds import holds_estimators, is_estimator, is_storable
from .rebuilding.literals import Inexpressible, Writer

_LONGEST = 4000  # characters of a constant's source


@dataclass(frozen=True)
class StoredObjects:
    """``code/sm_objects/``.

    Attributes
    ----------
    source
        The text of its ``__init__.py``; empty if there are no objects.
    files
        The bytes of the files beside it, by their path below ``code/``.
    notes
        Sentences on what the person should know.
    """

    source: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stored:
    imports: tuple[str, ...]
    expression: str
    files: Mapping[str, bytes]
    note: str = ""


class NotebookValues:
    """How the values of a notebook travel: see `sm_magics.authoring.slicing.values.Values`."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace

    def as_source(self, name: str, value: Any) -> AsSource | None:
        """Return an expression that gives an equal value; None where a file is better, or there is none."""
        if (self.as_file(value) and not _is_small(value)) or holds_estimators(value):
            return None
        writer = Writer({key: item for key, item in self._namespace.items() if key != name})
        try:
            text = writer.named(name, value)
        except Inexpressible:
            return None
        if len(text) > _LONGEST or name in {*writer.defined, *writer.read} or (writer.stored and self.as_file(value)):
            return None
        needs = (*sorted(writer.imports), *sorted(writer.definitions))
        return AsSource(text, needs, writer.defined, writer.stored)

    def as_file(self, value: Any) -> bool:
        """Return whether the value is kept in a file without being asked to."""
        return is_storable(value) or is_estimator(value) or holds_estimators(value)

    def as_file_if_asked(self, name: str, value: Any) -> bool:
        """Return whether ``--with`` would keep the value in a file. It is tried: only pickling says what it does."""
        if hasattr(value, "__next__"):
            return False  # a file would hold what is left of it
        try:
            _stored(name, value)
        except PackagingError:
            return False
        return True


def _is_small(value: Any) -> bool:
    elements = getattr(value, "numel", None) or (lambda: getattr(value, "size", 0))
    return not isinstance(value, torch.Tensor) or elements() <= 64  # noqa: PLR2004 - as `literals` has it


def store(objects: Mapping[str, Any]) -> StoredObjects:
    """Return the module that loads objects, and its files.

    Raises
    ------
    PackagingError
        If one of them is of a kind that no file keeps, naming it and the way out.
    """
    if not objects:
        return StoredObjects()
    stored = {name: _stored(name, objects[name]) for name in sorted(objects)}
    imports = {"from pathlib import Path", *(line for one in stored.values() for line in one.imports)}
    standard = sorted(line for line in imports if line.split()[1] in {"ast", "json", "pathlib"})
    others = sorted(imports - set(standard), key=lambda line: (line.startswith("from"), line))
    lines = [
        '"""Objects of the notebook, as they were when the model was packaged."""',
        "",
        *standard,
        *([""] if others else []),
        *others,
        "",
        "_HERE = Path(__file__).parent",
        "",
        *(f"{name} = {one.expression}" for name, one in stored.items()),
    ]
    files = {f"{OBJECTS}/{path}": data for one in stored.values() for path, data in one.files.items()}
    notes = tuple(one.note for one in stored.values() if one.note)
    return StoredObjects("\n".join(lines) + "\n", dict(sorted(files.items())), notes)


def _stored(name: str, value: Any) -> _Stored:
    for matches, keep in _KINDS:
        if matches(value):
            return keep(name, value)
    raise _refusal(name, value, "is of a kind that no file keeps")


def _refusal(name: str, value: Any, reason: str) -> PackagingError:
    cls = type(value)
    hint = f"%sm_package model    # without {name}; make it in a cell of %%sm_inference instead"
    if isinstance(value, torch.nn.Module):
        hint = f"self.{name} = {name}    # in the model's __init__: then it is saved with the model's weights"
    elif isinstance(value, type) or callable(value):
        hint = "%%sm_inference --with-notebook-names    # classes and functions travel as source, and need no --with"
    return PackagingError(f"{name}, a {cls.__module__}.{cls.__qualname__}, {reason}.", hint=hint)


def _tensors(name: str, value: Any) -> _Stored:
    file = io.BytesIO()
    weights.save(_for_cpu(value), file)
    load = f'torch.load(_HERE / "{name}.pt", map_location="cpu", weights_only=True)'
    return _Stored(("import torch",), load, {f"{name}.pt": file.getvalue()})


def _for_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        # A view would bring all of what it is a view of.
        tensor = value.detach()
        return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
    if isinstance(value, dict):
        return type(value)((key, _for_cpu(part)) for key, part in value.items())
    return type(value)(map(_for_cpu, value)) if isinstance(value, list | tuple | set) else value


def _array(name: str, value: Any) -> _Stored:
    import numpy as np

    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return _Stored(("import numpy as np",), f'np.load(_HERE / "{name}.npy")', {f"{name}.npy": file.getvalue()})


def _plain(name: str, value: Any) -> _Stored:
    text = json.dumps(value, ensure_ascii=False, indent=0 if isinstance(value, list | dict) else None)
    if _same(json.loads(text), value):
        load = f'json.loads((_HERE / "{name}.json").read_text(encoding="utf-8"))'
        return _Stored(("import json",), load, {f"{name}.json": text.encode()})
    raise TypeError


def _text(name: str, value: Any) -> _Stored:
    try:
        return _plain(name, value)
    except (TypeError, ValueError, UnicodeEncodeError):
        text = literal(value)
        load = f'ast.literal_eval((_HERE / "{name}.txt").read_text(encoding="utf-8"))'
        return _Stored(("import ast",), load, {f"{name}.txt": text.encode()})


def _same(one: Any, two: Any) -> bool:
    """Return whether two plain values are equal, and of the same types all through."""
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return list(one) == list(two) and all(
            type(a) is type(b) and _same(one[a], two[b]) for a, b in zip(one, two, strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(_same, one, two))
    return bool(one == two)


def _pretrained(name: str, value: Any) -> _Stored:
    cls = type(value)
    statement = _import_of(name, value)
    with tempfile.TemporaryDirectory() as directory:
        value.save_pretrained(directory)
        found = sorted(path for path in Path(directory).rglob("*") if path.is_file())
        files = {f"{name}/{path.relative_to(directory).as_posix()}": path.read_bytes() for path in found}
    return _Stored((statement,), f'{cls.__qualname__}.from_pretrained(_HERE / "{name}")', files)


def _import_of(name: str, value: Any) -> str:
    cls = type(value)
    if cls.__module__ == "__main__" or "." in cls.__qualname__ or cls.__module__ not in sys.modules:
        raise _refusal(name, value, "has a class that exists only in this notebook")
    # As one imports it: `from sklearn.preprocessing import StandardScaler`, not from its private module.
    parts = cls.__module__.split(".")
    home = next((index for index, part in enumerate(parts) if part.startswith("_")), len(parts))
    public = ".".join(parts[:home]) or cls.__module__
    homes = (parts[0], public, cls.__module__)
    public = next(home for home in homes if getattr(sys.modules.get(home), cls.__name__, None) is cls)
    return f"from {public} import {cls.__name__}"


def _joblib(name: str, value: Any) -> _Stored:
    library = "joblib" if importlib.util.find_spec("joblib") else "pickle"
    file = io.BytesIO()
    try:
        if library == "joblib":
            import joblib

            joblib.dump(value, file)
        else:
            pickle.dump(value, file)
        homes = _homes(value)
    except Exception as error:  # whatever a class's own pickling raises
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise _refusal(name, value, f"cannot be kept in a file ({reason})") from error
    if "__main__" in homes:
        raise _refusal(name, value, "refers to a class or function that exists only in this notebook")
    kind, why = type(value), f"  # noqa: F401 - what {name}.{library} holds"
    tops = {home.partition(".")[0] for home in homes} - sys.stdlib_module_names - READS_ANY_VERSION
    own = kind.__module__.partition(".")[0]
    statements = [f"{_import_of(name, value)}{why}"] if own not in sys.stdlib_module_names else []
    statements += [f"import {top}{why}" for top in sorted(tops - {own})]
    load = f'{library}.load(_HERE / "{name}.{library}")'
    if library == "pickle":
        load = f'pickle.loads((_HERE / "{name}.pickle").read_bytes())'
    note = f"{name} travels as a pickle of {kind.__qualname__}"
    if tops:
        note += f": requirements.txt asks for {', '.join(map(_pinned, sorted(tops)))}, as here"
    return _Stored((f"import {library}", *statements), load, {f"{name}.{library}": file.getvalue()}, f"{note}.")


def _homes(value: Any) -> set[str]:
    """Return the modules whose classes and functions a value's pickle refers to."""
    pickler = _Referring(io.BytesIO())
    pickler.dump(value)
    return pickler.homes


class _Referring(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.homes: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        named = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
        self.homes.add(str(getattr(named, "__module__", None) or "builtins"))
        return NotImplemented


def _pinned(module: str) -> str:
    distribution = bringing([module]).get(module)
    return pinned(distribution) if distribution else module


def _is_array(value: Any) -> bool:
    return type(value).__module__ == "numpy" and type(value).__name__ == "ndarray" and is_storable(value)


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return True
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return isinstance(value, dict | list | tuple | set) and any(map(_holds_tensors, parts))


def _holds_arrays(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    return _is_array(value) or (isinstance(value, dict | list | tuple) and any(map(_holds_arrays, parts)))


def _is_pretrained(value: Any) -> bool:
    own = [callable(getattr(type(value), name, None)) for name in ("save_pretrained", "from_pretrained")]
    return all(own) and not isinstance(value, type | torch.nn.Module)


def _is_picklable_kind(value: Any) -> bool:
    return not isinstance(value, type | torch.nn.Module) and not (callable(value) and hasattr(value, "__qualname__"))


_Keep: TypeAlias = Callable[[str, Any], _Stored]
_KINDS: tuple[tuple[Callable[[Any], bool], _Keep], ...] = (
    (is_plain, _text),
    (_is_array, _array),
    (lambda value: is_storable(value) and _holds_tensors(value) and not _holds_arrays(value), _tensors),
    (_is_pretrained, _pretrained),
    (_is_picklable_kind, _joblib),
)
