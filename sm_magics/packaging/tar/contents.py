"""What is in a ``model.tar.gz``: read from beginning to end, checked, and unpacked."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from isal import igzip, isal_zlib

from sm_magics.errors import ArchiveError, PackagingError

from .gzipping import PIECE
from .hashing import Entry, digest_of_entries, hasher

SCRIPT = "code/inference.py"
MODEL_SUFFIXES = (".pth", ".pt")  # what the container's default model_fn looks for
_MOST_SCRIPT = 1 << 20
_MOST_HEADER = 1 << 20  # bytes of a name or of further attributes, which tarfile reads into memory


@dataclass(frozen=True)
class Contents:
    """What an archive holds.

    Attributes
    ----------
    sizes
        Name to size in bytes of each file, in the archive's order.
    digests
        Name to BLAKE3 of each file, in hexadecimal.
    digest
        BLAKE3 of what it unpacks to, in hexadecimal: the same whoever packed and compressed it.
    size
        The archive's size in bytes.
    script
        The text of ``code/inference.py``, empty if there is none.
    state
        What `sm_magics.authoring.ownership.state_of` says of the file; empty if not known.
    """

    sizes: dict[str, int]
    digests: dict[str, str]
    digest: str
    size: int
    script: str = ""
    state: str = ""


class _Header(tarfile.TarInfo):
    """A tar header whose extensions do not fill the memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extensions = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
        if self.type in extensions | {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK} and self.size > _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return cast("tarfile.TarInfo", super()._proc_member(tar))  # type: ignore[misc]


@contextmanager
def opened(file: IO[bytes] | io.RawIOBase, name: str) -> Iterator[tarfile.TarFile]:
    """Open a ``.tar.gz`` that can be read only forwards; what follows the end of the tar is read as well.

    Parameters
    ----------
    file
        Only its ``read`` is called.
    name
        What to call it in errors.

    Raises
    ------
    ArchiveError
        In the block, if it is not a complete ``.tar.gz``.
    """
    try:
        with igzip.IGzipFile(fileobj=file, mode="rb") as unpacked:  # type: ignore[no-untyped-call]
            with tarfile.open(fileobj=unpacked, mode="r|", bufsize=PIECE, tarinfo=_Header) as tar:
                yield tar
            while unpacked.read(PIECE):  # the checksum comes last
                pass
    except (tarfile.TarError, EOFError, zlib.error, isal_zlib.error, gzip.BadGzipFile) as error:  # type: ignore[misc]
        raise ArchiveError(f"{name} is not a complete .tar.gz: {error}.", hint="%sm_package model") from error


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
    entries: list[Entry] = []
    script = ""
    with _file(path) as file:
        counted = Counted(file)
        with opened(counted, str(path)) as tar:
            for header in tar:
                refuse_unsafe(str(path), header)
                data = _Hashed(tar, header)
                if look and header.isfile() and header.name.endswith(MODEL_SUFFIXES):
                    look(cast("IO[bytes]", data))
                elif normal(header.name) == SCRIPT:
                    script = data.read(_MOST_SCRIPT).decode(errors="replace")
                entries.append(data.finish())
    files = [entry for entry in entries if not entry.name.endswith("/")]
    return Contents(
        sizes={entry.name: entry.size for entry in files},
        digests={entry.name: entry.digest for entry in files},
        digest=digest_of_entries(entries),
        size=counted.size,
        script=script,
    )


def digest_of_archive(path: Path) -> str:
    """Return the digest of an archive; empty if it is none."""
    try:
        return read_contents(path).digest
    except ArchiveError:
        return ""


def extract(path: Path, directory: Path) -> str:
    """Extract an archive into an empty directory, and return its digest.

    Raises
    ------
    ArchiveError
        If it is not there or not a complete ``.tar.gz``, or holds anything but files and directories with safe names.
    PackagingError
        If it cannot be written there.
    """
    entries: list[Entry] = []
    with _file(path) as file:
        try:
            with opened(file, str(path)) as tar:
                for header in tar:
                    refuse_unsafe(str(path), header)
                    entries.append(_extracted(tar, header, directory))
        except OSError as error:
            raise PackagingError(
                f"{path} cannot be extracted into {directory}: {error.strerror or error}.",
                hint="%env TMPDIR=/a/directory/with/room",
            ) from error
    return digest_of_entries(entries)


def _extracted(tar: tarfile.TarFile, header: tarfile.TarInfo, directory: Path) -> Entry:
    data = _Hashed(tar, header)
    target = directory / normal(header.name)
    if header.isdir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # of two entries of one name, the last counts
        with target.open("xb", buffering=0) as file:
            while piece := data.read(PIECE):
                file.write(piece)
        target.chmod(0o755 if header.mode & 0o100 else 0o644)
    return data.finish()


@contextmanager
def _file(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise ArchiveError(f"There is no archive {path}.", hint="%sm_package model") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror or error}.", hint=f"!ls -l {path}") from error
    with file:
        yield file


class Counted(io.RawIOBase):
    """A stream that is counted as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.size = file, 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read a part of what is left."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.size += len(data)
        return len(data)


class _Hashed:
    """The data of an entry, hashed as it is read."""

    def __init__(self, tar: tarfile.TarFile, header: tarfile.TarInfo) -> None:
        self._header, self._hash = header, hasher()
        self._data = tar.extractfile(header) if header.isfile() else None

    def read(self, size: int = -1) -> bytes:
        data = self._data.read(size) if self._data else b""
        self._hash.update(data)
        return data

    def finish(self) -> Entry:
        """Read the rest, and return what it was."""
        while self.read(PIECE):
            pass
        name = normal(self._header.name)
        if self._data is None:
            return Entry(f"{name}/", 0, "")
        return Entry(name, self._header.size, self._hash.hexdigest(), runs=bool(self._header.mode & 0o100))


def normal(name: str) -> str:
    """Return a name as the archive's own: ``tar -C folder .`` writes ``./model.pth``."""
    return str(PurePosixPath(name))


def refuse_unsafe(archive: str, header: tarfile.TarInfo) -> None:
    """Refuse an entry that would be written outside the directory, or is no plain file or directory.

    Raises
    ------
    ArchiveError
        Naming it.
    """
    if header.name.startswith("/") or ".." in PurePosixPath(header.name).parts:
        raise ArchiveError(
            f"{archive} holds {header.name!r}, which would be written outside the model directory.",
            hint="!tar -czf model.tar.gz -C MODEL_DIRECTORY model.pth code",
        )
    if not (header.isfile() or header.isdir()) or header.issparse():
        kind = "a link" if header.issym() or header.islnk() else "sparse" if header.issparse() else "a device"
        raise ArchiveError(
            f"{archive} holds {header.name!r}, which is {kind} and not a plain file.",
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
    models = [name for name in contents.sizes if name.endswith(MODEL_SUFFIXES)]
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
