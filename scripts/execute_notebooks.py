"""Execute the tutorials, so that what is committed is what they print. Arguments: notebooks; default: all.

Each runs in a new directory on SageMaker on this machine of its own, and is written back to where it was. What changes
every time (a latency, a plot of latencies) is tagged ``nbval-ignore-output`` and is kept as it is, so that executing
twice gives the same file: ``--anew`` makes it anew, as does clearing the output. ``--check`` writes nothing back: it
only says whether they run, in whatever environment this is run in.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
IGNORED = "nbval-ignore-output"


@contextmanager
def machine() -> Iterator[None]:
    """Have SageMaker on this machine in a state directory of its own; nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="sm_magics-") as home:
        os.environ["SM_MAGICS_HOME"] = home
        # The models are small: a second thread would only wait for the first one, for long where others are at work.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        try:
            yield
        finally:
            stop = [sys.executable, "-m", "sm_magics.local", "stop"]
            subprocess.run(stop, check=False, stdout=subprocess.DEVNULL)


def execute(source: Path, target: Path, directory: Path, *, anew: bool = True) -> nbformat.NotebookNode:
    """Execute a notebook in a directory, write the result, and return it.

    Parameters
    ----------
    anew
        Whether outputs that change every time are those of this execution, and not those that were there.
    """
    notebook = nbformat.read(source, as_version=4)
    former = {} if anew else {cell.id: cell.outputs for cell in notebook.cells if _is_kept(cell)}
    client = NotebookClient(
        notebook,
        timeout=600,
        coalesce_streams=True,  # what a process prints comes in pieces, other ones each time
        kernel_name="python3",
        resources={"metadata": {"path": directory}},
        extra_arguments=["--log-level=ERROR"],  # a kernel on loopback warns that its sockets are not encrypted
    )
    try:
        client.execute()
    finally:  # what ran until it failed is what one looks at
        # A widget's state would make a viewer fetch scripts from the network; when a cell ran changes every time.
        notebook.metadata.pop("widgets", None)
        notebook.metadata.get("language_info", {}).pop("version", None)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.id in former:
                cell.outputs = former[cell.id]
        nbformat.write(notebook, target)
    return notebook


def _is_kept(cell: nbformat.NotebookNode) -> bool:
    return IGNORED in cell.metadata.get("tags", []) and bool(cell.get("outputs"))


def main() -> None:
    """Execute the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--anew", action="store_true", help="make the outputs anew that change every time")
    parser.add_argument("--check", action="store_true", help="write nothing back")
    options = parser.parse_args()
    with machine():
        for path in options.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as directory:
                target = Path(directory) / path.name if options.check else path
                execute(path, target, Path(directory), anew=options.anew)
            print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
