"""From %sm_deploy of a packaged tiny model to its first prediction, against the time that importing torch takes.

Everything is cold: a new state directory, no service, a fresh Python that plays the kernel. The two are measured in
turn, in the same run, and the middle of several rounds is taken. Run: python benchmarks/first_prediction.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORT = """
import time; started = time.perf_counter()
import torch
print(time.perf_counter() - started)
"""

PACKAGE = """
import sys
from torch import nn
from sm_magics import package
package(nn.Linear(10, 2), name="tiny", model_dir=sys.argv[1])
"""

# As a kernel does it: the extension is loaded, the package exists, nothing else has been imported.
DEPLOY = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
shell.run_line_magic("load_ext", "sm_magics")
started = time.perf_counter()
shell.run_line_magic("sm_deploy", f"{sys.argv[1]}/model.tar.gz -e tiny")
answer = shell.run_line_magic("sm_predict", "[[0.0] * 10]")
print(time.perf_counter() - started)
started = time.perf_counter()
shell.run_line_magic("sm_deploy", f"{sys.argv[1]}/model.tar.gz -e second")
answer = shell.run_line_magic("sm_predict", "[[0.0] * 10]")
print(time.perf_counter() - started)
"""


def run(code: str, *arguments: str, home: str) -> list[float]:
    """Run code in a fresh Python and return the numbers that it prints on lines of their own."""
    environ = dict(os.environ, SM_MAGICS_HOME=home, IPYTHONDIR=f"{home}/ipython")
    command = [sys.executable, "-c", code, *arguments]
    printed = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    return [float(line) for line in printed.splitlines() if line.replace(".", "", 1).isdigit()]


def main(rounds: int) -> None:
    """Print the medians, and what the first prediction takes beyond importing torch."""
    imports, firsts, seconds = [], [], []
    with tempfile.TemporaryDirectory(prefix="sm_magics-") as directory:
        run(PACKAGE, directory, home=str(Path(directory, "home")))
        for number in range(rounds):
            home = str(Path(directory, f"home{number}"))
            imports += run(IMPORT, home=home)
            first, second = run(DEPLOY, directory, home=home)
            firsts.append(first)
            seconds.append(second)
            stop = [sys.executable, "-m", "sm_magics.local", "stop"]
            subprocess.run(stop, env=dict(os.environ, SM_MAGICS_HOME=home), check=True, capture_output=True)
    torch, first, second = map(statistics.median, (imports, firsts, seconds))
    print(f"import torch                               {torch:6.2f} s")
    print(
        f"deploy → first prediction, nothing running {first:6.2f} s   {first - torch:+.2f} s, {first / torch:.2f} times"
    )
    print(f"deploy → first prediction, second endpoint {second:6.2f} s   {second / torch:.2f} times")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
