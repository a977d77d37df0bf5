"""gzip members written at the speed of the disk.

Weights hardly compress and code does, so each piece of a large file is looked at: unless it compresses very well it
goes into stored blocks, which costs no more than copying it. The rest is deflated. Both are blocks of one ordinary
gzip member (RFC 1951, RFC 1952). While a piece is written, another thread computes its checksums.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TypeAlias

from isal import isal_zlib

from .ahead import Ahead

PIECE = 2 << 20  # stays in a core's cache from reading to writing
# Linux keeps what is written at once in one piece of memory. Pieces of 2 MiB are what a virtual machine that has a
# balloon gives back to its host: getting them again takes ten times as long as writing.
_AT_ONCE = 272 << 10  # four stored blocks
_STORED_MAX = 0xFFFF  # bytes in one stored block, RFC 1951 §3.2.4
_WORTH_DEFLATING = 1 / 3  # fp32 weights come to about 0.93, some to 0.75; deflating a gigabyte takes half a minute
_SAMPLE = 4096
_NO_NAME_NO_TIME = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
Buffer: TypeAlias = bytes | bytearray | memoryview
Seen: TypeAlias = Callable[[Buffer], object]


class Output:
    """A stream that is written forwards and counted; a file is written without copying."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._descriptor = -1
        self.written = 0
        if isinstance(file, (io.FileIO, io.BufferedWriter)):
            file.flush()
            self._descriptor = file.fileno()
            self._ahead = Ahead(self._descriptor)

    def write(self, *buffers: Buffer) -> None:
        """Write buffers one after the other."""
        size = sum(map(len, buffers))
        if self._descriptor < 0:
            self._file.write(b"".join(buffers))
        else:
            for batch in _batches(buffers):
                self._write_all(batch)
            self._ahead.reached(self.written + size)
        self.written += size

    def _write_all(self, buffers: Sequence[memoryview]) -> None:
        done, size = os.writev(self._descriptor, buffers), sum(map(len, buffers))
        while done < size:  # a disk that is nearly full, a pipe
            rest = []
            for buffer in buffers:
                if done < len(buffer):
                    rest.append(buffer[done:])
                done = max(0, done - len(buffer))
            buffers, size = rest, sum(map(len, rest))
            done = os.writev(self._descriptor, buffers)


def _batches(buffers: Sequence[Buffer]) -> Iterator[list[memoryview]]:
    """Yield the buffers in order, as much of them at a time as is written at once."""
    batch: list[memoryview] = []
    size = 0
    for buffer in buffers:
        for start in range(0, len(buffer), _AT_ONCE):
            part = memoryview(buffer)[start : start + _AT_ONCE]
            if batch and size + len(part) > _AT_ONCE:
                yield batch
                batch, size = [], 0
            batch.append(part)
            size += len(part)
    if batch:
        yield batch


class GzipMember:
    """One gzip member that is being written.

    Parameters
    ----------
    output
        Where to.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._checksum = 0
        self.length = 0
        output.write(_NO_NAME_NO_TIME)

    def write(self, data: Buffer) -> None:
        """Write a little, deflated."""
        self._check(data)
        # A compressor of its own refers to nothing before this; the flush ends it at a whole byte.
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._output.write(deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))

    def write_from(self, source: IO[bytes], size: int, seen: Seen, report: Callable[[int], None]) -> int:
        """Write data of that size from a stream, and return how much there was.

        Memory is that of two pieces.

        Parameters
        ----------
        source
            Where from.
        size
            In bytes.
        seen
            Called with each piece, in order, in the thread that computes the checksums.
        report
            Called with the size of each piece.
        """
        if size <= _SAMPLE * 64:
            data = source.read(size)
            seen(data)
            self.write(data)
            report(len(data))
            return len(data)
        buffers = [memoryview(bytearray(min(size, PIECE))) for _ in range(2)]
        checks: list[Future[None] | None] = [None, None]
        done = turn = 0
        with ThreadPoolExecutor(1) as thread:
            while done < size:
                if (check := checks[turn]) is not None:
                    check.result()
                piece = buffers[turn][: fill(source, buffers[turn][: size - done])]
                if not piece:
                    break
                checks[turn] = thread.submit(self._check, piece, seen)
                self._emit(piece)
                done += len(piece)
                turn = 1 - turn
                report(len(piece))
            for check in checks:
                if check is not None:
                    check.result()
        return done

    def close(self) -> None:
        """Write the end."""
        self._output.write(b"\x03\x00" + trailer(self._checksum, self.length))  # an empty block, which is the last

    def _check(self, piece: Buffer, seen: Seen | None = None) -> None:
        self._checksum = isal_zlib.crc32(piece, self._checksum)
        self.length += len(piece)
        if seen is not None:
            seen(piece)

    def _emit(self, piece: memoryview) -> None:
        if is_worth_deflating(piece):
            deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
            self._output.write(deflate.compress(piece) + deflate.flush(isal_zlib.Z_SYNC_FLUSH))
            return
        blocks: list[Buffer] = []
        for start in range(0, len(piece), _STORED_MAX):
            block = piece[start : start + _STORED_MAX]
            blocks += [struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF), block]
        self._output.write(*blocks)


def trailer(checksum: int, length: int) -> bytes:
    """Return the last eight bytes of a gzip member."""
    return struct.pack("<II", checksum, length & 0xFFFFFFFF)


def fill(source: IO[bytes], buffer: memoryview) -> int:
    """Read until the buffer is full or the stream ends, and return how much was read."""
    done = 0
    readinto = getattr(source, "readinto", None)
    while done < len(buffer):
        if readinto is not None:
            got = readinto(buffer[done:])
        else:
            data = source.read(len(buffer) - done)
            got = len(data)
            buffer[done : done + got] = data
        if not got:
            break
        done += got
    return done


def is_worth_deflating(piece: Buffer) -> bool:
    """Judge by 4 KiB from the beginning, the middle and the end of a piece."""
    view = memoryview(piece)
    middle = max(0, len(view) // 2 - _SAMPLE // 2)
    sample = (
        view
        if len(view) <= 3 * _SAMPLE
        else b"".join((view[:_SAMPLE], view[middle : middle + _SAMPLE], view[-_SAMPLE:]))
    )
    return len(isal_zlib.compress(sample, 1)) < _WORTH_DEFLATING * len(sample)
