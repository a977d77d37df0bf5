"""Whether a file may be replaced: only what we wrote, as we wrote it, and for the notebook that wrote it."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from sm_magics.errors import AuthoringError, FileConflictError

from .atomic import cannot_write, keep_copy, make_directory
from .record import NAME, NOBODY, Author, FileRecord, Record

_CHUNK = 1 << 20


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, read in constant memory."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def state_of(file: Path | BinaryIO, modified: int = 0) -> str:
    """Return what changes when a file is written or replaced: its place on the disk, its size and its time.

    Parameters
    ----------
    file
        A path, or an open file.
    modified
        The time that it will have, in nanoseconds since the epoch, if not the one that it has.

    Raises
    ------
    OSError
        If it is not there.
    """
    status = file.stat() if isinstance(file, Path) else os.fstat(file.fileno())
    return f"{status.st_ino}:{status.st_size}:{modified or status.st_mtime_ns}"


def notebook_name(author: Author, model_dir: Path) -> str:
    """Return the author's notebook as the record has it: relative to the model directory where its place is known."""
    if not Path(author.notebook).is_absolute():
        return author.notebook
    return Path(os.path.relpath(author.notebook, model_dir)).as_posix()


def check_notebook(path: Path, entry: FileRecord, author: Author, model_dir: Path) -> None:
    """Refuse a file that another notebook writes. One that is not there any more was renamed, or is gone.

    Raises
    ------
    FileConflictError
        If both notebooks are known and are not the same.
    """
    notebook = notebook_name(author, model_dir)
    is_left = Path(author.notebook).is_absolute() and not (model_dir / entry.notebook).exists()
    if notebook and entry.notebook and notebook != entry.notebook and not is_left:
        raise FileConflictError(
            f"{path} is written by another notebook, {entry.notebook}.",
            hint="--model-dir DIR keeps the two apart; --force replaces the file and keeps a copy beside it.",
        )


def stranger(path: Path, model_dir: Path, record: Record) -> FileConflictError:
    """Return the error for a file that was there before us, or of which nobody can say any more whose it is."""
    if record.damage:
        return FileConflictError(
            f"{model_dir / NAME}, the record of what sm_magics wrote, cannot be read: {record.damage}. "
            f"So nothing says whether {path} is ours to replace.",
            hint="--force replaces the file and begins a new record, keeping copies of both beside them.",
        )
    return FileConflictError(
        f"{path} is there already, and was not written by sm_magics.",
        hint="--model-dir DIR writes elsewhere; --force replaces it and keeps a copy beside it.",
    )


def edited(what: str, there: str, new: str) -> FileConflictError:
    """Return the error for text that was changed by hand, with what replacing it would do to it."""
    diff = difflib.unified_diff(
        there.splitlines(), new.splitlines(), f"{what} as edited by hand", f"{what} as the cell has it", lineterm=""
    )
    return FileConflictError(
        f"{what} was edited by hand since it was written:\n" + "\n".join(diff),
        hint="Take the edit into the cell, or replace it with --force, which keeps a copy of the file beside it.",
    )


def read_text(path: Path) -> str | None:
    """Return the text of a file with its line ends as they are, or None if it is not there.

    Raises
    ------
    AuthoringError
        If it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise FileConflictError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}).",
            hint="--model-dir DIR writes elsewhere; --force replaces it and keeps a copy beside it.",
        ) from error
    except OSError as error:
        raise AuthoringError(
            f"{path} cannot be read: {error.strerror or error}.", hint="Use another directory: --model-dir DIR."
        ) from error


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep other processes from writing the same directory meanwhile, where the file system can lock."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Claims:
    """What of the files in and around one model directory is ours.

    Parameters
    ----------
    model_dir
        The directory with the record.
    """

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self._digests: dict[tuple[object, ...], str] = {}

    def check_may_replace(
        self,
        path: Path,
        *,
        author: Author = NOBODY,
        force: bool = False,
        digest: str = "",
        new_text: str = "",
        generated: bool = False,
        read: Callable[[Path], str] = digest_of,
    ) -> Path | None:
        """Refuse to replace a file that is not ours, and with ``force`` keep a copy of it.

        Parameters
        ----------
        path
            The file, in the model directory or elsewhere. One that is not there, or is empty, may always be replaced.
        author, force
            Who is to write it, and whether to replace what is not ours, with a copy kept beside it.
        digest
            The content it is to have, if known: a file that already has it is in nobody's way.
        new_text
            The text it is to have, for the difference that a conflict shows.
        generated
            Whether packaging is to write it: over what a cell wrote, it may not.
        read
            Returns the digest of what is there, of the same kind as those given to `claim`.

        Returns
        -------
        Path or None
            Where the copy lies, if there had to be one.

        Raises
        ------
        FileConflictError
            If sm_magics did not write the file, another notebook does, or it has changed since.
        AuthoringError
            If the path is a directory, or no copy can be kept.
        """
        try:
            if not path.exists() or (path.is_file() and path.stat().st_size == 0):
                return None
            record = Record.read(self.model_dir)
            entry = record.files.get(self._key(path))
            there = self._digest(path, entry, read)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            if entry is not None:
                check_notebook(path, entry, author, self.model_dir)
            if digest and there == digest:
                return None
            if entry is None:
                raise stranger(path, self.model_dir, record)
            if there not in entry.digests:
                raise _changed(path, new_text)
            if generated and not entry.generated:
                raise _of_a_cell(path)
        except FileConflictError:
            if not force:
                raise
            return keep_copy(path)
        return None

    def claim(
        self,
        path: Path,
        *,
        author: Author = NOBODY,
        digest: str,
        force: bool = False,
        new_text: str = "",
        generated: bool = False,
        state: str = "",
        read: Callable[[Path], str] = digest_of,
    ) -> Path | None:
        """Record that a file is ours once it has this content. Call it just before the file is put in its place.

        The content that was there before stays ours too, so it does not matter whether replacing it succeeds.

        Parameters
        ----------
        path
            The file; it must be replaced as a whole, never written into, since a copy kept beside it may be a link.
        digest
            Of the new content, in hexadecimal: its SHA-256 if `read` is not given.
        state
            What `state_of` will say of the new file, if known: as long as it does, the file is not read again.
        author, force, new_text, generated, read
            As for `check_may_replace`, which this calls first; returned and raised is the same.
        """
        copy = self.check_may_replace(
            path, author=author, force=force, digest=digest, new_text=new_text, generated=generated, read=read
        )
        make_directory(self.model_dir)
        with alone(self.model_dir):
            record = Record.read(self.model_dir)
            key = self._key(path)
            entry = record.files.get(key, FileRecord())
            there = [self._digest(path, entry, read)] if path.is_file() else []
            digests = tuple(dict.fromkeys([*there, digest]))
            notebook = notebook_name(author, self.model_dir) or entry.notebook
            # What a cell has written already stays its own: packaging only has the same text.
            generated = generated and (entry.generated or digest not in there or key not in record.files)
            record.files[key] = FileRecord(notebook=notebook, digests=digests, generated=generated, state=state)
            record.write(self.model_dir)
        return copy

    def known(self, path: Path) -> str:
        """Return the digest of a file that is in the state in which we left it, else an empty string."""
        entry = Record.read(self.model_dir).files.get(self._key(path))
        try:
            return entry.digests[-1] if entry and entry.state and entry.state == state_of(path) else ""
        except OSError:
            return ""

    def _digest(self, path: Path, entry: FileRecord | None, read: Callable[[Path], str]) -> str:
        """Return a file's digest, computed once as long as the file stays what it is."""
        if entry is not None and entry.state and entry.state == state_of(path):
            return entry.digests[-1]
        status = path.stat()
        key = (str(path), read, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key not in self._digests:
            self._digests[key] = read(path)
        return self._digests[key]

    def _key(self, path: Path) -> str:
        real, base = os.path.realpath(path), os.path.realpath(self.model_dir)
        inside = os.path.relpath(real, base)
        return real if inside.startswith("..") else Path(inside).as_posix()


def _of_a_cell(path: Path) -> FileConflictError:
    return FileConflictError(
        f"{path} was written by a cell, and packaging would write another one over it.",
        hint=f"%%sm_code my_{path.name}    # another name for it; then: !rm {path}",
    )


def _changed(path: Path, new_text: str) -> FileConflictError:
    if new_text:
        try:
            return edited(str(path), read_text(path) or "", new_text)
        except AuthoringError:
            pass
    return FileConflictError(
        f"{path} has changed since sm_magics wrote it.",
        hint="--force replaces it and keeps a copy beside it; --model-dir DIR writes elsewhere.",
    )
