"""The ``model.tar.gz`` that SageMaker reads: written in one pass with deterministic bytes, and read back.

Weights hardly compress and code does, so each megabyte of a large file is looked at: unless it compresses very well, it
goes into stored blocks at the speed of the disk. The rest is deflated. Both are blocks of one ordinary gzip member. The
file is written beside its place and moved there when it is complete, so that a full disk or an interrupt leaves the old
archive as it was.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from sm_magics.errors import ArchiveError, PackagingError

from .replacing import replacing

CHUNK = 1 << 20
_STORED_MAX = 0xFFFF  # bytes in one stored block, RFC 1951 §3.2.4
_WORTH_DEFLATING = 1 / 3  # fp32 weights come to about 0.93, some to 0.75; deflating a gigabyte takes half a minute
SCRIPT = "code/inference.py"
_MODEL_SUFFIXES = (".pth", ".pt")  # what the container's default model_fn looks for


@dataclass(frozen=True)
class Member:
    """A file that goes into an archive.

    Attributes
    ----------
    name
        Its name inside the archive, with forward slashes: ``code/inference.py``.
    path
        Where it lies.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Contents:
    """What an archive holds.

    Attributes
    ----------
    sizes
        Name to size in bytes of each file, in the archive's order.
    digest
        SHA-256 of the archive's bytes, in hexadecimal.
    size
        The archive's size in bytes.
    script
        The text of ``code/inference.py``, empty if there is none.
    """

    sizes: dict[str, int]
    digest: str
    size: int
    script: str = ""


@contextmanager
def new_archive(
    target: Path, members: Sequence[Member], watch: Callable[[str, bytes], None] | None = None
) -> Iterator[Contents]:
    """Write the members into a ``.tar.gz``, read it back, and put it in its place when the block ends well.

    The same names and contents give the same bytes, whatever the files' owners, modes and times. Memory does not grow
    with the files.

    Parameters
    ----------
    target
        The archive.
    members
        What goes in, in this order.
    watch
        Called with each member's name and each piece of its data.

    Raises
    ------
    PackagingError
        If the archive cannot be written (permissions, full disk) or a member cannot be read.
    ArchiveError
        If its layout is not what SageMaker reads.
    """
    with replacing(target, f"--archive ANOTHER_DIRECTORY/{target.name}") as file:
        stream = _GzipWriter(file)
        with tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, copybufsize=CHUNK) as tar:  # type: ignore[arg-type]
            for member in members:
                _add(tar, stream, member, watch)
        stream.close()
        file.flush()
        contents = read_contents(Path(file.name))
        if contents.digest != stream.digest or list(contents.sizes) != [member.name for member in members]:
            raise ArchiveError(
                f"What was read back from {target} is not what was written.", hint=f"!df -h {target.parent}"
            )
        check_layout(contents, target.name)
        yield contents


def _add(tar: tarfile.TarFile, stream: _GzipWriter, member: Member, watch: Callable[[str, bytes], None] | None) -> None:
    try:
        file = member.path.open("rb")
    except OSError as error:
        raise PackagingError(
            f"{member.path} cannot be read: {error.strerror or error}.", hint=f"!ls -l {member.path}"
        ) from error
    with file:
        entry = tarfile.TarInfo(member.name)  # owner, group and time are 0, the mode 0644
        entry.size = os.fstat(file.fileno()).st_size
        stream.begin(large=entry.size > CHUNK)
        tar.addfile(entry, _Watched(file, member.name, watch) if watch else file)


class _Watched:
    """A file whose data is shown to somebody else as it is read."""

    def __init__(self, file: IO[bytes], name: str, watch: Callable[[str, bytes], None]) -> None:
        self._file, self._name, self._watch = file, name, watch

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._watch(self._name, data)
        return data


class _GzipWriter:
    """One gzip member (RFC 1952): small files are deflated, of a large one each megabyte is if that is worth it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._checksum = self._length = 0
        self._buffer = bytearray()
        self._large = False
        self._emit(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")  # no name, no time, no operating system

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def begin(self, *, large: bool) -> None:
        """Say that a file follows, and of which kind it is."""
        if large != self._large:
            self._flush()
            self._large = large

    def tell(self) -> int:
        return self._length + len(self._buffer)

    def write(self, data: bytes) -> int:
        self._buffer += data
        while len(self._buffer) >= CHUNK:
            chunk = bytes(memoryview(self._buffer)[:CHUNK])
            del self._buffer[:CHUNK]
            self._chunk(chunk)
        return len(data)

    def close(self) -> None:
        self._flush()
        self._emit(b"\x03\x00")  # an empty block that says it is the last
        self._emit(struct.pack("<II", self._checksum, self._length & 0xFFFFFFFF))

    def _flush(self) -> None:
        if self._buffer:
            self._chunk(bytes(self._buffer))
            self._buffer.clear()

    def _chunk(self, chunk: bytes) -> None:
        self._checksum = zlib.crc32(chunk, self._checksum)
        self._length += len(chunk)
        if not self._large or _deflates(chunk):
            # A compressor of its own refers to nothing before this chunk; the flush ends it at a whole byte.
            deflate = zlib.compressobj(1 if self._large else 6, zlib.DEFLATED, -zlib.MAX_WBITS)
            self._emit(deflate.compress(chunk) + deflate.flush(zlib.Z_SYNC_FLUSH))
        else:
            view = memoryview(chunk)
            for start in range(0, len(chunk), _STORED_MAX):
                block = view[start : start + _STORED_MAX]
                self._emit(struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF))
                self._emit(block)

    def _emit(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._file.write(data)


def _deflates(chunk: bytes) -> bool:
    """Return whether compressing is worth its time, judged by 4 KiB from the beginning, the middle and the end."""
    middle = max(0, len(chunk) // 2 - 2048)
    sample = chunk if len(chunk) <= 3 * 4096 else chunk[:4096] + chunk[middle : middle + 4096] + chunk[-4096:]
    return len(zlib.compress(sample, 1)) < _WORTH_DEFLATING * len(sample)


def read_contents(path: Path, look: Callable[[IO[bytes]], object] | None = None) -> Contents:
    """Read an archive from beginning to end and return what it holds.

    Parameters
    ----------
    path
        The archive.
    look
        Called with each model file, which can be read only forwards.

    Raises
    ------
    ArchiveError
        If it is not there or not a complete ``.tar.gz``, or holds anything but files and directories with safe names.
    """
    sizes: dict[str, int] = {}
    script = ""
    try:
        with path.open("rb") as file:
            hashed = _Hashed(file)
            # tarfile's own reading of gzip checks neither the checksum nor the length.
            unpacked = gzip.GzipFile(fileobj=hashed, mode="rb")  # type: ignore[call-overload]
            with unpacked, tarfile.open(fileobj=unpacked, mode="r|", bufsize=CHUNK) as tar:
                for entry in tar:
                    _refuse_unsafe(path, entry)
                    if entry.isfile():
                        sizes[_normal(entry.name)] = entry.size
                        if look and entry.name.endswith(_MODEL_SUFFIXES) and (data := tar.extractfile(entry)):
                            look(data)
                    if _normal(entry.name) == SCRIPT and (data := tar.extractfile(entry)):
                        script = data.read(CHUNK).decode(errors="replace")
                while unpacked.read(CHUNK):
                    pass
    except FileNotFoundError as error:
        raise ArchiveError(f"There is no archive {path}.", hint="%sm_package model") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ArchiveError(f"{path} is not a complete .tar.gz: {error}.", hint="%sm_package model") from error
    return Contents(sizes=sizes, digest=hashed.hash.hexdigest(), size=hashed.size, script=script)


def extract(path: Path, directory: Path) -> str:
    """Extract an archive into an empty directory, and return the SHA-256 of the archive's bytes.

    Raises
    ------
    ArchiveError
        If it is not there or not a complete ``.tar.gz``, or holds anything but files and directories with safe names.
    PackagingError
        If it cannot be written there.
    """
    try:
        with path.open("rb") as file:
            hashed = _Hashed(file)
            unpacked = gzip.GzipFile(fileobj=hashed, mode="rb")  # type: ignore[call-overload]
            with unpacked, tarfile.open(fileobj=unpacked, mode="r|", bufsize=CHUNK) as tar:
                for entry in tar:
                    _refuse_unsafe(path, entry)
                    tar.extract(entry, directory, filter="data")
                while unpacked.read(CHUNK):
                    pass
    except FileNotFoundError as error:
        raise ArchiveError(f"There is no archive {path}.", hint="%sm_package model") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{path} is not a complete .tar.gz: {error}.", hint="%sm_package model") from error
    except OSError as error:
        raise PackagingError(
            f"{path} cannot be extracted into {directory}: {error.strerror or error}.",
            hint="%env TMPDIR=/a/directory/with/room",
        ) from error
    return hashed.hash.hexdigest()


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.hash, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        self.size += len(data)
        return data


def _normal(name: str) -> str:
    return str(PurePosixPath(name))  # tar -C folder . writes ./model.pth


def _refuse_unsafe(path: Path, entry: tarfile.TarInfo) -> None:
    parts = PurePosixPath(entry.name).parts
    if entry.name.startswith("/") or ".." in parts:
        raise ArchiveError(
            f"{path} holds {entry.name!r}, which would be written outside the model directory.",
            hint="!tar -czf model.tar.gz -C MODEL_DIRECTORY model.pth code",
        )
    if not (entry.isfile() or entry.isdir()):
        kind = "a link" if entry.issym() or entry.islnk() else "a device"
        raise ArchiveError(
            f"{path} holds {entry.name!r}, which is {kind} and not a file.",
            hint="!tar -czhf model.tar.gz -C MODEL_DIRECTORY model.pth code",
        )


def check_layout(contents: Contents, archive: str) -> None:
    """Refuse a layout that SageMaker would unpack but the container would not find its way in.

    Handlers belong into ``code/inference.py``. The model file belongs to the top, where the default ``model_fn`` looks,
    unless the script names another place.

    Raises
    ------
    ArchiveError
        If the inference script or the model file lies elsewhere, or neither is there.
    """
    models = [name for name in contents.sizes if name.endswith(_MODEL_SUFFIXES)]
    scripts = [name for name in contents.sizes if PurePosixPath(name).name == "inference.py"]
    problem = ""
    if scripts and SCRIPT not in scripts:
        problem = f"holds {scripts[0]}, where the container does not look: it must be {SCRIPT}"
    elif models and all("/" in name and PurePosixPath(name).name not in contents.script for name in models):
        problem = f"holds the model as {models[0]}, where the container does not look: it must be at the top"
    elif not scripts and not models:
        problem = f"holds neither a model file nor {SCRIPT}"
    if problem:
        raise ArchiveError(f"{archive} {problem}.", hint="!tar -czf model.tar.gz -C MODEL_DIRECTORY model.pth code")
