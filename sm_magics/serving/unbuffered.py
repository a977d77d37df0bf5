"""Standard output and error as they are printed: nothing waits in a buffer that a sudden end would lose.

Nor does anything that could not be written wait for the end of the process, which would fail over it then.
"""

from __future__ import annotations

import io


def unbuffered(descriptor: int) -> io.TextIOWrapper:
    """Return a text stream that writes at once to a descriptor, which it never closes."""
    raw = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
