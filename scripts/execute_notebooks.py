"""Execute the tutorials in place, so that what is committed is what they print. Arguments: notebooks; default: all."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def execute(source: Path, target: Path, directory: Path) -> nbformat.NotebookNode:
    """Execute a notebook in a directory, write the result, and return it."""
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": directory}},
        extra_arguments=["--log-level=ERROR"],  # a kernel on loopback warns that its sockets are not encrypted
    )
    try:
        client.execute()
    finally:  # what ran until it failed is what one looks at
        # A widget's state would make a viewer fetch scripts from the network; when a cell ran changes every time.
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, target)
    return notebook


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        print(f"executing {path.name}")
        execute(path, path, path.resolve().parent)
