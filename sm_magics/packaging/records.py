"""The zip archive of stored records that ``torch.load`` reads, as a stream whose size is known before it is read.

``zipfile`` writes a record's checksum after its data, going back for it. Here the checksum is computed first, at the
speed of memory, so that the archive can be read forwards: into a file, into a ``model.tar.gz``, into both at once, or
only into a hash.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from isal import isal_zlib

_ALIGNMENT = 64  # bytes; what torch aligns records to, so that they can be memory-mapped
_LARGE = zipfile.ZIP64_LIMIT  # bytes; beyond it sizes take 64 bits
Buffer: TypeAlias = bytes | memoryview
Pieces: TypeAlias = Callable[[], Iterable[Buffer]]


class Records:
    """A zip archive of stored records."""

    def __init__(self) -> None:
        self._records: list[tuple[zipfile.ZipInfo, Pieces]] = []
        self._end = 0

    def add(self, name: str, size: int, pieces: Pieces) -> None:
        """Add a record.

        Parameters
        ----------
        name
            Inside the archive's one directory.
        size
            In bytes.
        pieces
            Gives the data, each time that it is called: once for the checksum, once to be read.
        """
        record = zipfile.ZipInfo(f"archive/{name}", date_time=(1980, 1, 1, 0, 0, 0))
        record.create_system = 3  # Unix, whichever system writes
        record.header_offset = self._end
        record.CRC = 0
        record.file_size = record.compress_size = size
        record.extra = self._padding(record)
        self._records.append((record, pieces))
        self._end += len(_header(record)) + size

    @property
    def size(self) -> int:
        """The archive's size in bytes."""
        return self._end + len(self._directory())

    def pieces(self) -> Iterator[Buffer]:
        """Yield the archive; each piece is valid until the next is asked for."""
        for record, pieces in self._records:
            record.CRC = 0
            for piece in pieces():
                record.CRC = isal_zlib.crc32(piece, record.CRC)
            yield _header(record)
            yield from pieces()
        yield self._directory()

    def open(self) -> io.RawIOBase:
        """Return the archive as a stream that is read forwards."""
        return _Stream(self.pieces())

    def _directory(self) -> bytes:
        """Return the list of the records, which comes last."""
        end = _End(self._end)
        with zipfile.ZipFile(end, "w") as archive:  # type: ignore[call-overload]
            archive.filelist += [record for record, _ in self._records]
            archive._didModify = True  # noqa: SLF001 - as zipfile's own mkdir does, for what it did not write itself
        return bytes(end.data)

    def _padding(self, record: zipfile.ZipInfo) -> bytes:
        """Return the extra field that makes the data begin at a multiple of the alignment."""
        begins = self._end + 30 + len(record.filename)
        if record.file_size > _LARGE:
            begins += 20  # the 64-bit sizes
        padding = -(begins + 4) % _ALIGNMENT
        return struct.pack("<HH", 0x4246, padding) + b"Z" * padding  # field "FB", torch's own


def _header(record: zipfile.ZipInfo) -> bytes:
    return record.FileHeader(zip64=record.file_size > _LARGE)


class _Stream(io.RawIOBase):
    """Pieces as a stream."""

    def __init__(self, pieces: Iterator[Buffer]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as much as there is room for, small records together."""
        done = 0
        while done < len(buffer):
            while not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    return done
                self._rest = memoryview(piece)
            size = min(len(buffer) - done, len(self._rest))
            buffer[done : done + size] = self._rest[:size]
            self._rest = self._rest[size:]
            done += size
        return done


class _End:
    """What zipfile writes the end of an archive to, of which the beginning lies elsewhere."""

    def __init__(self, position: int) -> None:
        self._begin, self.data = position, bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def tell(self) -> int:
        return self._begin + len(self.data)

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("This stream is written forwards only.")

    def flush(self) -> None:
        pass
