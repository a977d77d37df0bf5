"""The ``code/`` folder: what cells write into it, and whether it is right."""

from __future__ import annotations

from .checks.requirements import check_isolation
from .findings import Finding
from .folder import Author, CodeFolder, Written
from .loading import LoadedBy, code_expectations
from .notebook_names import NotebookNames, notebook_names, write_notebook_names
from .notebook_source import Slice, slice_of, slice_of_names
from .requirements import ensure_requirements
from .script import Script, Section
from .slicing.live import own_file

__all__ = [
    "Author",
    "CodeFolder",
    "Finding",
    "LoadedBy",
    "NotebookNames",
    "Script",
    "Section",
    "Slice",
    "Written",
    "check_isolation",
    "code_expectations",
    "ensure_requirements",
    "notebook_names",
    "own_file",
    "slice_of",
    "slice_of_names",
    "write_notebook_names",
]
