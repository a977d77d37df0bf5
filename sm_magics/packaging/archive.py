"""The ``model.tar.gz`` that SageMaker reads, written in one pass.

The model file and the code are gzip members of their own, one after the other, which every reader of gzip reads as one.
So new code takes the place of the old without the weights being packed again, see `tail`. What is not yet complete lies
beside its place, so that a full disk or an interrupt leaves the old archive as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sm_magics.authoring.ownership import state_of

from .combining import combine
from .tar import entries, tail
from .tar.contents import SCRIPT, Contents, check_layout, digest_of_archive, extract, read_contents
from .tar.entries import Member, Watch
from .tar.gzipping import GzipMember, Output
from .tar.hashing import Entry, digest_of_entries
from .tar.replacing import copy_start, replacing, rewriting, seal
from .tar.tail import Index

__all__ = [
    "SCRIPT",
    "Contents",
    "Member",
    "Watch",
    "check_layout",
    "combine",
    "digest_of_archive",
    "extract",
    "new_archive",
    "read_contents",
]

_SMALL = 8 << 20  # bytes of code that are deflated as a whole


@contextmanager
def new_archive(
    target: Path, members: Sequence[Member], watch: Watch | None = None, *, kept: Index | None = None
) -> Iterator[Contents]:
    """Write the members into a ``.tar.gz``, and put it in its place when the block ends well.

    The same names and contents give the same digest, whatever the files' owners, modes and times, and where nothing is
    kept the same bytes. Memory does not grow with the files.

    Parameters
    ----------
    target
        The archive.
    members
        What goes in, in this order: the model file first.
    watch
        Called with each member's name and the size of each piece of its data.
    kept
        What the archive that is there holds of the model file, if that is the very same: it is not packed again.

    Raises
    ------
    PackagingError
        If the archive cannot be written (permissions, full disk) or a member cannot be read.
    ArchiveError
        If its layout is not what SageMaker reads.
    """
    elsewhere = f"--archive ANOTHER_DIRECTORY/{target.name}"
    model, code = (members[0], members[1:]) if members and not _is_code(members[0]) else (None, members)
    parts = _Parts(target, elsewhere, model, code, watch or (lambda *_: None))
    with parts.renewed(kept) if kept is not None else parts.written() as contents:
        yield contents


def _is_code(member: Member) -> bool:
    return member.name.startswith("code/")


@dataclass(frozen=True)
class _Parts:
    """The two parts of an archive: the model file, if there is one, and the rest."""

    target: Path
    elsewhere: str
    model: Member | None
    code: Sequence[Member]
    watch: Watch

    @contextmanager
    def written(self) -> Iterator[Contents]:
        """Write both."""
        with replacing(self.target, self.elsewhere) as file:
            output = Output(file)
            index = self._write_model(output) if self.model else None
            found = self._write_end(output, index, self._code_in_memory(index))
            yield self._checked(index, found, output.written, seal(file))

    @contextmanager
    def renewed(self, kept: Index) -> Iterator[Contents]:
        """Keep the model file of the archive that is there, and write the rest."""
        ready = self._code_in_memory(kept)
        status = self.target.stat()
        if ready and kept.before[:1] == (digest_of_entries(_everything(kept, ready[0])),):
            yield self._checked(kept, ready[0], status.st_size, state_of(self.target))
            return
        # A copy that somebody keeps may be a link to the very same file.
        if ready and kept.slotted and tail.fits(ready[1]) and status.st_nlink == 1:
            with rewriting(self.target, self.elsewhere) as (file, state):
                yield self._checked(kept, ready[0], status.st_size, state)
                tail.exchange(file, kept, ready[1])
            return
        with self.target.open("rb", buffering=0) as before, replacing(self.target, self.elsewhere) as file:
            copy_start(before, file, kept.length)
            output = Output(file)
            found = self._write_end(output, kept, ready)
            yield self._checked(kept, found, kept.length + output.written, seal(file))

    def _write_model(self, output: Output) -> Index:
        assert self.model is not None  # noqa: S101 - for mypy
        gzip = GzipMember(output)
        entry = entries.add_file(gzip, self.model, self.watch)
        gzip.close()
        if entry.size >= tail.LARGE:
            output.write(tail.padding(output.written))
        return Index(entry.name, entry.size, entry.digest, output.written)

    def _code_in_memory(self, index: Index | None) -> tuple[list[Entry], bytes] | None:
        """Return the code deflated, unless it is too large for that."""
        if sum(member.path.stat().st_size for member in self.code if member.path.is_file()) > _SMALL:
            return None
        tar = entries.InMemory()
        found = self._add_code(tar, index)
        return found, tail.deflated(tar.getvalue())

    def _write_end(self, output: Output, index: Index | None, ready: tuple[list[Entry], bytes] | None) -> list[Entry]:
        slotted = False
        if ready:
            found, deflated = ready
            slotted = index is not None and index.size >= tail.LARGE and tail.fits(deflated)
            output.write(tail.member(deflated, slotted=slotted))
        else:
            gzip = GzipMember(output)
            found = self._add_code(gzip, index)
            gzip.close()
        if index is not None:
            output.write(replace(index, slotted=slotted).member())
        return found

    def _add_code(self, sink: entries.Sink, index: Index | None) -> list[Entry]:
        found = [entries.add_file(sink, member, self.watch) for member in self.code]
        entries.end(sink, entries.length(index.name, index.size) if index else 0)
        return found

    def _checked(self, index: Index | None, found: Sequence[Entry], size: int, state: str) -> Contents:
        everything = _everything(index, found)
        script = next((member.path for member in self.code if member.name == SCRIPT), None)
        contents = Contents(
            sizes={entry.name: entry.size for entry in everything},
            digests={entry.name: entry.digest for entry in everything},
            digest=digest_of_entries(everything),
            size=size,
            script=script.read_text(encoding="utf-8", errors="replace") if script else "",
            state=state,
        )
        check_layout(contents, self.target.name)
        return contents


def _everything(index: Index | None, found: Sequence[Entry]) -> list[Entry]:
    return [*([Entry(index.name, index.size, index.digest)] if index else []), *found]
