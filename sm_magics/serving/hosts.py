"""Which Host a server on a loopback address answers to."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=64)
def is_loopback(host: bytes | None) -> bool:
    """Return whether a Host is this machine's: a web page whose name leads here (DNS rebinding) names its own."""
    if not host:
        return True
    name = re.sub(rb":\d*$", b"", host.strip()).strip(b"[]").lower()
    return name in {b"localhost", b"::1"} or re.fullmatch(rb"127(\.\d{1,3}){3}", name) is not None
