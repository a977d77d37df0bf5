"""``%%sm_inference`` and ``%%sm_code``: cells become files in ``code/``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument

from . import parsing
from .session import SessionMagics, SmMagics

if TYPE_CHECKING:
    from sm_magics.authoring import CodeFolder, Written


@magics_class
class AuthoringMagics(SessionMagics):
    """Cells that are written into ``code/``."""

    @cell_magic
    @parsing.magic
    @argument("name", nargs="?", metavar="NAME", help="the section's name; default: what the cell defines")
    @argument("--run", action="store_true", help="also run the cell in the notebook")
    @argument(
        "--with-notebook-names",
        action="store_true",
        help="also write what the handlers use of the notebook: functions, classes and constants as source",
    )
    @argument("--force", action="store_true", help="replace what was edited by hand; a copy is kept beside it")
    @parsing.foldered
    @parsing.out
    def sm_inference(self, line: str, cell: str) -> Any:
        """Write the cell into code/inference.py, the script that SageMaker runs.

        Define model_fn, input_fn, predict_fn and output_fn (or transform_fn), in one cell or in several. A handler
        that no cell defines is the container's default. Running a cell again replaces its section in place; a cell
        with a NAME and nothing but a comment removes that section.
        """
        from sm_magics.authoring import CodeFolder
        from sm_magics.display import render

        options = parsing.parse(self.sm_inference, line)
        folder = CodeFolder(self.session.directory(options.model_dir))
        author = self.session.author()
        written = folder.write_section(cell, name=options.name, author=author, force=options.force)
        if options.with_notebook_names:
            written = _with_notebook_names(self.session, folder, written, force=options.force)
        self.session.show(render.written(written))
        if options.run:
            self.session.run(cell)
        if options.out:
            self.session.result(written, options.out)

    @cell_magic
    @parsing.magic
    @argument("path", metavar="PATH", help="the file, relative to code/: helpers.py, requirements.txt")
    @argument("--run", action="store_true", help="also run the cell in the notebook (Python files only)")
    @argument("--force", action="store_true", help="replace what was edited by hand; a copy is kept beside it")
    @parsing.foldered
    @parsing.out
    def sm_code(self, line: str, cell: str) -> Any:
        """Write the cell to a file in code/, beside inference.py: a module that it imports, or requirements.txt."""
        from sm_magics.authoring import CodeFolder
        from sm_magics.display import render

        options = parsing.parse(self.sm_code, line)
        folder = CodeFolder(self.session.directory(options.model_dir))
        written = folder.write_file(options.path, cell, author=self.session.author(), force=options.force)
        self.session.show(render.written(written))
        if options.run:
            self.session.run(cell)
        if options.out:
            self.session.result(written, options.out)


def _with_notebook_names(session: SmMagics, folder: CodeFolder, written: Written, *, force: bool) -> Written:
    """Write what the handlers use of the notebook, and return what was written with what is still wrong then."""
    from sm_magics.authoring import write_notebook_names

    values = None
    if "torch" in sys.modules:
        from sm_magics.packaging.objects import NotebookValues

        values = NotebookValues(session.shell.user_ns)
    _, section = write_notebook_names(
        folder,
        cells=session.cells(),
        namespace=session.shell.user_ns,
        values=values,
        author=session.author(),
        force=force,
    )
    return replace(written, findings=section.findings, handlers=section.handlers) if section else written
