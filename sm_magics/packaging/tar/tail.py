"""The end of an archive: the code, in a gzip member of its own, and what the members before it hold.

Where the weights are large, the code has two slots. One is live, the other is written while no reader sees it: gzip's
readers skip a member's extra field (RFC 1952 §2.3.1.1), and that is where the other slot lies, in the extra field of
either the member that holds the code or an empty one after it. Six bytes, in one sector, say which it is. So new code
takes the place of the old at one moment, whatever happens before and after, without copying gigabytes of weights::

    weights │ header, extra field ┊ slot 0: code, end, header of an empty member, its extra field ┊ slot 1 │ index
    weights │ header, extra field ┊ slot 0 (skipped) ┊ slot 1: code, end, empty member            ┊        │ index

The index is an empty member too, whose extra field says in JSON what the weights' member holds.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from isal import isal_zlib

from .gzipping import trailer

LARGE = 16 << 20  # bytes of weights from which on the code has slots; below, copying takes no time
_ID = b"SM"
_HEAD = struct.Struct("<10sH2sH")  # gzip's header with FEXTRA, XLEN, one subfield's id and length
_START = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
_NOTHING = b"\x03\x00" + bytes(8)  # an empty deflate block, and the checksum and length of nothing
_SLOT = (0xFFFF - 4) // 2 - 64
_INDEX = 4096
_PAGE = 4096
_MOST_BEFORE = 16


@dataclass(frozen=True)
class Index:
    """What the weights' member of an archive holds.

    Attributes
    ----------
    name, size, digest
        The model file: its name in the archive, its size in bytes and its BLAKE3.
    length
        Bytes that the member takes in the archive.
    before
        Digests of earlier archives that began with the very same bytes, the latest first.
    slotted
        Whether the code has two slots.
    """

    name: str
    size: int
    digest: str
    length: int
    before: tuple[str, ...] = ()
    slotted: bool = False

    def after(self, digest: str) -> Index:
        """Return the index of the archive that comes after the one of this digest."""
        kept = dict.fromkeys((digest, *self.before))
        return replace(self, before=tuple(kept)[:_MOST_BEFORE])

    def member(self) -> bytes:
        """Return the member that says so; empty where it does not fit."""
        text = json.dumps(asdict(self), sort_keys=True).encode()
        room = _INDEX - _HEAD.size - len(_NOTHING)
        if len(text) > room:
            return b""
        return _head(room) + text.ljust(room) + _NOTHING


def read_index(path: Path) -> Index | None:
    """Return the index of an archive, or None if it has none. It is a claim, which only who wrote it can trust."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if end < _INDEX:
                return None
            file.seek(end - _INDEX)
            member = file.read(_INDEX)
        start, _, kind, _ = _HEAD.unpack_from(member)
        if (start, kind, member[-len(_NOTHING) :]) != (_START, _ID, _NOTHING):
            return None
        claims = json.loads(member[_HEAD.size : -len(_NOTHING)])
        index = Index(**{**claims, "before": tuple(map(str, claims["before"]))})
        return index if 0 < index.length <= end - _INDEX else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def deflated(data: bytes) -> bytes:
    """Return code deflated, with its checksum and length: what follows a gzip member's header."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush() + trailer(isal_zlib.crc32(data), len(data))


def fits(code: bytes) -> bool:
    """Return whether deflated code fits into a slot."""
    return len(code) + _HEAD.size <= _SLOT


def member(code: bytes, *, slotted: bool) -> bytes:
    """Return the member that holds deflated code, and the empty ones that make room for the next."""
    if not slotted:
        return _head(0) + code
    return _head(0) + _in_slot(code, 0).ljust(2 * _SLOT, b"\0") + _NOTHING


def padding(length: int) -> bytes:
    """Return an empty member after which the code's header lies within one page, so that it is written as a whole."""
    skipped = -(length + _HEAD.size + len(_NOTHING)) % _PAGE
    return _head(skipped) + bytes(skipped) + _NOTHING


def exchange(file: IO[bytes], index: Index, code: bytes) -> None:
    """Put new code into the free slot of an archive, and make it the live one.

    Raises
    ------
    ValueError
        If there are no slots where the index says.
    OSError
        If it cannot be written. Until the last moment the archive is what it was.
    """
    descriptor = file.fileno()
    start, length, kind, skipped = _HEAD.unpack(os.pread(descriptor, _HEAD.size, index.length))
    if (start, length, kind) != (_START, skipped + 4, _ID) or skipped not in {0, _SLOT}:
        raise ValueError("The archive has no slots.")
    live = 0 if skipped == 0 else 1
    base = index.length + _HEAD.size
    _write(descriptor, _in_slot(code, 1 - live), base + (1 - live) * _SLOT)
    os.fsync(descriptor)
    _write(descriptor, _head((1 - live) * _SLOT), index.length)
    os.fsync(descriptor)
    # What nobody reads any more is not to be sent to anybody.
    _write(descriptor, bytes(_SLOT), base + live * _SLOT)
    written = index.member()
    _write(descriptor, written, base + 2 * _SLOT + len(_NOTHING))


def _in_slot(code: bytes, slot: int) -> bytes:
    """Return what is written into a slot: the code, and the header of an empty member that reaches to the end."""
    rest = (2 - slot) * _SLOT - len(code) - _HEAD.size
    return code + _head(rest)


def _head(skipped: int) -> bytes:
    return _HEAD.pack(_START, skipped + 4, _ID, skipped)


def _write(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, position)
        view, position = view[done:], position + done
