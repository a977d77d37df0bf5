"""The entries of a tar archive, the same bytes every time: no owner, no time, one of two modes."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeAlias, cast

from sm_magics.errors import PackagingError

from .gzipping import Buffer, Seen
from .hashing import Entry, hasher

Watch: TypeAlias = Callable[[str, int], None]


class Source(Protocol):
    """Data of a known size."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def open(self) -> io.RawIOBase:
        """Return it as a stream that is read forwards."""


@dataclass(frozen=True)
class Member:
    """A file that goes into an archive.

    Attributes
    ----------
    name
        Its name inside the archive, with forward slashes: ``code/inference.py``.
    path
        Where it lies.
    source
        What is read instead, once, where it does not lie there yet.
    also
        Given each piece of the data that is read, in order and from another thread.
    """

    name: str
    path: Path
    source: Source | None = None
    also: Seen | None = None

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.source.size if self.source else self.path.stat().st_size


class Sink(Protocol):
    """What entries are written to."""

    length: int

    def write(self, data: bytes) -> None:
        """Write a little."""

    def write_from(self, source: IO[bytes], size: int, seen: Seen, report: Callable[[int], None]) -> int:
        """Write data from a stream; see `GzipMember`."""


class InMemory:
    """Entries in memory."""

    def __init__(self) -> None:
        self._data = io.BytesIO()
        self.length = 0

    def write(self, data: bytes) -> None:
        """Append data."""
        self.length += self._data.write(data)

    def write_from(self, source: IO[bytes], size: int, seen: Seen, report: Callable[[int], None]) -> int:
        """Append data from a stream."""
        data = source.read(size)
        seen(data)
        self.write(data)
        report(len(data))
        return len(data)

    def getvalue(self) -> bytes:
        """Return all of it."""
        return self._data.getvalue()


def add_file(sink: Sink, member: Member, watch: Watch) -> Entry:
    """Write a file.

    Raises
    ------
    PackagingError
        If it cannot be read, or becomes shorter meanwhile.
    """
    if member.source is not None:
        return _add(sink, cast("IO[bytes]", member.source.open()), member, member.size, watch)
    try:
        file = member.path.open("rb", buffering=0)
    except OSError as error:
        raise PackagingError(
            f"{member.path} cannot be read: {error.strerror or error}.", hint=f"!ls -l {member.path}"
        ) from error
    with file:
        return _add(sink, file, member, os.fstat(file.fileno()).st_size, watch)


def _add(sink: Sink, source: IO[bytes], member: Member, size: int, watch: Watch) -> Entry:
    return add(sink, source, member.name, size, also=member.also, report=lambda number: watch(member.name, number))


def add(
    sink: Sink,
    source: IO[bytes],
    name: str,
    size: int,
    *,
    runs: bool = False,
    also: Seen | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> Entry:
    """Write a file's data from a stream.

    Raises
    ------
    PackagingError
        If there is less of it than that.
    """
    sink.write(_header(name, size, runs=runs))
    digest = hasher()

    def seen(piece: Buffer) -> None:
        digest.update(piece)
        if also is not None:
            also(piece)

    if sink.write_from(source, size, seen, report) != size:
        raise PackagingError(f"{name} became shorter while it was read.", hint="%sm_package model    # again")
    sink.write(bytes(-size % tarfile.BLOCKSIZE))
    return Entry(name, size, digest.hexdigest(), runs)


def length(name: str, size: int) -> int:
    """Return how many bytes of tar a file takes."""
    return len(_header(name, size)) + size + -size % tarfile.BLOCKSIZE


def end(sink: Sink, before: int = 0) -> None:
    """Write the end of a tar of which so many bytes lie elsewhere, as long as GNU tar has it."""
    size = 2 * tarfile.BLOCKSIZE
    sink.write(bytes(size + -(before + sink.length + size) % tarfile.RECORDSIZE))


def _header(name: str, size: int, *, runs: bool = False) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o755 if runs else 0o644
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
