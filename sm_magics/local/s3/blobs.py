"""Bytes on disk, named by their SHA-256: written once, hashed on the way, never changed.

Memory stays flat whatever the size: bytes go through in pieces, and hashing and writing happen in threads so that the
event loop goes on answering. What was committed survives the death of the process (not of the machine: nothing is
flushed to the medium).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .checksums import ALGORITHMS, encoded

#: Bytes handled at a time.
PIECE = 256 * 1024


@dataclass(frozen=True)
class Blob:
    """What was written.

    Attributes
    ----------
    digest, md5
        Hexadecimal.
    size
        In bytes.
    sums
        Checksums that were asked for, in base64, by name.
    """

    digest: str
    md5: str
    size: int
    sums: Mapping[str, str] = field(default_factory=dict)


class Draft:
    """A blob that is being written. `keep` it or `drop` it.

    Parameters
    ----------
    sums
        Further checksums to compute on the way.
    """

    def __init__(self, directory: Path, sums: Iterable[str] = ()) -> None:
        descriptor, name = tempfile.mkstemp(dir=directory, prefix="draft-")
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sums = {name: ALGORITHMS[name]() for name in sums}
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Write and hash one piece."""
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]
        self._sha256.update(piece)
        self._md5.update(piece)
        for each in self._sums.values():
            each.update(piece)
        self._size += len(piece)

    def write_file(self, source: BinaryIO, length: int | None = None) -> None:
        """Write and hash the rest of an open file, or the next `length` bytes of it."""
        while piece := source.read(PIECE if length is None else min(PIECE, length)):
            self.write(piece)
            if length is not None:
                length -= len(piece)

    def finish(self) -> Blob:
        """Close the file and return what it holds."""
        self._file.close()
        sums = {name: encoded(each.digest()) for name, each in self._sums.items()}
        return Blob(self._sha256.hexdigest(), self._md5.hexdigest(), self._size, sums)

    def drop(self) -> None:
        """Remove it, if it was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Blobs:
    """A directory of blobs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self._directory / digest

    def draft(self) -> Draft:
        """Return a draft to write into, in a thread."""
        return Draft(self._directory)

    async def receive(self, pieces: AsyncIterator[bytes], sums: Iterable[str] = ()) -> tuple[Draft, Blob]:
        """Write what comes in as a draft.

        Raises
        ------
        OSError
            If the disk is full. Nothing is left then, nor when `pieces` raises.
        """
        draft = Draft(self._directory, sums)
        try:
            waiting = bytearray()
            async for piece in pieces:
                waiting += piece
                if len(waiting) >= PIECE:
                    await asyncio.to_thread(draft.write, bytes(waiting))
                    waiting.clear()
            if waiting:
                draft.write(bytes(waiting))
            return draft, draft.finish()
        except BaseException:
            draft.drop()
            raise

    async def copy(
        self, sources: Iterable[Path], sums: Iterable[str] = (), *, span: tuple[int, int] | None = None
    ) -> tuple[Draft, Blob]:
        """Write the contents of regular files, one after the other, as a draft.

        Parameters
        ----------
        span
            Of each file only the bytes from, and up to but not including, these.

        Raises
        ------
        OSError
            If one is not there, is no regular file or cannot be read. Nothing is left then.
        """
        draft = Draft(self._directory, sums)
        try:
            await asyncio.to_thread(_copy, draft, sources, span)
            return draft, draft.finish()
        except BaseException:
            draft.drop()
            raise

    def keep(self, draft: Draft, blob: Blob) -> None:
        """Make a draft a blob."""
        draft.path.replace(self.path(blob.digest))

    def remove(self, digest: str) -> None:
        """Remove a blob. Who has it open, or linked elsewhere, keeps it."""
        self.path(digest).unlink(missing_ok=True)

    def sweep(self, wanted: set[str]) -> None:
        """Remove drafts, and blobs that nothing refers to: what a killed service left."""
        for entry in os.scandir(self._directory):
            if entry.name not in wanted:
                Path(entry).unlink(missing_ok=True)


def _copy(draft: Draft, sources: Iterable[Path], span: tuple[int, int] | None) -> None:
    for path in sources:
        # Not blocking: opening a named pipe would otherwise wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise IsADirectoryError(0, "Not a regular file", str(path))
            if span:
                source.seek(span[0])
            draft.write_file(source, span[1] - span[0] if span else None)
