"""The first tutorial on SageMaker on this machine, in a state directory of its own; leaves nothing running."""

from __future__ import annotations

import shutil

from execute_notebooks import NOTEBOOKS, execute, machine

TUTORIAL = NOTEBOOKS / "01_bring_your_own_model.ipynb"


def main() -> None:
    """Execute the tutorial, then print what its prediction cells answered and where it lies."""
    directory = NOTEBOOKS.parent / "build" / "demo"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    executed = directory / TUTORIAL.name
    print(f"Executing {TUTORIAL.name} on SageMaker on this machine …", flush=True)
    with machine():
        notebook = execute(TUTORIAL, executed, directory)
    for cell in notebook.cells:
        if "%sm_predict" in cell.source or "print(" in cell.source:
            print()
            for output in cell.outputs:
                print(output.get("text", "") or output.get("data", {}).get("text/plain", ""), end="")
    print(f"\n\nThe executed notebook: {executed}")


if __name__ == "__main__":
    main()
