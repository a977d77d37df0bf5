"""The order of headers that went through a Java ``HashMap``, as all that TorchServe hands on do.

It is what handlers see, and it decides where names differ only in case: the toolkit takes the first that looks like a
Content-Type, and of an answer's headers the last one stays.
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
