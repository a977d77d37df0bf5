"""The ``code/`` folder on disk: what cells write, and what must not be lost.

Every write follows the same steps: see whether what stands there may be replaced, claim the new content in the record,
replace the file as a whole, then settle the record. A crash between any two of them loses nothing and blocks nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from sm_magics.errors import AuthoringError, FileConflictError

from .atomic import keep_copy, make_directory, write_atomically
from .checking import SCRIPT, check_code
from .checks.files import MODEL_MODULE
from .checks.requirements import REQUIREMENTS
from .contract import HANDLERS
from .findings import Finding
from .image import image
from .inside import check_encoding, check_inside, checked_path
from .needs.dependencies import Dependencies, dependencies
from .needs.requirements_file import RequirementsFile, read_requirements
from .ownership import Claims, alone, check_notebook, digest_of, edited, notebook_name, read_text, stranger
from .record import NOBODY, Author, FileRecord, Record
from .script import Script, derived_name
from .sections import after, changed_by_hand, check_setup, digests, earlier_section, gone, not_run
from .slicing.bindings import definitions
from .source import parse_cell
from .written import Written

__all__ = ["Author", "CodeFolder", "Written"]


class CodeFolder:
    """The code of one model directory: ``code/``, and ``.sm_magics.json`` beside it.

    Parameters
    ----------
    model_dir
        The directory that holds ``code/``. It need not exist yet.
    framework_version
        Of the image that is to run the code, such as ``2.6``; by default the one that fits the notebook's torch.
    image_uri
        An image of another kind: of its contents nothing is known.
    """

    def __init__(self, model_dir: Path, *, framework_version: str = "", image_uri: str = "") -> None:
        self.model_dir = Path(model_dir)
        self.image = None if image_uri else image(framework_version)
        self.path = self.model_dir / "code"
        self._claims = Claims(self.model_dir)

    def write_section(
        self,
        source: str,
        *,
        name: str | None = None,
        author: Author = NOBODY,
        force: bool = False,
        generated: bool = False,
    ) -> Written:
        """Write a cell into ``code/inference.py``. A cell without code removes the section that it names.

        What the container would make of it is said in the findings; only a cell that does not parse is not written.

        Parameters
        ----------
        source
            The cell's text.
        name
            The section's name; by default it follows from what the cell defines (`Script.merged`).
        author
            The cell and notebook that write.
        force
            Replace what is not ours or was edited by hand, keeping a copy of the file beside it.
        generated
            Whether packaging wrote the text, and no cell.

        Raises
        ------
        CellSyntaxError
            If the cell does not parse.
        FileConflictError
            If the file is a stranger's or another notebook's, or text was edited by hand that would be replaced.
        AuthoringError
            If the cell is empty and names no section, or the file cannot be written. In every case the file is as it
            was.
        """
        tree = parse_cell(source)
        if name is not None and not tree.body:
            return self._remove_section(name, author, force=force)
        make_directory(self.path)
        path = self.model_dir / SCRIPT
        check_inside(path, self.path)
        with alone(self.model_dir):
            record = Record.read(self.model_dir)
            script, entry, copy, before = self._open_script(record, author, force=force)
            earlier = earlier_section(
                entry, script, author, tree_names=set(definitions(tree)), derived=derived_name(tree)
            )
            if name is None:
                check_setup(entry, derived_name(tree), author)
            merge = script.merged(source, name=name, instead_of=earlier if name is None else None)
            changed = changed_by_hand(script, merge, entry, earlier if name is None else None)
            if changed and not force:
                raise changed
            if changed:
                copy = keep_copy(path)
            settled = self._by(author, after(merge, entry, author, generated=generated))
            self._save_script(record, entry, merge.script, settled, before)
        text = merge.script.render()
        section = merge.section
        defined = merge.script.defined()
        return Written(
            path=path,
            section=section.name,
            defined=section.defined,
            handlers={handler: defined.get(handler, "") for handler in HANDLERS},
            replaced=merge.replaced,
            unchanged=text == before,
            taken_over=merge.taken_over,
            dropped=tuple(name for name in script.defined() if name not in defined),
            stale=(
                *not_run(record.files[SCRIPT], merge.script, author),
                *(gone(entry, merge) if before is None else ()),
            ),
            generated=record.files[SCRIPT].generated_sections,
            findings=self.check(),
            copy=copy,
        )

    def _remove_section(self, name: str, author: Author, *, force: bool) -> Written:
        path = self.model_dir / SCRIPT
        with alone(self.model_dir) if self.model_dir.is_dir() else contextlib.nullcontext():
            record = Record.read(self.model_dir)
            script, entry, copy, before = self._open_script(record, author, force=force)
            section = script.section(name)
            if section is None:
                there = ", ".join(section.name for section in script.sections)
                raise AuthoringError(
                    f"The cell has no code, which would remove section {name}, but {SCRIPT} has none of that name.",
                    hint=f"Its sections: {there}." if there else "It has no sections.",
                )
            if section.digest not in digests(entry, name):
                if not force:
                    raise edited(f"Section {name}", section.source, "")
                copy = keep_copy(path)
            rest = Script(script.preamble, tuple(other for other in script.sections if other is not section))
            kept = {other: known for other, known in entry.sections.items() if other != name}
            self._save_script(record, entry, rest, self._by(author, replace(entry, sections=kept)), before)
        defined = rest.defined()
        return Written(
            path=path,
            section=name,
            handlers={handler: defined.get(handler, "") for handler in HANDLERS},
            replaced=True,
            removed=True,
            dropped=tuple(known for known in script.defined() if known not in defined),
            stale=not_run(record.files[SCRIPT], rest, author),
            generated=record.files[SCRIPT].generated_sections,
            findings=self.check(),
            copy=copy,
        )

    def write_file(
        self, relative: str, text: str | bytes, *, author: Author = NOBODY, force: bool = False, generated: bool = False
    ) -> Written:
        """Write a file under ``code/``, byte for byte.

        Parameters
        ----------
        relative
            Its path inside ``code/``, with ``/`` between the parts.
        text
            Its content. That of a ``.py`` file is text, and has to parse.
        author, force, generated
            As for `write_section`.

        Raises
        ------
        CellSyntaxError
            If it is a Python file that does not parse.
        FileConflictError
            If the file is a stranger's or another notebook's, or was edited by hand; if it is a cell's and this text
            is generated; if it is the ``sm_model.py`` that packaging wrote, which it would write again.
        AuthoringError
            If the path leads out of ``code/`` or is ``inference.py``, or the file cannot be written.
        """
        inside = checked_path(relative)
        parsed = isinstance(text, str) and inside.suffix == ".py"
        tree = parse_cell(str(text), filename=f"code/{inside}") if parsed else None
        try:
            data = text if isinstance(text, bytes) else text.encode()
        except UnicodeEncodeError as error:
            raise AuthoringError(f"The text for code/{inside} is not valid Unicode: {error.reason}.") from error
        check_encoding(data, inside)
        make_directory(self.path)
        path = self.path / inside
        check_inside(path, self.path)
        digest = sha256(data).hexdigest()
        new = text if isinstance(text, str) else ""
        before = path.read_bytes() if path.is_file() else None
        known = Record.read(self.model_dir).files.get(f"code/{inside}")
        if known and known.generated and not generated and f"code/{inside}" == MODEL_MODULE and before and not force:
            raise FileConflictError(
                f"{path} is what packaging writes from the notebook's classes, and would write again over this cell.",
                hint="%%sm_code my_model.py    # another name for a module of your own",
            )
        copy = self._claims.claim(path, author=author, digest=digest, force=force, new_text=new, generated=generated)
        if before != data:
            write_atomically(path, data)
        return Written(
            path=path,
            defined=tuple(definitions(tree)) if tree else (),
            replaced=before is not None,
            unchanged=before == data,
            findings=() if generated else self._about(inside),
            copy=copy,
        )

    def _about(self, inside: PurePosixPath) -> tuple[Finding, ...]:
        return tuple(one for one in self.check(files=[str(inside)]) if one.path == f"code/{inside}")

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
        """Refuse to replace a file that is not ours: see `Claims.check_may_replace`.

        For the files that packaging writes (``model.pth``, ``model.tar.gz``), before the work of making them begins.
        """
        return self._claims.check_may_replace(
            path, author=author, force=force, digest=digest, new_text=new_text, generated=generated, read=read
        )

    def claim(
        self,
        path: Path,
        *,
        author: Author = NOBODY,
        digest: str,
        force: bool = False,
        state: str = "",
        read: Callable[[Path], str] = digest_of,
    ) -> Path | None:
        """Record that a file is ours once it has the content of this digest: see `Claims.claim`."""
        return self._claims.claim(path, author=author, digest=digest, force=force, state=state, read=read)

    def known(self, path: Path) -> str:
        """Return the digest of a file that is in the state in which we left it, else an empty string."""
        return self._claims.known(path)

    def read_script(self) -> Script | None:
        """Return ``code/inference.py``, or None if it is not there.

        Raises
        ------
        AuthoringError
            If it cannot be read, or is not UTF-8.
        """
        text = read_text(self.model_dir / SCRIPT)
        return None if text is None else Script.parse(text)

    def stale(self, author: Author) -> tuple[str, ...]:
        """Return the sections of the script whose cell has not been run in the author's session."""
        script, entry = self.read_script(), Record.read(self.model_dir).files.get(SCRIPT)
        return not_run(entry, script, author) if script and entry else ()

    def is_generated(self, section: str) -> bool:
        """Return whether a section of the script is as packaging wrote it: one that was edited is its editor's."""
        entry = Record.read(self.model_dir).files.get(SCRIPT, FileRecord())
        known = entry.sections.get(section)
        script = self.read_script() if known and known.generated else None
        there = script.section(section) if script else None
        return known is not None and there is not None and there.digest in known.digests

    def lost(self) -> dict[str, tuple[str, ...]]:
        """Return the files below ``code/`` that cells wrote and that are gone, with the sections of the script.

        As long as ``code/`` itself is there, a file other than the script may have been removed on purpose.
        """
        found = {}
        for path, entry in Record.read(self.model_dir).files.items():
            sections = tuple(name for name, section in entry.sections.items() if not section.generated)
            written = sections if path == SCRIPT else not entry.generated
            if path.startswith("code/") and written and not (self.model_dir / path).exists():
                found[path] = sections
        return found if SCRIPT in found or not self.path.is_dir() else {}

    def needed(self, *, files: Iterable[str] = (), modules: Iterable[str] = ()) -> Dependencies:
        """Return what ``code/`` needs beyond the image: see `dependencies`."""
        files_known = Record.read(self.model_dir).files
        copies = [path.removeprefix("code/") for path, entry in files_known.items() if entry.generated]
        return dependencies(self.path, self.image, files=files, modules=modules, generated=copies)

    def own_requirements(self) -> RequirementsFile | None:
        """Return the ``requirements.txt`` that a person or a cell wrote, None where there is none but packaging's."""
        path = self.model_dir / REQUIREMENTS
        if not path.is_file():
            return None
        data = path.read_bytes()
        known = Record.read(self.model_dir).files.get(REQUIREMENTS)
        if known and known.generated and sha256(data).hexdigest() in known.digests:
            return None
        return read_requirements(data.decode("utf-8", "replace"))

    def check(self, *, files: Iterable[str] = (), modules: Iterable[str] = ()) -> tuple[Finding, ...]:
        """Return what is wrong with ``code/``: see `check_code`. Parameters are as for `dependencies`."""
        needed = self.needed(files=files, modules=modules)
        return check_code(self.path, self.image, needed, self.own_requirements(), files)

    def _open_script(
        self, record: Record, author: Author, *, force: bool
    ) -> tuple[Script, FileRecord, Path | None, str | None]:
        """Return the script to write into, its record, the copy that was kept, and the text that is there."""
        path = self.model_dir / SCRIPT
        entry = record.files.get(SCRIPT)
        text: str | None = ""
        try:
            text = read_text(path)
            if entry is not None:
                check_notebook(path, entry, author, self.model_dir)
            elif text is not None and text.strip():
                raise stranger(path, self.model_dir, record)
        except FileConflictError:
            if not force and text is not None:  # what is not there is in nobody's way
                raise
            return Script(), FileRecord(), keep_copy(path) if path.exists() else None, None
        return Script.parse(text or ""), entry or FileRecord(), None, text

    def _by(self, author: Author, settled: FileRecord) -> FileRecord:
        return replace(settled, notebook=notebook_name(author, self.model_dir) or settled.notebook)

    def _save_script(
        self,
        record: Record,
        entry: FileRecord,
        script: Script,
        settled: FileRecord,
        before: str | None,
    ) -> None:
        text = script.render()
        data = text.encode()
        check_encoding(data, PurePosixPath("inference.py"))
        if text != before:
            claimed = {
                name: replace(section, digests=tuple(dict.fromkeys([*digests(entry, name), *digests(settled, name)])))
                for name, section in {**entry.sections, **settled.sections}.items()
            }
            record.files[SCRIPT] = replace(settled, sections=claimed)
            record.write(self.model_dir)
            write_atomically(self.model_dir / SCRIPT, data)
        record.files[SCRIPT] = settled
        record.write(self.model_dir)
