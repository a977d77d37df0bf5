"""Hashes at the speed of memory: BLAKE3 for what names content, CRC-32 for what gzip and zip ask for.

SHA-256 runs at 0.4 to 1.6 GB/s, on one core; BLAKE3 at 6 GB/s on each core, and two contents with one name are as hard
to find. ``isal`` computes zip's CRC-32 ten times faster than the C library's zlib.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

_PIECE = 16 << 20  # large enough for all cores to have their part


def hasher() -> blake3:
    """Return a new hash that uses all cores where a piece is large enough for that."""
    return blake3(max_threads=blake3.AUTO)


def digest_of_file(path: Path) -> str:
    """Return the BLAKE3 of a file in hexadecimal.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    found = hasher()
    buffer = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while got := file.readinto(buffer):
            found.update(buffer[:got])
    return found.hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file or directory in an archive.

    Attributes
    ----------
    name
        With forward slashes; a directory's ends with one.
    size
        In bytes.
    digest
        BLAKE3 of its content, in hexadecimal; empty for a directory.
    runs
        Whether it may be executed.
    """

    name: str
    size: int
    digest: str
    runs: bool = False


def digest_of_entries(entries: Iterable[Entry]) -> str:
    """Return the digest of an archive: of what it unpacks to, in its order, whoever packed and compressed it."""
    found = blake3()
    for entry in entries:
        line = f"{'x' if entry.runs else '-'} {entry.size} {entry.digest} {entry.name}\0"
        found.update(line.encode("utf-8", "surrogateescape"))
    return found.hexdigest()
