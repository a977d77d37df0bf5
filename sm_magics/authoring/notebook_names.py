"""Names that handlers use and only the notebook has: taken along into ``inference.py``, or said how they could be.

Classes, functions and constants travel as source, in a section of their own. Fitted and large objects travel as files:
the section imports them from ``sm_objects``, and packaging puts them there.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .findings import Finding
from .folder import Author, CodeFolder, Written
from .notebook_source import slice_of_names
from .script import Script
from .slicing.bindings import bindings, definitions, imports, reads
from .slicing.values import Values
from .source import parse
from .torch_modules import is_module
from .written import Taken

SECTION = "notebook_names"
"""The section of ``inference.py`` for them."""

OBJECTS_SECTION = "objects"
"""The section that packaging writes for what ``--with`` names."""

_NOBODY = Author()
_OF_THE_SHELL = re.compile(r"In|Out|get_ipython|exit|quit|open|display|_+|_\d+|_i+|_i\d+|_[iod]h")


@dataclass(frozen=True)
class NotebookNames:
    """What the handlers use of the notebook.

    Attributes
    ----------
    names
        The names that they read, that no section gives, and that the notebook has.
    source
        What gives them, as a section; empty if there are none.
    objects
        Those that the source imports from ``sm_objects``: packaging takes their values along.
    missing
        Names among them, or among what they refer to, that do not travel as source.
    storable
        Those of them that ``--with`` takes along as files.
    model
        The variable of the notebook's model, for commands to paste.
    """

    names: tuple[str, ...] = ()
    source: str = ""
    objects: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    storable: tuple[str, ...] = ()
    model: str = "MODEL"

    @property
    def taken(self) -> Taken:
        """What the section gives the handlers."""
        tree = parse(self.source) or ast.Module([], [])
        imported = tuple(name for name in imports(tree) if name not in self.objects)
        return Taken(SECTION, tuple(definitions(tree)), imported, self.objects)

    def fix(self, name: str) -> str:
        """Return what makes a name known at the endpoint: a line or a cell to paste."""
        if name in self.objects or name in self.storable:
            return f"%sm_package {self.model} --with {name}"
        if name in self.missing or name not in self.names:
            return (
                f"Make {name} in a cell of %%sm_inference, out of what is there: the model, or files in the package. "
                "It cannot be taken along as it is (a live connection, a generator, an open file or the like)."
            )
        return f"%%sm_inference --with-notebook-names in the first line of the cell; or this cell:\n{self.cell()}"

    def cell(self) -> str:
        """Return the cell that takes the names along."""
        return f"%%sm_inference {SECTION}\n{self.source}"


def notebook_names(
    script: Script, *, cells: Sequence[str], namespace: Mapping[str, object], values: Values | None = None
) -> NotebookNames:
    """Return what a script's handlers use of the notebook.

    Parameters
    ----------
    script
        ``inference.py``. Its section of notebook names does not count as giving any.
    cells, namespace
        The notebook: the sources executed so far, oldest first, and its variables.
    values
        How values travel that no assignment gives; by default as literals.
    """
    wanted = unknown(script, but=SECTION)
    names = sorted(name for name in wanted if name in namespace and not _OF_THE_SHELL.fullmatch(name))
    if not names:
        return NotebookNames()
    found = slice_of_names(names, cells=cells, namespace=namespace, values=values)
    # A section of its own cannot postpone the annotations of the others.
    source = re.sub(r"\Afrom __future__ import .*\n+", "", found.source)
    storable = [name for name in found.missing if values and name in namespace]
    storable = [name for name in storable if values and values.as_file_if_asked(name, namespace[name])]
    objects = tuple(sorted(found.objects))
    return NotebookNames(tuple(names), source, objects, found.missing, tuple(storable), _model(namespace))


def _model(namespace: Mapping[str, object]) -> str:
    """Return the variable that holds the notebook's torch module, if there is one; imports nothing."""
    found = [name for name, value in namespace.items() if not name.startswith("_") and is_module(type(value))]
    return found[0] if len(found) == 1 else "MODEL"


def advised(
    findings: Iterable[Finding],
    script: Script | None,
    *,
    cells: Sequence[str],
    namespace: Mapping[str, object],
    values: Values | None = None,
) -> tuple[Finding, ...]:
    """Return findings of which those on names that the notebook has say how to take these along.

    Parameters are as for `notebook_names`.
    """
    kept = tuple(findings)
    if script is None or not any(_is_about(finding, namespace) for finding in kept):
        return kept
    found = notebook_names(script, cells=cells, namespace=namespace, values=values)
    return tuple(
        replace(finding, fix=found.fix(_name(finding))) if _is_about(finding, namespace) else finding
        for finding in kept
    )


def _is_about(finding: Finding, namespace: Mapping[str, object]) -> bool:
    return finding.code == "SM111" and finding.path == "code/inference.py" and _name(finding) in namespace


def _name(finding: Finding) -> str:
    return finding.message.partition(" ")[0]


def unknown(script: Script, *, but: str = "") -> set[str]:
    """Return the names that a script reads and does not define, one of its sections left out."""
    texts = [script.preamble, *(section.source for section in script.sections if section.name != but)]
    read: set[str] = set()
    bound: set[str] = set(vars(builtins)) | {"__file__"}
    for text in texts:
        tree = parse(text)
        found = reads(text)
        read |= found.now | found.later
        bound |= {name for binding in bindings(tree) for name in binding.names} if tree else set()
    return read - bound


def write_notebook_names(
    folder: CodeFolder,
    *,
    cells: Sequence[str],
    namespace: Mapping[str, object],
    values: Values | None = None,
    author: Author = _NOBODY,
    force: bool = False,
) -> tuple[NotebookNames, Written | None]:
    """Write the section of notebook names into ``inference.py``, or remove it where nothing needs it any more.

    Returns
    -------
    tuple of NotebookNames and Written or None
        What the handlers use of the notebook, and what was written.

    Raises
    ------
    FileConflictError
        If the section was edited by hand since.
    """
    script = folder.read_script()
    if script is None:
        return NotebookNames(), None
    found = notebook_names(script, cells=cells, namespace=namespace, values=values)
    there = script.section(SECTION)
    if not found.source and there is None:
        return found, None
    text = found.source or "# nothing any more\n"
    return found, folder.write_section(text, name=SECTION, author=author, force=force, generated=True)
