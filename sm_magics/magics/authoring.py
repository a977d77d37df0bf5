"""``%%sm_inference`` and ``%%sm_code``: cells become files in ``code/``."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument

from . import parsing
from .session import SessionMagics


@magics_class
class AuthoringMagics(SessionMagics):
    """Cells that are written into ``code/``."""

    @cell_magic
    @parsing.magic
    @argument("name", nargs="?", metavar="NAME", help="the section's name; default: what the cell defines")
    @argument("--run", action="store_true", help="also run the cell in the notebook")
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
        written = folder.write_section(cell, name=options.name, author=self.session.author(), force=options.force)
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
