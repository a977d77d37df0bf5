"""``%%sm_inference`` and ``%%sm_code``: cells become files in ``code/``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument, kwds

from . import parsing
from .session import SessionMagics, SmMagics

if TYPE_CHECKING:
    from sm_magics.authoring import CodeFolder, Written


@magics_class
class AuthoringMagics(SessionMagics):
    """Cells that are written into ``code/``."""

    @cell_magic
    @parsing.magic
    @kwds(usage="%%%(prog)s [options] [NAME]")
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
        with a NAME and nothing but a comment removes that section. What the container would make of it is said with
        a code, such as SM111, which docs/findings.md explains; # noqa: SM111 on a line silences it there.
        """
        from sm_magics.display import render

        options = parsing.parse(self.sm_inference, line)
        folder = self._folder(options)
        author = self.session.author()
        written = folder.write_section(cell, name=options.name, author=author, force=options.force)
        taking = {"take": options.with_notebook_names, "force": options.force}
        written = _with_notebook_names(self.session, folder, written, **taking)
        self.session.show(render.written(written))
        if options.run:
            self.session.run(cell)
        if options.out:
            self.session.result(written, options.out)

    @cell_magic
    @parsing.magic
    @kwds(usage="%%%(prog)s [options] PATH")
    @argument("path", metavar="PATH", help="the file, relative to code/: helpers.py, requirements.txt")
    @argument("--run", action="store_true", help="also run the cell in the notebook (Python files only)")
    @argument("--force", action="store_true", help="replace what was edited by hand; a copy is kept beside it")
    @parsing.foldered
    @parsing.out
    def sm_code(self, line: str, cell: str) -> Any:
        """Write the cell to a file in code/, beside inference.py: a module that it imports, or requirements.txt."""
        from sm_magics.display import render

        options = parsing.parse(self.sm_code, line)
        folder = self._folder(options)
        written = folder.write_file(options.path, cell, author=self.session.author(), force=options.force)
        self.session.show(render.written(written))
        if options.run:
            self.session.run(cell)
        if options.out:
            self.session.result(written, options.out)

    def _folder(self, options: argparse.Namespace) -> CodeFolder:
        """Return the folder that a cell writes into, which is checked against the image that is asked for."""
        from sm_magics.authoring import CodeFolder

        settings = self.session.settings(options)
        return CodeFolder(
            self.session.directory(options.model_dir),
            framework_version=settings.framework_version,
            image_uri=settings.image_uri,
        )


def _with_notebook_names(
    session: SmMagics, folder: CodeFolder, written: Written, *, take: bool, force: bool
) -> Written:
    """Take along what the handlers use of the notebook, or say in the findings how that is done."""
    from sm_magics.authoring import write_notebook_names
    from sm_magics.authoring.notebook_names import advised

    namespace, cells, values = session.shell.user_ns, session.cells(), None
    if "torch" in sys.modules:
        from sm_magics.packaging.objects import NotebookValues

        values = NotebookValues(namespace)
    if take:
        author = session.author()
        found, section = write_notebook_names(
            folder, cells=cells, namespace=namespace, values=values, author=author, force=force
        )
        written = replace(written, findings=section.findings, handlers=section.handlers) if section else written
        written = replace(written, taken=found.taken)
    script = folder.read_script()
    findings = advised(written.findings, script, cells=cells, namespace=namespace, values=values)
    return replace(written, findings=findings)
