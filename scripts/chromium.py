"""Print the path of a Chromium for the browser tests; on Debian, install it first where it is missing.

Without one, and where it cannot be installed, this says why on standard error and prints nothing. In CI (``CI`` is
set) that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install() -> str | None:
    """Install Debian's package; return why it cannot be done, or None."""
    if shutil.which("apt-get") is None:
        return "no Chromium is installed, and there is no apt-get to install it with"
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if sudo and shutil.which("sudo") is None:
        return "no Chromium is installed, and only root may install it"
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            [*sudo, "apt-get", "-qq", *arguments], env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode and arguments[0] == "install":
            return f"apt-get install chromium failed: {done.stderr.strip().splitlines()[-1:]}"
    return None


def main() -> int:
    """Find it or install it; say where it is."""
    reason = None if find() else install()
    if reason:
        print(f"No browser tests: {reason}.", file=sys.stderr)
        return int(bool(os.environ.get("CI")))
    print(find())
    return 0


if __name__ == "__main__":
    sys.exit(main())
