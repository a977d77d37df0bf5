"""What becomes of headers on their way through TorchServe.

All that it hands on went through a Java ``HashMap``. Its order is what handlers see, and it decides where names differ
only in case: the toolkit takes the first that looks like a Content-Type, and of an answer's headers the last one stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .messages import Headers

_FIRST_BUCKETS = 16


@lru_cache(maxsize=64)
def in_java_order(headers: Headers) -> Headers:
    """Return headers as the map yields them. Of one that is there twice, in the same case, the last value stays."""
    values = dict(headers)
    return tuple([(name, values[name]) for name in _ordered(tuple(values))])


@lru_cache(maxsize=256)
def _ordered(names: tuple[str, ...]) -> Iterable[str]:
    buckets = _FIRST_BUCKETS
    while len(names) > buckets * 3 // 4:
        buckets *= 2
    return sorted(names, key=lambda name: _hash(name) & (buckets - 1))


def _hash(name: str) -> int:
    code = 0
    for unit in memoryview(name.encode("utf-16-le", "surrogatepass")).cast("H"):
        code = (code * 31 + unit) & 0xFFFFFFFF
    return code ^ code >> 16


def aggregated(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request whose body has been put together: as Netty's aggregator leaves them."""
    kept, codings, told = [], [], False
    for name, value in headers:
        lower = name.lower()
        if lower == b"transfer-encoding":
            if value.lower() != b"chunked":
                codings.append((lower, value))
        elif lower != b"expect" or value.lower() != b"100-continue":
            kept.append((name, value))
            told = told or lower == b"content-length"
    return [*kept, *codings] if told else [*kept, *codings, (b"content-length", b"%d" % length)]
