"""From a model and ``code/`` to a finished package, in an order that leaves everything as it was if a step fails.

What the model is and how it is saved is decided first, then the code is written and checked, then the weights and the
archive are written beside their places, and moved there when both are complete.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from sm_magics.authoring import Author, CodeFolder, Finding, ensure_requirements
from sm_magics.authoring.checks.reach import reached
from sm_magics.authoring.notebook_names import advised
from sm_magics.authoring.record import Record
from sm_magics.errors import FileConflictError, InferenceScriptError, PackagingError
from sm_magics.progress import Listener, Progress, ignore

from .archive import SCRIPT, Member, Watch, digest_of_archive, new_archive
from .called import is_called, is_only_annotated
from .fitting import Fit, Notebook, fit
from .members import code_members, included_members
from .package import Package, PackageFile, check_name
from .saving import model_file
from .spent import remove_spent, remove_spent_objects
from .subject import identify
from .tar.hashing import digest_of_file
from .tar.replacing import seal

_NOBODY = Author()
_MODEL_MODULE = "code/sm_model.py"


def package(
    model: Any,
    *,
    name: str = "model",
    model_dir: str | Path = ".",
    archive: str | Path | None = None,
    save_as: str | None = None,
    include: Sequence[str] = (),
    objects: Sequence[str] = (),
    sample: Any = None,
    cells: Sequence[str] = (),
    namespace: Mapping[str, Any] | None = None,
    author: Author = _NOBODY,
    force: bool = False,
    framework_version: str = "",
    image_uri: str = "",
    listener: Listener = ignore,
) -> Package:
    """Save a model and pack it with its code into the ``model.tar.gz`` that SageMaker reads.

    Where ``code/inference.py`` has no ``model_fn``, one is written, and for an ``nn.Module`` ``code/sm_model.py`` with
    the source of its class. Where it has one, the model is saved as that one loads it.

    Parameters
    ----------
    model
        An ``nn.Module``, a ``torch.jit.ScriptModule``, a state_dict, or the path of a saved model.
    name
        What the model is called: up to 63 letters, digits and hyphens.
    model_dir
        The directory of ``code/``; ``model.pth`` and ``model.tar.gz`` go there too.
    archive
        Where to write the archive, if not there.
    save_as
        ``"state_dict"``, ``"torchscript"`` or ``"module"``; by default what the user's ``model_fn`` loads.
    include
        Further files below `model_dir`, as paths or glob patterns.
    objects
        Names of variables that the handlers use: fitted scikit-learn and Hugging Face objects, arrays, tensors and
        plain values. They travel as files in ``code/sm_objects/``, and ``inference.py`` imports them from there.
    sample
        An input that the model accepts; kept with the package, and used to trace the model if it must be.
    cells
        The sources of the notebook's cells executed so far, oldest first.
    namespace
        The notebook's variables; by default those of ``__main__``.
    author
        Who writes the generated code.
    force
        Replace files that are not ours, keeping a copy beside them.
    framework_version, image_uri
        The container image that the code is checked against, and that requirements.txt adds to; by default the one
        that fits the notebook's torch.
    listener
        Is told how far saving and packing have come.

    Raises
    ------
    UnsupportedModelError
        If the value is no model, or one that cannot be saved.
    InferenceScriptError
        If ``code/`` does not fit the model: no way to load it, or handlers that the container would refuse.
    FileConflictError
        If a file is in the way that is not ours to replace.
    PackagingError
        If the name is not one for SageMaker, or the files cannot be written. What was there before is unchanged.
    """
    check_name(name)
    if namespace is None:
        namespace = vars(sys.modules["__main__"])
        cells = cells or _script()
    directory = Path(model_dir).expanduser().absolute()
    target = Path(archive).expanduser().absolute() if archive else directory / "model.tar.gz"
    subject = identify(model, namespace)
    folder = CodeFolder(directory, framework_version=framework_version, image_uri=image_uri)
    code_members(folder.path)  # refuses what is no file before anything is read or written
    _check_lost(folder, force=force)
    notebook = Notebook(cells, namespace)
    fitting = fit(subject, folder, notebook=notebook, save_as=save_as, sample=sample, objects=objects)
    weights = subject.path or directory / fitting.file
    _check_target(target, folder, weights)
    readers = {target: digest_of_archive, **({weights: digest_of_file} if fitting.is_saved else {})}
    _check_ownership(folder, readers, fitting, author, force=force)
    extra = included_members(directory, include, beside={fitting.file, os.path.relpath(target, directory)})
    _write_code(folder, fitting, author, force=force)
    remove_spent_objects(folder, written=fitting.files)
    removed = remove_spent(folder, written=fitting.files, author=author)
    notes = [*fitting.notes, *removed, *_check_code(folder, fitting, notebook)]
    with ExitStack() as stack:
        model = stack.enter_context(model_file(weights, fitting, folder=folder, archive=target, listener=listener))
        members = [model.member, *code_members(folder.path), *extra]
        watch = _packing(members, listener, without=fitting.file if model.packed else "")
        contents = stack.enter_context(new_archive(target, members, watch, kept=model.packed))
        if model.new is not None:
            digest, state = contents.digests[fitting.file], seal(model.new)
            folder.claim(weights, author=author, digest=digest, force=force, state=state, read=digest_of_file)
        folder.claim(
            target, author=author, digest=contents.digest, force=force, state=contents.state, read=digest_of_archive
        )
    about = {fitting.file: fitting.note, **_about_code(folder, fitting)}
    return Package(
        name=name,
        path=target,
        digest=contents.digest,
        size=contents.size,
        files=tuple(PackageFile(entry, size, about.get(entry, "")) for entry, size in contents.sizes.items()),
        model_dir=directory,
        python=platform.python_version(),
        torch=_torch_version(),
        saved_as=fitting.saved_as,
        source=subject.source,
        notes=tuple(dict.fromkeys(notes)),
        sample=sample,
        state=contents.state,
    )


def _script() -> list[str]:
    """Return the text of the script that is being run, where there is no notebook."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    if not path or not Path(path).is_file():
        return []
    with tokenize.open(path) as file:
        return [file.read()]


def _torch_version() -> str:
    torch = sys.modules.get("torch")
    if torch is not None:
        return str(torch.__version__)
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _check_target(target: Path, folder: CodeFolder, weights: Path) -> None:
    """Refuse an archive that would hold the one before it, or take the place of what is to go into it."""
    real = Path(os.path.realpath(target))
    if real.is_relative_to(os.path.realpath(folder.path)):
        raise PackagingError(
            f"{target} is inside code/, which goes into the archive as a whole.",
            hint=f"--archive {folder.model_dir / target.name}",
        )
    if real == Path(os.path.realpath(weights)):
        raise PackagingError(
            f"{target} is the model file, which goes into the archive.",
            hint=f"--archive {folder.model_dir}/model.tar.gz",
        )


def _check_lost(folder: CodeFolder, *, force: bool) -> None:
    """Refuse to package without what cells have written: the endpoint would answer without it, and nobody would know.

    Raises
    ------
    InferenceScriptError
        If ``inference.py`` is gone, or all of ``code/``.
    """
    lost = folder.lost()
    if not lost or force:
        return
    path, sections = next(iter(sorted(lost.items(), key=lambda item: item[0] != SCRIPT)))
    which = f" (section{'s' if len(sections) > 1 else ''} {', '.join(sections)})" if sections else ""
    raise InferenceScriptError(
        f"{folder.model_dir / path} is gone, which cells of this notebook wrote{which}.",
        hint="Run those cells again, or package without them: --force",
    )


def _check_ownership(
    folder: CodeFolder, readers: Mapping[Path, Callable[[Path], str]], fitting: Fit, author: Author, *, force: bool
) -> None:
    """Refuse to replace what is not ours before anything is written; `readers` says what digests the files have."""
    for path, read in readers.items():
        if not path.parent.is_dir() and path.parent != folder.model_dir:
            raise PackagingError(f"There is no directory {path.parent}.", hint=f"!mkdir -p {path.parent}")
        folder.check_may_replace(path, author=author, force=force, read=read)
    for relative, text in fitting.files.items():
        path = folder.path / relative
        if not path.is_file() or path.read_bytes() != (text.encode() if isinstance(text, str) else text):
            folder.check_may_replace(path, author=author, force=force, generated=True)


def _write_code(folder: CodeFolder, fitting: Fit, author: Author, *, force: bool) -> None:
    # The sections come first: whether they may be replaced is seen only when they are written.
    if fitting.sections and not force:
        _refuse_strangers_script(folder, fitting.sections)
    for section, source in fitting.sections.items():
        folder.write_section(source, name=section, author=author, force=force, generated=True)
    for relative, text in fitting.files.items():
        folder.write_file(relative, text, author=author, force=force, generated=True)
    ensure_requirements(folder, author=author, files=_unpickled(fitting), force=force)


def _refuse_strangers_script(folder: CodeFolder, sections: Mapping[str, str]) -> None:
    """Refuse a script that a person wrote, and that lacks what would be written into one of ours."""
    path, record = folder.model_dir / SCRIPT, Record.read(folder.model_dir)
    if not path.is_file() or SCRIPT in record.files or record.damage:
        return
    what = "has no model_fn" if "model_fn" in sections else "does not import what goes along with the model"
    texts = [source.partition("\n")[2] for source in sections.values()]  # without the comment that says who wrote it
    raise FileConflictError(
        f"{path} {what}, and is not changed, because sm_magics did not write it.",
        hint="Add this to it, and run the cell again. (--force begins a new file, and keeps this one as a copy "
        "without using it.)\n" + "\n\n".join(texts),
    )


def _check_code(folder: CodeFolder, fitting: Fit, notebook: Notebook) -> list[str]:
    """Refuse code that would fail in the container; return what only may as notes.

    Methods of the model that the endpoint does not call, such as one that trains, may use names that stayed behind,
    and so may files that nothing imports.
    """
    found = folder.check(files=_unpickled(fitting))
    imported = {*reached(folder.path, _unpickled(fitting)), "requirements.txt"}
    errors = [
        finding
        for finding in found
        if finding.severity == "error"
        and (finding.code == "SM131" or finding.path.removeprefix("code/") in imported)
        and not _is_never_called(folder, finding)
    ]
    if errors:
        lines = "\n".join(f"  {item.place}: {item.code} {item.message}" for item in errors)
        hint = _advised(errors[:1], folder, notebook)[0].fix
        raise InferenceScriptError(f"The container would refuse what is in code/:\n{lines}", hint=hint)
    return [f"{finding.place}: {finding.message}" for finding in found]


def _advised(findings: Iterable[Finding], folder: CodeFolder, notebook: Notebook) -> list[Finding]:
    """Return findings that say how to take along what the notebook has and the code lacks."""
    values = None
    if "torch" in sys.modules:
        from .objects import NotebookValues

        values = NotebookValues(notebook.namespace)
    script = folder.read_script()
    return list(advised(findings, script, cells=notebook.cells, namespace=notebook.namespace, values=values))


def _unpickled(fitting: Fit) -> Sequence[str]:
    """Return the files that unpickling the model imports, which no statement says."""
    return tuple(fitting.files) if fitting.saved_as == "module" else ()


def _is_never_called(folder: CodeFolder, finding: Finding) -> bool:
    if finding.code != "SM111" or finding.path != _MODEL_MODULE:
        return False
    source = (folder.model_dir / _MODEL_MODULE).read_text(encoding="utf-8")
    if is_only_annotated(source, finding.line, finding.message.partition(" ")[0]):
        return True
    return not is_called(source, finding.line, elsewhere=_other_sources(folder))


def _other_sources(folder: CodeFolder) -> Iterator[str]:
    """Yield the texts of the Python files in ``code/`` but ``sm_model.py``; what is no text is found elsewhere."""
    for member in code_members(folder.path):
        if member.path.suffix == ".py" and member.name != _MODEL_MODULE:
            with suppress(SyntaxError, ValueError), tokenize.open(member.path) as file:
                yield file.read()


def _packing(members: Sequence[Member], listener: Listener, *, without: str) -> Watch:
    """Return what watches the archive being written."""
    total = sum(member.size for member in members if member.name != without)
    done = 0

    def watch(name: str, size: int) -> None:
        nonlocal done
        done += size
        listener(Progress("Pack", done, total, name))

    return watch


def _about_code(folder: CodeFolder, fitting: Fit) -> dict[str, str]:
    """Return a few words on the files in ``code/``, by their name in the archive."""
    script = folder.read_script()
    sections = [section.name for section in script.sections] if script else []
    written = [name for name in sections if name not in fitting.sections and not folder.is_generated(name)]
    cells = f"{len(written)} cell{'s' if len(written) != 1 else ''}" if written else ""
    model_fn = "model_fn written for you" if "model_fn" in fitting.sections else ""
    requirements = (folder.path / "requirements.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = [line for line in requirements if line.strip() and not line.lstrip().startswith("#")]
    return {
        SCRIPT: ", ".join(filter(None, [cells, model_fn])) or "the container's own handlers",
        "code/sm_model.py": ", ".join(fitting.names),
        "code/requirements.txt": f"{len(wanted)} requirement{'s' if len(wanted) != 1 else ''}"
        if wanted
        else "nothing beyond the image",
    }
