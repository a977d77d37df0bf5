"""Somebody else's ``model.tar.gz`` with other code: streamed from one place to another, in constant memory.

What a training job leaves in S3 holds its model and hardly ever the code to serve it. What is read is unpacked, checked
entry by entry, and packed again as it goes by; nothing is written to a disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from sm_magics.errors import ArchiveError

from .tar import entries, tail
from .tar.contents import MODEL_SUFFIXES, Counted, normal, opened, refuse_unsafe
from .tar.entries import InMemory, Member
from .tar.gzipping import GzipMember, Output
from .tar.hashing import Entry, digest_of_entries
from .tar.tail import Index

_HINT = "!tar -czhf model.tar.gz -C MODEL_DIRECTORY model.pth code"
_MOST_ENTRIES = 100_000
_RATIO = 200  # gzip manages a thousand times with nothing but zeros
_LET_THROUGH = 1 << 30  # bytes, whatever they were packed to


def combine(
    source: IO[bytes], code: Mapping[str, Path | bytes], target: IO[bytes], *, name: str = "model.tar.gz"
) -> str:
    """Copy an archive, with other code in place of its own.

    Parameters
    ----------
    source
        A ``.tar.gz``, of which only ``read`` is called: the body of a ``GetObject``.
    code
        Files, or what they hold, by their name below ``code/``. All that the archive has there is left out.
    target
        What is written there is worth nothing unless this returns. Memory is that of a few pieces, and of the code.
    name
        What to call the archive in errors.

    Returns
    -------
    str
        The digest of the new archive, as `Contents.digest`.

    Raises
    ------
    ArchiveError
        If it is no complete ``.tar.gz``, holds links, devices or unsafe names, has more than 100,000 entries, or
        unpacks to more than a gibibyte and 200 times its size.
    PackagingError
        If a file of the code cannot be read.
    """
    output = Output(target)
    gzip = GzipMember(output)
    counted = Counted(source)
    with opened(counted, name) as tar:
        found = [_copied(gzip, tar, header, _Limit(name, counted, gzip)) for header in _kept(name, tar)]
    gzip.close()
    before = output.written
    tar_of_code = InMemory()
    found += [_added(tar_of_code, f"code/{inside}", code[inside]) for inside in sorted(code)]
    entries.end(tar_of_code, gzip.length)
    output.write(tail.member(tail.deflated(tar_of_code.getvalue()), slotted=False))
    if len(found) == len(code) + 1 and found[0].name.endswith(MODEL_SUFFIXES):
        output.write(Index(found[0].name, found[0].size, found[0].digest, before).member())
    return digest_of_entries(found)


def _kept(name: str, tar: Iterable[tarfile.TarInfo]) -> Iterable[tarfile.TarInfo]:
    """Yield the files that are not code."""
    for number, header in enumerate(tar):
        refuse_unsafe(name, header)
        if number >= _MOST_ENTRIES:
            raise ArchiveError(f"{name} has more than {_MOST_ENTRIES} entries.", hint=_HINT)
        if header.isfile() and not normal(header.name).startswith("code/"):
            yield header


class _Limit:
    """Refuses what unpacks to many times its size, as soon as it has."""

    def __init__(self, name: str, source: Counted, gzip: GzipMember) -> None:
        self._name, self._source, self._gzip = name, source, gzip

    def __call__(self, _: int) -> None:
        if self._gzip.length > max(_LET_THROUGH, _RATIO * self._source.size):
            raise ArchiveError(f"{self._name} unpacks to more than {_RATIO} times its size.", hint=_HINT)


def _copied(gzip: GzipMember, tar: tarfile.TarFile, header: tarfile.TarInfo, limit: _Limit) -> Entry:
    data = tar.extractfile(header)
    assert data is not None  # noqa: S101 - for mypy: it is a file
    runs = bool(header.mode & 0o100)
    return entries.add(gzip, data, normal(header.name), header.size, runs=runs, report=limit)


def _added(tar: InMemory, name: str, content: Path | bytes) -> Entry:
    if isinstance(content, Path):
        return entries.add_file(tar, Member(name, content), lambda *_: None)
    return entries.add(tar, io.BytesIO(content), name, len(content))
