"""What a training job left in S3, looked at as it goes by: nothing is kept, and nothing of it is run.

A job leaves its model as ``model.tar.gz``, or as objects below a prefix where its output is not compressed.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from sm_magics.packaging.saved import END, Saved, recognise_ends, recognise_stream
from sm_magics.packaging.tar.contents import Counted, opened

from . import artifacts
from .connection import Connection

MODEL_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt")
_PIECE = 1 << 20


@dataclass(frozen=True)
class Output:
    """A file that a training job left.

    Attributes
    ----------
    name
        Its name in the archive, or below the prefix.
    size
        In bytes.
    saved
        How a model was saved in it; None where it is no model, or one that only its own library knows.
    """

    name: str
    size: int
    saved: Saved | None = None


def listed(uri: str, connection: Connection) -> tuple[Output, ...]:
    """Return what lies at the URI of a job's model, in its order.

    An archive is read through from beginning to end, in constant memory. Of large objects only the ends are read.

    Raises
    ------
    ArchiveError
        If it is no complete ``.tar.gz``.
    BackendError
        If S3 refuses, or there is nothing.
    """
    if _is_prefix(uri):
        return tuple(_described(name, size, key, uri, connection) for name, size, key in _objects(uri, connection))
    found = []
    with _body(uri, connection) as body, opened(Counted(body), uri) as tar:
        for header in tar:
            if header.isfile():
                name = header.name.removeprefix("./")
                data = tar.extractfile(header) if name.endswith(MODEL_SUFFIXES) else None
                found.append(Output(name, header.size, recognise_stream(data) if data else None))
    return tuple(found)


@contextmanager
def archive(uri: str, connection: Connection) -> Iterator[IO[bytes]]:
    """Open what lies there as a ``.tar.gz`` that can be read once, forwards; objects are packed as they go by."""
    if not _is_prefix(uri):
        with _body(uri, connection) as body:
            yield body
    else:
        with closing(_packed(_objects(uri, connection), uri, connection)) as pieces:
            yield _Pieces(pieces)  # type: ignore[misc] # only its read is called


def _is_prefix(uri: str) -> bool:
    return not uri.endswith((".tar.gz", ".tgz"))


@contextmanager
def _body(uri: str, connection: Connection, **request: str) -> Iterator[IO[bytes]]:
    bucket, key = artifacts.split(uri)
    with connection.calling():
        body = connection.client("s3").get_object(Bucket=bucket, Key=key, **request)["Body"]
    with closing(body):
        yield _Body(body, connection.calling)  # type: ignore[misc] # only its read is called


class _Body:
    """The body of an object, whose errors are ours."""

    def __init__(self, body: Any, calling: Callable[[], Any]) -> None:
        self._body, self._calling = body, calling

    def read(self, size: int = -1) -> bytes:
        with self._calling():
            data: bytes = self._body.read(None if size < 0 else size)
            return data


def _objects(uri: str, connection: Connection) -> Iterator[tuple[str, int, str]]:
    """Yield name, size and key of each object below a prefix."""
    bucket, prefix = artifacts.split(uri)
    prefix = f"{prefix.rstrip('/')}/"
    with connection.calling():
        for page in connection.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for row in page.get("Contents", ()):
                if not row["Key"].endswith("/"):
                    yield row["Key"].removeprefix(prefix), row["Size"], row["Key"]


def _described(name: str, size: int, key: str, uri: str, connection: Connection) -> Output:
    if not name.endswith(MODEL_SUFFIXES) or not size:
        return Output(name, size)
    place = f"s3://{artifacts.split(uri)[0]}/{key}"
    with _body(place, connection, Range=f"bytes=0-{END - 1}") as body:
        head = body.read()
    tail = b""
    if size > len(head):
        with _body(place, connection, Range=f"bytes={max(len(head), size - END)}-{size - 1}") as body:
            tail = body.read()
    return Output(name, size, recognise_ends(head, tail, size))


def _packed(objects: Iterator[tuple[str, int, str]], uri: str, connection: Connection) -> Generator[bytes, None, None]:
    """Yield a ``.tar.gz`` of objects piece by piece. It is unpacked again at once: not compressed."""
    gzip = zlib.compressobj(0, zlib.DEFLATED, 31)
    bucket, _ = artifacts.split(uri)
    for name, size, key in objects:
        header = tarfile.TarInfo(name)
        header.size = size
        yield gzip.compress(header.tobuf(tarfile.PAX_FORMAT))
        with _body(f"s3://{bucket}/{key}", connection) as body:
            while piece := body.read(_PIECE):
                yield gzip.compress(piece)
        yield gzip.compress(bytes(-size % tarfile.BLOCKSIZE))
    yield gzip.compress(bytes(2 * tarfile.BLOCKSIZE))
    yield gzip.flush()


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        size = min(len(into), len(self._rest))
        into[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
