"""The model file, written only when it has changed: and what tells is a hash of all its bytes.

A tensor's version counter stays where it is when NumPy writes into its memory, or code through ``.data``. So what would
be written is hashed, at the speed of memory, and compared with what the archive holds. What is new goes into the model
file and into the archive at once, while it is in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sm_magics.authoring import CodeFolder
from sm_magics.progress import Listener, Progress

from .archive import Member
from .fitting import Fit
from .records import Records
from .tar.gzipping import Buffer, Output
from .tar.hashing import digest_of_file, hasher
from .tar.replacing import explained, replacing
from .tar.tail import Index, read_index

_ELSEWHERE = "--model-dir ANOTHER_DIRECTORY"


@dataclass(frozen=True)
class ModelFile:
    """The model file that is to be packed.

    Attributes
    ----------
    member
        What is to go into the archive.
    packed
        What the archive that is there holds, if that is the very same file.
    new
        The file that takes its place when the block ends well; None if nothing is written. It is complete once the
        member is packed.
    """

    member: Member
    packed: Index | None = None
    new: BinaryIO | None = None


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
    name = fitting.file
    there = Member(name, place)
    packed = _packed(folder, archive, name)
    records = fitting.stream() if fitting.stream else None
    if records is None and fitting.save is None:
        yield ModelFile(there, packed if packed and _is(place, packed, folder) else None)
        return
    if packed and records and packed.digest != _digest(records, name, listener):
        packed = None
    if packed and records and _is(place, packed, folder):
        yield ModelFile(there, packed)
        return
    with replacing(place, _ELSEWHERE) as file:
        beside = Path(file.name)
        if records is None:
            assert fitting.save is not None  # noqa: S101 - for mypy
            listener(Progress("Save", note=name))
            fitting.save(beside)
            packed = packed if packed and packed.digest == digest_of_file(beside) else None
            if packed and _is(place, packed, folder):
                beside.unlink()
                yield ModelFile(there, packed)
            else:
                yield ModelFile(Member(name, beside), packed, file)
            return
        copy = _Copy(file, place, _reporting("Save", name, records.size, listener))
        if packed:  # only the model file is gone
            for piece in records.pieces():
                copy.write(piece)
            yield ModelFile(Member(name, beside), packed, file)
        else:
            yield ModelFile(Member(name, beside, records, copy.write), None, file)


class _Copy:
    """The model file, written while the archive is."""

    def __init__(self, file: BinaryIO, place: Path, report: Callable[[int], None]) -> None:
        self._output, self._partial, self._place, self._report = Output(file), Path(file.name), place, report

    def write(self, piece: Buffer) -> None:
        """Write a part of it."""
        with explained(self._place, _ELSEWHERE, self._partial):  # it may lie on another disk than the archive
            self._output.write(piece)
        self._report(len(piece))


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


def _digest(records: Records, name: str, listener: Listener) -> str:
    report = _reporting("Compare", name, records.size, listener)
    found = hasher()
    for piece in records.pieces():
        found.update(piece)
        report(len(piece))
    return found.hexdigest()


def _reporting(what: str, name: str, total: int, listener: Listener) -> Callable[[int], None]:
    """Return what is called with the bytes that were done since the last time."""
    done = 0
    listener(Progress(what, note=name))

    def report(size: int) -> None:
        nonlocal done
        done += size
        if size:
            listener(Progress(what, done, total, name))

    return report
