"""The zip archive of stored records that ``torch.load`` reads, written forwards only.

``zipfile`` writes a record's checksum after its data, going back for it. Here the checksum is computed first, at the
speed of memory, so that the file can be hashed as it is written, or hashed instead of written.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterable
from typing import IO

from isal import isal_zlib

_ALIGNMENT = 64  # bytes; what torch aligns records to, so that they can be memory-mapped
_LARGE = zipfile.ZIP64_LIMIT  # bytes; beyond it sizes take 64 bits


class Records:
    """A zip archive of stored records.

    Parameters
    ----------
    file
        Anything with ``write`` and ``flush``.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._position = 0
        self._written: list[zipfile.ZipInfo] = []

    def write(
        self,
        name: str,
        pieces: Callable[[], Iterable[bytes | memoryview]],
        report: Callable[[int], None] | None = None,
    ) -> None:
        """Write a record.

        Parameters
        ----------
        name
            Inside the archive's one directory.
        pieces
            Gives the data, each time that it is called: once for the checksum, once to be written.
        report
            Called with the size of each piece that was written, in bytes.
        """
        record = zipfile.ZipInfo(f"archive/{name}", date_time=(1980, 1, 1, 0, 0, 0))
        record.create_system = 3  # Unix, whichever system writes
        record.header_offset = self._position
        record.CRC = record.file_size = 0
        for piece in pieces():
            record.CRC = isal_zlib.crc32(piece, record.CRC)
            record.file_size += len(piece)
        record.compress_size = record.file_size
        record.extra = self._padding(record)
        self._put(record.FileHeader(zip64=record.file_size > _LARGE))
        for piece in pieces():
            self._put(piece)
            if report:
                report(len(piece))
        self._written.append(record)

    def close(self) -> None:
        """Write the list of the records."""
        with zipfile.ZipFile(_Forwards(self._file, self._position), "w") as archive:  # type: ignore[call-overload]
            archive.filelist += self._written
            archive._didModify = True  # noqa: SLF001 - as zipfile's own mkdir does, for what it did not write itself

    def _padding(self, record: zipfile.ZipInfo) -> bytes:
        """Return the extra field that makes the data begin at a multiple of the alignment."""
        begins = self._position + 30 + len(record.filename)
        if record.file_size > _LARGE:
            begins += 20  # the 64-bit sizes
        padding = -(begins + 4) % _ALIGNMENT
        return struct.pack("<HH", 0x4246, padding) + b"Z" * padding  # field "FB", torch's own

    def _put(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._position += len(data)


class _Forwards:
    """A stream that can tell its position, but not go elsewhere."""

    def __init__(self, file: IO[bytes], position: int) -> None:
        self._file, self._position = file, position

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("This stream is written forwards only.")

    def flush(self) -> None:
        self._file.flush()
