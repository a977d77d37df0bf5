"""Who wrote what: the ownership record, ``.sm_magics.json`` beside ``code/``.

The record is only ever a claim to content, by its SHA-256, never the content itself. Before a file is replaced, the
record claims the new content beside the old; afterwards the new alone. So a crash at any moment leaves a file that
the record knows, and a lost record costs no more than a question.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .atomic import keep_copy, write_atomically

NAME = ".sm_magics.json"
_VERSION = 1


@dataclass(frozen=True)
class Author:
    """Who writes: a cell of a notebook, in one session of its kernel.

    Attributes
    ----------
    notebook
        The notebook's path or name, empty if unknown.
    session
        One kernel session: any unique string, empty if unknown.
    execution_count
        The cell's number in that session, 0 if unknown.
    cell_id
        The cell's id in the notebook's format, empty where the front end does not send it.
    """

    notebook: str = ""
    session: str = ""
    execution_count: int = 0
    cell_id: str = ""


NOBODY = Author()
"""The author where nothing is known about it."""


@dataclass(frozen=True)
class SectionRecord:
    """A section of the script: the texts that are ours (one, or two while being replaced) and the cell.

    One that is generated was written by packaging, from no cell.
    """

    digests: tuple[str, ...] = ()
    session: str = ""
    execution_count: int = 0
    cell_id: str = ""
    generated: bool = False

    def by(self, author: Author) -> SectionRecord:
        """Return the same section as written by ``author``."""
        return replace(self, session=author.session, execution_count=author.execution_count, cell_id=author.cell_id)


@dataclass(frozen=True)
class FileRecord:
    """A file: the notebook that writes it, and the contents that are ours; for the script, its sections.

    One that is generated was written by packaging, from no cell. In the state given (see `ownership.state_of`) it has
    the last of these contents.
    """

    notebook: str = ""
    digests: tuple[str, ...] = ()
    generated: bool = False
    state: str = ""
    sections: dict[str, SectionRecord] = field(default_factory=dict)

    @property
    def generated_sections(self) -> tuple[str, ...]:
        """The sections that packaging wrote."""
        return tuple(name for name, section in self.sections.items() if section.generated)


@dataclass
class Record:
    """The files of one model directory that are ours, by path: relative inside it, absolute elsewhere.

    `damage` says why there was a record that could not be read; empty for one that was read, or was not there.
    """

    files: dict[str, FileRecord] = field(default_factory=dict)
    damage: str = ""

    @classmethod
    def read(cls, model_dir: Path) -> Record:
        """Read the record; one that is missing or damaged claims nothing."""
        try:
            data = json.loads((model_dir / NAME).read_text(encoding="utf-8"))
            return cls({str(path): _file(entry) for path, entry in data["files"].items()})
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except OSError as error:
            return cls(damage=str(error.strerror or error))
        except ValueError as error:
            return cls(damage=f"it is not JSON ({error})")
        except (TypeError, KeyError, AttributeError):
            return cls(damage="it is JSON of another form")

    def write(self, model_dir: Path) -> None:
        """Write the record, keeping a copy of one that could not be read.

        Raises
        ------
        AuthoringError
            If it cannot be written.
        """
        files = {path: asdict(entry) for path, entry in sorted(self.files.items())}
        for entry in files.values():
            for part in (entry, *entry["sections"].values()):
                if not part["generated"]:
                    del part["generated"]
            for name in ("sections", "state"):
                if not entry[name]:
                    del entry[name]
        text = json.dumps({"version": _VERSION, "files": files}, indent=1, ensure_ascii=False) + "\n"
        path = model_dir / NAME
        data = text.encode("utf-8", "surrogateescape")
        if self.damage and path.is_file():
            keep_copy(path)
        if self.damage or not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)


def _file(entry: dict[str, object]) -> FileRecord:
    sections = entry.get("sections", {})
    if not isinstance(sections, dict):
        raise TypeError("sections")
    return FileRecord(
        notebook=str(entry.get("notebook", "")),
        digests=_strings(entry.get("digests")),
        generated=entry.get("generated") is True,
        state=str(entry.get("state", "")),
        sections={str(name): _section(value) for name, value in sections.items()},
    )


def _section(entry: dict[str, object]) -> SectionRecord:
    count = entry.get("execution_count", 0)
    return SectionRecord(
        digests=_strings(entry.get("digests")),
        session=str(entry.get("session", "")),
        execution_count=count if isinstance(count, int) else 0,
        cell_id=str(entry.get("cell_id", "")),
        generated=entry.get("generated") is True,
    )


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
