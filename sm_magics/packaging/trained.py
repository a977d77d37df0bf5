"""What a training job left, as a package: its model with the notebook's ``code/``.

The model goes by as a stream, from wherever it is into the archive; it is written nowhere else. How it was saved is
told from its bytes, and where no cell wrote a ``model_fn``, one is written that loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sm_magics.authoring import Author, CodeFolder
from sm_magics.authoring.record import NOBODY
from sm_magics.errors import InferenceScriptError, UnsupportedModelError

from .combining import combine
from .members import code_members
from .package import Package, PackageFile, check_name
from .saved import Saved
from .tar.contents import check_layout, digest_of_archive, read_contents
from .tar.replacing import replacing, seal

SECTION = "model_fn"
_MARK = "# Written by %sm_deploy: the training job left"

_TORCHSCRIPT = '''\
{mark} TorchScript in {file}, which needs no class.
import os

import torch


def model_fn(model_dir):
    """Return the trained model, ready to predict."""
    return torch.jit.load(os.path.join(model_dir, "{file}"), map_location="cpu").eval()
'''
_MODULE = '''\
{mark} a pickled model in {file}.
# Unpickling it imports {imports}: code/ or requirements.txt must have them.
import os

import torch


def model_fn(model_dir):
    """Return the trained model, ready to predict."""
    return torch.load(os.path.join(model_dir, "{file}"), map_location="cpu", weights_only=False).eval()
'''
_STATE_DICT = '''\
{mark} a state_dict in {file}.{tensors}
import os

import torch


def build_model():
    """Return the model that the job trained, before its weights are loaded."""
    raise NotImplementedError("Build here the model whose weights {file} holds.")


def model_fn(model_dir):
    """Return the trained model, ready to predict."""
    model = build_model()
    weights = torch.load(os.path.join(model_dir, "{file}"), map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    return model.eval()
'''


def skeleton(file: str, saved: Saved, tensors: Sequence[str] = ()) -> str:
    """Return a ``model_fn`` that loads a model saved like this.

    Parameters
    ----------
    file
        Its name in the archive.
    tensors
        Names and shapes in a state_dict, as words: what the class that is to be built must have.
    """
    template = {"torchscript": _TORCHSCRIPT, "module": _MODULE, "state_dict": _STATE_DICT}[saved.kind]
    listed = "".join(f"\n#   {tensor}" for tensor in tensors)
    imports = ", ".join(saved.imports) or "nothing"
    return template.format(mark=_MARK, file=file, imports=imports, tensors=listed)


def package_trained(
    open_source: Callable[[], AbstractContextManager[IO[bytes]]],
    models: Mapping[str, Saved | None],
    *,
    tensors: Sequence[str] = (),
    name: str = "model",
    source: str = "",
    model_dir: str | Path = ".",
    archive: str | Path | None = None,
    sample: Any = None,
    author: Author = NOBODY,
    force: bool = False,
) -> Package:
    """Combine a ``model.tar.gz`` with the code of ``code/`` and return the package.

    Parameters
    ----------
    open_source
        Opens the archive that the job left, to be read forwards once.
    models
        The model files in it, and how each was saved.
    tensors
        Names and shapes in the state_dict, for the skeleton.
    name, model_dir, archive, sample, author, force
        As for `package`.
    source
        What it is called in the package: the job's name.

    Raises
    ------
    InferenceScriptError
        If nothing loads the model: a skeleton has then been written, to be completed.
    UnsupportedModelError
        If there is no model file, or several and no ``model_fn`` that says which.
    ArchiveError
        If what the job left is no archive that SageMaker would read.
    """
    check_name(name)
    directory = Path(model_dir).expanduser().absolute()
    target = Path(archive).expanduser().absolute() if archive else directory / "model.tar.gz"
    folder = CodeFolder(directory)
    notes = _with_model_fn(folder, models, tensors, author=author, force=force)
    code = {str(PurePosixPath(member.name).relative_to("code")): member.path for member in code_members(folder.path)}
    folder.check_may_replace(target, author=author, force=force, read=digest_of_archive)
    with replacing(target, f"--archive ANOTHER_DIRECTORY/{target.name}") as file:
        with open_source() as stream:
            combine(stream, code, file, name=source or "model.tar.gz")
        state = seal(file)
        contents = read_contents(Path(file.name))
        check_layout(contents, target.name)
        folder.claim(target, author=author, digest=contents.digest, force=force, state=state, read=digest_of_archive)
    kinds = {file: saved.kind for file, saved in models.items() if saved is not None}
    return Package(
        name=name,
        path=target,
        digest=contents.digest,
        size=contents.size,
        files=tuple(PackageFile(entry, size, kinds.get(entry, "")) for entry, size in contents.sizes.items()),
        model_dir=directory,
        python="",
        torch="",
        saved_as=next(iter(kinds.values())) if len(kinds) == 1 else "",
        source=source,
        notes=notes,
        sample=sample,
    )


def _with_model_fn(
    folder: CodeFolder, models: Mapping[str, Saved | None], tensors: Sequence[str], *, author: Author, force: bool
) -> tuple[str, ...]:
    """See to it that ``inference.py`` has a ``model_fn``; return notes."""
    script = folder.read_script()
    if script is not None and {"model_fn", "transform_fn"} & set(script.defined()):
        if _MARK in (text := script.render()) and "raise NotImplementedError" in text:
            raise _incomplete()
        return ()
    known = {file: saved for file, saved in models.items() if saved is not None}
    if len(known) != 1:
        found = ", ".join(models) or "no file that torch.save or torch.jit.save wrote"
        raise UnsupportedModelError(
            f"What loads the model cannot be told: the job left {found}.",
            hint="%%sm_inference\ndef model_fn(model_dir):\n    ...",
        )
    [(file, saved)] = known.items()
    folder.write_section(
        skeleton(file, saved, tensors), name=SECTION, author=author, force=force, generated=saved.kind != "state_dict"
    )
    if saved.kind == "state_dict":
        raise _incomplete()
    return (f"model_fn is written: it loads {file}, which is {saved.kind}.",)


def _incomplete() -> InferenceScriptError:
    return InferenceScriptError(
        "The job left a state_dict, and only you know the class whose weights these are: code/inference.py has a "
        "model_fn that wants its build_model.",
        hint="%%sm_inference\ndef build_model():\n    return Net()    # and the class Net",
    )
