"""The model file, written only when it has changed: and what tells is a hash of all its bytes.

A tensor's version counter stays where it is when NumPy writes into its memory, or code through ``.data``. So what would
be written is hashed, at the speed of memory, and compared with what the archive holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from sm_magics.authoring import CodeFolder
from sm_magics.progress import Listener, Progress

from .fitting import Fit, Save
from .tar.hashing import HashedOutput, digest_of_file
from .tar.replacing import replacing, seal
from .tar.tail import Index, read_index


@dataclass(frozen=True)
class ModelFile:
    """The model file that is to be packed.

    Attributes
    ----------
    path
        Where it lies until the block ends.
    packed
        What the archive that is there holds, if that is the very same file.
    digest, state
        Of what was newly written, as for `CodeFolder.claim`; empty if nothing was.
    notes
        Sentences on what the person should know.
    """

    path: Path
    packed: Index | None = None
    digest: str = ""
    state: str = ""
    notes: Sequence[str] = ()


@contextmanager
def model_file(
    place: Path, fitting: Fit, *, folder: CodeFolder, archive: Path, listener: Listener
) -> Iterator[ModelFile]:
    """Save the model where it has changed, and put it in its place when the block ends well.

    Parameters
    ----------
    place
        Where it lies, or is to lie.
    fitting
        What it is called in the archive, and how it is saved, if it is not there already.
    folder
        Knows whether the files are still as they were left.
    archive
        The archive that may have it already.
    listener
        Is told how far saving has come.

    Raises
    ------
    PackagingError
        If it cannot be written.
    UnsupportedModelError
        If it cannot be saved.
    """
    name, save = fitting.file, fitting.save
    packed = _packed(folder, archive, name)
    if save is None:
        same = packed and _is(place, packed, folder)
        yield ModelFile(place, packed if same else None)
        return
    if packed is not None:
        hashed = HashedOutput()
        notes = _save(save, "Compare", name, hashed, listener)
        if hashed.hexdigest() != packed.digest:
            packed = None
        elif _is(place, packed, folder):
            yield ModelFile(place, packed, notes=notes)
            return
    with replacing(place) as file:
        hashed = HashedOutput(file)
        notes = _save(save, "Save", name, hashed, listener)
        yield ModelFile(Path(file.name), packed, hashed.hexdigest(), seal(file), notes)


def _packed(folder: CodeFolder, archive: Path, name: str) -> Index | None:
    """Return what the archive holds, if nobody has touched it since we wrote it."""
    digest = folder.known(archive)
    index = read_index(archive) if digest else None
    return index.after(digest) if index and index.name == name else None


def _is(place: Path, packed: Index, folder: CodeFolder) -> bool:
    """Return whether a file is the one that is packed."""
    if not place.is_file() or place.stat().st_size != packed.size:
        return False
    return (folder.known(place) or digest_of_file(place)) == packed.digest


def _save(save: Save, what: str, name: str, file: HashedOutput, listener: Listener) -> list[str]:
    listener(Progress(what, note=name))
    notes = save(cast("IO[bytes]", file), lambda done, total: listener(Progress(what, done, total, name)))
    file.flush()
    return notes
